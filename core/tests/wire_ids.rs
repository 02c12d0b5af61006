//! Texts of keys, CIDs and block ids: what is read, what is refused, and how it is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_core::{Bytes, Cid, Key};

const TEXT: &str = "bafybeicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m";
const ID: &str = "/CIQE7Q2TFYVPKDCAL3Q3O5QTMACLTSFAB25T4RU5CF2PZV5APX5VP4Y";

fn cid() -> Cid {
    TEXT.parse().expect("a CID")
}

#[test]
fn a_cid_is_shown_as_it_is_read() {
    assert_eq!(cid().to_string(), TEXT);
    assert_eq!(format!("{:?}", cid()), TEXT);
    assert_eq!(format!("{:>61}", cid()), format!("  {TEXT}"));
    assert_eq!(cid().block_id(), ID);
    assert_eq!(Cid::from_digest(*cid().digest()), cid());
}

#[test]
fn texts_that_are_no_cids_of_blocks_are_refused_with_help() {
    let upper = TEXT.to_uppercase();
    let mixed = TEXT.replacen('c', "C", 1);
    for text in [
        "",
        "b",
        &TEXT[1..],
        &TEXT[..58],
        &format!("{TEXT}a"),
        &format!("{TEXT}="),
        &upper,
        &mixed,
        &TEXT.replacen('y', "1", 1),
        // The last character holds two bits too many; here one of them is set.
        &format!("{}n", &TEXT[..58]),
        // Version 0; a raw block; dag-cbor.
        "QmTi1fTzbdNaBAiaMD2ESkhyWxW4fG4QxyXBAyBhKD6586",
        "bafkreicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m",
        "bafyreibjo4xmgaevkgud7mbifn3dzp4v4lyaui4yvqp3f2bqwtxcjrdqg4",
        "b\u{e4}fybeicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m",
    ] {
        let refused = text.parse::<Cid>().expect_err(text);
        assert!(refused.to_string().contains("`ipfs cid base32`"), "{refused}");
    }
}

#[test]
fn a_block_id_counts_with_one_slash_or_none() {
    assert_eq!(Cid::from_block_id(ID.as_bytes()), Some(cid()));
    assert_eq!(Cid::from_block_id(&ID.as_bytes()[1..]), Some(cid()));
    let lower = ID.to_lowercase();
    for id in [
        "",
        "/",
        &format!("/{ID}"),
        &format!("{ID}/"),
        &format!("/x{ID}"),
        &ID[..55],
        &lower,
        &format!("{ID}="),
        // Stray bits at the end.
        &format!("{}Z", &ID[..55]),
        // Another hash, and another length of digest, in as many characters.
        &ID.replacen("CIQ", "CMQ", 1),
        &ID.replacen("CIQ", "CIP", 1),
    ] {
        assert_eq!(Cid::from_block_id(id.as_bytes()), None, "{id}");
    }
}

#[test]
fn keys_are_shown_so_that_different_ones_differ() {
    let (text, bytes) = (Key::new("/ключ\n"), Key::new(b"/a\xff"));
    assert_eq!(text.to_string(), "/ключ\n");
    assert_eq!(format!("{text:?}"), r#"Key("/ключ\n")"#);
    assert_eq!(bytes.to_string(), "/a\u{fffd}");
    assert_eq!(format!("{bytes:?}"), r#"Key(b"/a\xff")"#);
    assert_eq!(format!("{:>4}|{:<4}|", Key::new("a"), Key::new("b")), "  /a|/b  |");
}

#[test]
fn a_clean_key_is_not_copied() {
    let raw = Bytes::from_static(b"/a/b/c");
    assert_eq!(Key::from_bytes(raw.clone()).bytes().as_ptr(), raw.as_ptr());
    let unclean = Bytes::from_static(b"/a/./b");
    assert_eq!(Key::from_bytes(unclean), Key::new("/a/b"));
}
