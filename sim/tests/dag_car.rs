//! CARv1 files: what is written as read, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use anabranch_core::{Bytes, Cid};
use anabranch_sim::{
    car::{self, Car},
    dag,
};

fn small() -> Vec<u8> {
    std::fs::read(histories::data().join("dags/0011.car")).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Car, car::CarError> {
    car::parse(&Bytes::copy_from_slice(bytes), "x.car")
}

/// What the error says, which is one line that begins with the file and the byte.
#[track_caller]
fn refused(bytes: &[u8], offset: usize, part: &str) {
    let error = parse(bytes).expect_err("the bytes are refused").to_string();
    assert!(error.starts_with(&format!("x.car: byte {offset}: ")), "{error}");
    assert!(error.contains(part) && !error.contains('\n'), "no {part:?} in {error}");
}

/// A length and as many bytes.
fn section(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// The header of a file without roots.
fn no_roots() -> Vec<u8> {
    section(b"\xa2eroots\x80gversion\x01")
}

#[test]
fn files_that_go_wrote_are_written_byte_for_byte() {
    for (path, _) in histories::all() {
        let bytes = std::fs::read(&path).unwrap();
        let car = parse(&bytes).unwrap();
        assert_eq!((car.foreign, car.repeated), (0, 0));
        let mut written = Vec::new();
        car::write(&car.roots, &car.blocks, &mut written).unwrap();
        assert_eq!(written, bytes, "{}", path.display());
    }
}

#[test]
fn a_truncated_file_is_refused_unless_it_ends_between_blocks() {
    let whole = small();
    let blocks = parse(&whole).unwrap().blocks;
    let mut boundaries = Vec::new();
    for length in 0..whole.len() {
        match parse(&whole[..length]) {
            Err(error) => assert!(error.to_string().starts_with("x.car: byte "), "{error}"),
            Ok(car) => {
                boundaries.push(length);
                assert_eq!(car.blocks, blocks[..boundaries.len() - 1], "the blocks before the end");
                let missing = dag::fold_car(&car).expect_err("the heads are the last blocks").to_string();
                assert!(missing.contains("incomplete") && !missing.contains('\n'), "{missing}");
                assert!(dag::merge_car(&car, 0).is_err());
            }
        }
    }
    assert_eq!(boundaries.len(), blocks.len(), "one end after the header and one after each block but the last");
}

#[test]
fn a_changed_byte_is_refused_or_harmless() {
    let whole = small();
    let clean = dag::fold_car(&parse(&whole).unwrap()).unwrap();
    let mut harmless = Vec::new();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut forged = whole.clone();
            forged[at] ^= flip;
            let Ok(car) = parse(&forged) else { continue };
            match dag::fold_car(&car) {
                Err(missing) => assert!(!missing.to_string().contains('\n')),
                Ok(folded) => {
                    assert_eq!(folded, clean, "byte {at} with {flip:#x} changes what the file means");
                    harmless.push(at);
                }
            }
        }
    }
    // Only the roots tell a reader nothing that the blocks do not.
    assert!(harmless.len() < 10, "bytes {harmless:?}");
}

#[test]
fn what_is_no_car_file() {
    refused(b"", 0, "the file is empty");
    refused(&[0x80], 0, "truncated");
    refused(&[0x80, 0x00], 0, "longer than it need be");
    refused(&[0xff; 20], 0, "over 2^64");
    refused(b"{\"heads\": []}", 0, "truncated, or no CAR file");
    let garbage = [b"\x10".to_vec(), vec![0xfe; 64]].concat();
    refused(&garbage, 1, "expected the header of a CARv1 file");
}

#[test]
fn headers_of_other_kinds() {
    refused(&section(b"\xa1gversion\x02"), 1, "this is a CARv2 file, and only CARv1 is read");
    refused(&section(b"\xa1gversion\x03"), 1, "expected CAR version 1, found version 3");
    refused(&section(b"\xa1gversion\x01"), 1, "expected a list of roots");
    refused(&section(b"\xa1eroots\x80"), 1, "missing field `version`");
    refused(&section(b"\xa3eroots\x80eroots\x80gversion\x01"), 1, "expected the header");
    refused(&section(b"\xa3droot\x80eroots\x80gversion\x01"), 1, "unknown field `root`");
    refused(&section(b"\xa2eroots\x80gversion\x01\x00"), 1, "expected the header");
    refused(&section(b"\xa2eroots\x81\x01gversion\x01"), 1, "expected the header");
    assert_eq!(parse(&no_roots()), Ok(Car::default()));
}

#[test]
fn two_files_joined() {
    let whole = small();
    refused(&[whole.clone(), whole.clone()].concat(), whole.len(), "a second CAR header");
}

#[test]
fn blocks_that_are_none() {
    let header = no_roots();
    let after = |bytes: &[u8]| [&header, bytes].concat();
    refused(&after(&[0]), 18, "a block of length 0");
    refused(&after(&[3, 1, 0x70, 0x12]), 19, "expected the CID of a block");
    refused(&after(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]), 18, "the file ends after 1");
    let mut forged = vec![36 + 2];
    forged.extend(Cid::of(b"ab").to_bytes());
    forged.extend(b"ac");
    refused(&after(&forged), 19, "damaged or forged");
}

#[test]
fn blocks_of_other_kinds_are_counted_and_checked() {
    let header = no_roots();
    let digest = *Cid::of(b"hello").digest();
    let raw = |text: &[u8]| [&[36 + 5, 1, 0x55, 0x12, 0x20], digest.as_slice(), text].concat();
    let identity = [&[4 + 5 + 5, 1, 0x55, 0x00, 5], b"hello".as_slice(), b"hello"].concat();
    let car = parse(&[header.clone(), raw(b"hello"), identity].concat()).unwrap();
    assert_eq!((car.foreign, car.blocks.len()), (2, 0));
    refused(&[header, raw(b"jello")].concat(), 19, "hash to bafk");
}

#[test]
fn a_block_that_comes_twice_counts_once_and_version_0_is_version_1() {
    let whole = small();
    let Car { roots, blocks, .. } = parse(&whole).unwrap();
    let mut twice = Vec::new();
    car::write(&roots, &[blocks.clone(), blocks.clone()].concat(), &mut twice).unwrap();
    let mut old = vec![u8::try_from(34 + blocks[0].1.len()).unwrap(), 0x12, 0x20];
    old.extend(blocks[0].0.digest());
    old.extend(&blocks[0].1);
    twice.extend(old);
    let car = parse(&twice).unwrap();
    assert_eq!((car.blocks.len(), car.repeated), (blocks.len(), blocks.len() as u64 + 1));
}
