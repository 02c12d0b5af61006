//! What goes wrong in go-ds-crdt, as blocks and payloads: the rows of its fault list that the wire
//! format alone can show, and how our reader compares with Go's on malformed input.
//!
//! The expectations marked "as Go" were seen by running go-codec-dagpb v1.7.0 and the protobuf messages of
//! go-ds-crdt v0.6.8 over the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    limits::{BLOCK_BYTES_MERGED_MAX, DAG_NAME_BYTES_MAX, KEY_BYTES_MAX},
    wire::{self, Announcement, Block, Delta, Element, Flaw, Tombstone},
};
use data_encoding::HEXLOWER;

/// A digest to link to, and the CID's bytes in hex.
const DIGEST: &str = "4fc3532e2af50c405ee1b776136004b9c8a00ebb3e469d1174fcd7a07dfb57f3";
const PARENT: &str = "bafybeicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m";

fn hex(text: &str) -> Bytes {
    HEXLOWER.decode(text.as_bytes()).expect("hex").into()
}

fn block(text: &str) -> Block {
    Block::decode(&hex(text))
}

fn delta(text: &str) -> Delta {
    block(text).delta.expect("a good block")
}

fn put(key: &str, value: &str) -> Element {
    Element { key: Key::new(key), value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn puts(elements: &[Element], priority: u64) -> Delta {
    Delta { elements: elements.to_vec(), priority, ..Delta::default() }
}

fn parent() -> Cid {
    PARENT.parse().expect("a CID")
}

/// A field of bytes, in hex: tag, length (under 128), content.
fn field(tag: &str, content: &str) -> String {
    assert!(content.len() < 256, "one byte of length");
    format!("{tag}{:02x}{content}", content.len() / 2)
}

/// A link, given what is in it.
fn link(content: &str) -> String {
    field("12", content)
}

/// The Hash of a link to [`PARENT`].
fn hash() -> String {
    field("0a", &format!("01701220{DIGEST}"))
}

/// A block with this delta and nothing else.
fn data(delta: &str) -> String {
    field("0a", delta)
}

const X5: &str = "0a0e0a0a0a03666f6f1a037261771801";
const A5: &str = "0a0d0a090a042f666f6f1a01611801";
const D5: &str = "122a0a24017012205253306f449f4a175916066cd494dce2eee498ba02105ee97b87721f21e18403120018000a4412400a042f666f6f12382f4349514645555a514e35434a365351584c454c414d33475553544f4f463358455443354145454336354635594f345137454851594941591802";
const D5_WITHOUT_SLASH: &str = "122a0a24017012205253306f449f4a175916066cd494dce2eee498ba02105ee97b87721f21e18403120018000a43123f0a042f666f6f12374349514645555a514e35434a365351584c454c414d33475553544f4f463358455443354145454336354635594f345137454851594941591802";
const A3_5: &str = "0a0d0a090a042f6b2f781a01311801";
const T3_5: &str = "0a4412400a022f6b123a2f782f4349514e534656515557344e41335758464c5232374547333751535556595a35495433565935475a49365646554556443542584a354a411801";

#[test]
fn row_2_a_key_written_twice_stays_twice_in_order() {
    assert_eq!(delta("0a140a070a022f6b1a01620a070a022f6b1a01611805"), puts(&[put("/k", "b"), put("/k", "a")], 5));
}

#[test]
fn row_3_an_empty_value_is_a_value() {
    assert_eq!(delta("0a080a040a022f6b1801"), puts(&[put("/k", "")], 1));
}

#[test]
fn row_5_keys_are_cleaned() {
    assert_eq!(delta(X5), puts(&[put("/foo", "raw")], 1));
    assert_eq!(delta(A5), puts(&[put("/foo", "a")], 1));
    assert_eq!(delta("0a140a100a092f666f6f2f2f6261721a037261771801"), puts(&[put("/foo/bar", "raw")], 1));
    assert_eq!(delta("0a110a0d0a082f666f6f2f6261721a01611801"), puts(&[put("/foo/bar", "a")], 1));
}

#[test]
fn row_5_a_tombstone_id_counts_with_its_slash_and_without_it() {
    let removal = Tombstone { key: Key::new("/foo"), target: Cid::of(&hex(A5)) };
    for removing in [D5, D5_WITHOUT_SLASH] {
        let block = block(removing);
        assert_eq!(block.links, [Cid::of(&hex(A5))]);
        let delta = block.delta.expect("a good block");
        assert_eq!((delta.tombstones, delta.priority), (vec![removal.clone()], 2));
    }
}

#[test]
fn row_5_an_id_with_an_inner_slash_voids_its_tombstone_alone() {
    assert_eq!(delta(T3_5), puts(&[], 1));
    // Not for want of a target: without the inner part it is the id of A3.
    let id = hex(T3_5).slice(10..68).slice(2..);
    assert_eq!(Cid::from_block_id(&id), Some(Cid::of(&hex(A3_5))));
}

#[test]
fn row_9_data_that_does_not_decode_makes_a_void_block_with_links() {
    let bad =
        block("122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a03ffffff");
    assert_eq!(bad.links.len(), 1);
    assert!(matches!(bad.delta, Err(Flaw::NotDelta(_))), "{bad:?}");
    let child = "122a0a2401701220d94843837f6aec095cf7b851180567a79df7f3acce48c100960fb4c8219e5eb4120018000a0d0a090a032f6b331a0276331804";
    assert_eq!(delta(child), puts(&[put("/k3", "v3")], 4));
}

#[test]
fn row_18_any_priority_is_read() {
    let forged = block(
        "122a0a2401701220912f4f192f5b2d64722eb6bac09867234a5c8bc62b79c46fdec9c05177c8d941120018000a170a0a0a022f6b1a046576696c18ffffffffffffffffff01",
    );
    assert_eq!(forged.delta.expect("a good block").priority, u64::MAX);
}

#[test]
fn row_19_dots_in_keys_lead_nowhere() {
    assert_eq!(delta("0a130a0f0a0a2f2e2e2f2e2e2f682f581a01761801"), puts(&[put("/h/X", "v")], 1));
}

#[test]
fn row_19_dots_in_tombstone_ids_void_the_tombstone() {
    for hostile in [
        "0a1712130a022f6b120d2f2e2e2f2e2e2f2e2e2f682f591801",
        "0a1f121b0a022f6b12152f2e2e2f2e2e2f2e2e2f2e2e2f6170702f646174611801",
        "0a1512110a022f6b120b2f2e2e2f2e2e2f2e2e2f641801",
        "0a20121c0a022f6b12162f2e2e2f2e2e2f2e2e2f637264745f76657273696f6e1801",
    ] {
        assert_eq!(delta(hostile), puts(&[], 1), "{hostile}");
    }
}

#[test]
fn row_20_dag_names_are_any_text() {
    let named = |name: &str| Delta { dag: DagName::new(name), ..puts(&[put("/k", "v")], 1) };
    assert_eq!(delta("0a100a070a022f6b1a017618012203612f62"), named("a/b"));
    for name in ["a/b", ".", "..", "../h", "/x", "ключ"] {
        assert_eq!(Block::decode(&Block::encode(&[], &named(name))).delta, Ok(named(name)));
    }
    let longest = named(&"n".repeat(DAG_NAME_BYTES_MAX));
    assert_eq!(Block::decode(&Block::encode(&[], &longest)).delta, Ok(longest));
    let too_long = named(&"n".repeat(DAG_NAME_BYTES_MAX + 1));
    assert_eq!(Block::decode(&Block::encode(&[parent()], &too_long)).delta, Err(Flaw::DagNameTooLong));
    assert_eq!(block(&data("2201ff")).delta, Err(Flaw::NotDelta("a string that is not UTF-8".into())));
}

#[test]
fn row_21_a_foreign_link_voids_the_block_and_costs_no_other_link() {
    let raw = "122a0a24015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b982412001800";
    let delta = "0a0b0a070a022f781a01311802";
    assert_eq!(block(&format!("{raw}{delta}")), Block { links: vec![], delta: Err(Flaw::ForeignLink) });
    let among_others = format!("{raw}{}{delta}", link(&hash()));
    assert_eq!(block(&among_others), Block { links: vec![parent()], delta: Err(Flaw::ForeignLink) });
    // dag-pb with another hash, with a shorter sha2-256, with trailing bytes; and what is no CID at all.
    for hash in ["01701620", "0170121f"].map(|prefix| format!("{prefix}{DIGEST}")).into_iter().chain([
        format!("01701220{DIGEST}00"),
        format!("0170121f{}", &DIGEST[2..]),
        format!("017012a000{DIGEST}"),
        "616263".into(),
        String::new(),
    ]) {
        let foreign = format!("{}{}", link(&field("0a", &hash)), link(&self::hash()));
        assert_eq!(block(&foreign), Block { links: vec![parent()], delta: Err(Flaw::ForeignLink) }, "{hash}");
    }
}

#[test]
fn the_empty_block_that_go_publishes_for_a_delete_of_nothing_is_good() {
    assert_eq!(block("0a021801"), Block { links: vec![], delta: Ok(puts(&[], 1)) });
}

#[test]
fn a_block_without_data_is_an_empty_delta_of_priority_0() {
    assert_eq!(block(""), Block { links: vec![], delta: Ok(Delta::default()) });
    assert_eq!(block(&link(&hash())), Block { links: vec![parent()], delta: Ok(Delta::default()) });
}

#[test]
fn links_of_v0_6_8_with_three_heads_are_written_alike() {
    let go = "122a0a24017012209121799f6c23c128be5d033c58a4b7a69219e423b15ba9a8a55f691515813edc12001800122a0a2401701220c35e2b96e78997c757954ea5246758b9d40282317203f7de79d7e1d76a419fe212001800122a0a2401701220d3308cb61780d5fd943049892e2e4d0d583d8eee60d17e866f356b1a48cd9ce7120018000a0c0a080a022f611a02fdf21808";
    let block = block(go);
    let mut links = block.links.clone();
    links.rotate_left(1);
    links.push(links[0]);
    assert_eq!(HEXLOWER.encode(&Block::encode(&links, &block.delta.expect("a good block"))), go);
}

#[test]
fn links_of_js_ds_crdt_have_no_tsize_and_are_read() {
    let js = format!("{}{}", link(&format!("{}1200", hash())), "0a0b0a070a022f6b1a01761802");
    assert_eq!(block(&js), Block { links: vec![parent()], delta: Ok(puts(&[put("/k", "v")], 2)) });
    // Nor is a name needed; a link given twice counts once, as version 0 and as version 1.
    let v0 = link(&field("0a", &format!("1220{DIGEST}")));
    assert_eq!(block(&format!("{}{v0}", link(&hash()))).links, [parent()]);
}

#[test]
fn dag_pb_is_judged_as_go_judges_it() {
    let (link_, hash) = (link(&hash()), hash());
    let good: &[(String, usize)] = &[
        (format!("{link_}0a00"), 1),
        (format!("0a00{link_}"), 1),
        (format!("0a00{link_}{link_}"), 1),
        (link(&format!("{hash}1800")), 1),
        (link(&format!("{hash}1201ff1800")), 1),
        (link(&format!("{hash}120018ffffffffffffffffff01")), 1),
        ("8a800000".into(), 0),
        ("0a8000".into(), 0),
        (link(&format!("8a00{}", &hash[2..])), 1),
    ];
    for (text, links) in good {
        let block = block(text);
        assert_eq!((block.links.len(), block.delta), (*links, Ok(Delta::default())), "{text}");
    }
    let bad: &[(String, &str)] = &[
        (format!("{link_}0a00{link_}"), "Links on both sides of Data"),
        ("0a000a00".into(), "Data twice"),
        (link(&format!("{hash}18001200")), "Hash, Name and Tsize of a link twice or out of order"),
        (link(&format!("1200{hash}")), "Hash, Name and Tsize of a link twice or out of order"),
        (link(&format!("{hash}{hash}")), "Hash, Name and Tsize of a link twice or out of order"),
        (link(&format!("{hash}2000")), "a link with a field that is not Hash, Name or Tsize"),
        (link(&format!("{hash}1000")), "Hash, Name or Tsize of a wrong type"),
        (link(&format!("{hash}18ffffffffffffffffff02")), "a number over 64 bits"),
        (link("1200"), "a link without Hash"),
        (link(""), "a link without Hash"),
        (format!("{link_}1a00"), "a field that is neither Links nor Data"),
        ("0801".into(), "Links or Data of a wrong type"),
        ("1280".into(), "it ends inside a number"),
        ("0a05".into(), "a field longer than what is left"),
        ("0affffffffffffffffff01".into(), "a field longer than what is left"),
        ("0b0c".into(), "Links or Data of a wrong type"),
        ("00".into(), "a field number of 0"),
    ];
    for (text, why) in bad {
        assert_eq!(block(text), Block { links: vec![], delta: Err(Flaw::NotDagPb((*why).into())) }, "{text}");
    }
}

#[test]
fn deltas_are_judged_as_go_judges_them() {
    let plain = "0a070a022f6b1a01761801";
    let same = [
        // Known fields of another wire type are unknown fields, and those are skipped.
        format!("0801{plain}"),
        format!("1a0161{plain}"),
        format!("2801{plain}2900000000000000002d00000000"),
        format!("{plain}2b2b082a1201332c2c"),
        format!("{}1801", field("0a", "0a022f6b1001180113141a0176")),
        // The last of a field that comes twice counts.
        format!("1809{plain}"),
        format!("{}1801", field("0a", "0a022f780a022f6b1a01781a0176")),
        // Numbers and tags may be longer than they need.
        "0a070a022f6b1a017698008100".into(),
        format!("{plain}f8ffffff0f01"),
        // An element's id is nothing to us.
        format!("{}1801", field("0a", "0a022f6b12036162631a0176")),
    ];
    for text in same {
        assert_eq!(block(&data(&text)).delta, Ok(puts(&[put("/k", "v")], 1)), "{text}");
    }
    let bad = [
        ("0a070a022fff1a0176", "a string that is not UTF-8"),
        ("0a080a022f6b1201ff1a00", "a string that is not UTF-8"),
        ("12070a022f6b1201ff", "a string that is not UTF-8"),
        ("2201ff220161", "a string that is not UTF-8"),
        ("0a050a022f6b", "a field longer than what is left"),
        ("2b34", "the end of a group that did not begin"),
        ("2c", "the end of a group that did not begin"),
        ("2b0801", "it ends inside a group"),
        ("2e", "an unknown wire type"),
        ("2f", "an unknown wire type"),
        ("0001", "a field number of 0"),
        ("2900", "a field longer than what is left"),
        ("1880808080808080808002", "a number over 64 bits"),
        ("188080808080808080808000", "a number over 64 bits"),
        ("f8ffffff1f01", "a field number over 2^29 - 1"),
    ];
    for (text, why) in bad {
        assert_eq!(block(&data(text)).delta, Err(Flaw::NotDelta(why.into())), "{text}");
    }
}

#[test]
fn groups_may_be_nested_as_deep_as_in_go_and_do_not_eat_the_stack() {
    let nested = |depth| {
        let delta = [vec![0x2b; depth], vec![0x2c; depth], vec![0x18, 1]].concat();
        let length = (delta.len() as u32).to_be_bytes();
        assert!(delta.len() < 1 << 15, "three bytes of length");
        let varint =
            [length[3] | 0x80, (length[2] << 1) | (length[3] >> 7) | 0x80, (length[2] >> 6) | (length[1] << 2)];
        Block::decode(&[&[0x0a][..], &varint, &delta].concat().into()).delta
    };
    assert_eq!(nested(10_001), Ok(puts(&[], 1)));
    assert_eq!(nested(10_002), Err(Flaw::NotDelta("groups nested too deep".into())));
}

#[test]
fn a_key_over_the_limit_voids_its_element_alone() {
    let longest = Key::new(vec![b'a'; KEY_BYTES_MAX - 1]);
    let too_long = Key::new(vec![b'a'; KEY_BYTES_MAX]);
    let elements = [&longest, &too_long, &Key::new("/k")].map(|key| Element { key: key.clone(), value: Bytes::new() });
    let tombstones = [&too_long, &longest].map(|key| Tombstone { key: key.clone(), target: parent() });
    let delta = Delta { elements: elements.to_vec(), tombstones: tombstones.to_vec(), ..Delta::default() };
    let read = Block::decode(&Block::encode(&[], &delta)).delta.expect("a good block");
    assert_eq!(read.elements, [elements[0].clone(), elements[2].clone()]);
    assert_eq!(read.tombstones, [tombstones[1].clone()]);
}

#[test]
fn a_block_over_the_limit_is_void_and_keeps_its_links() {
    // Lengths from 2^21 to 2^28 take four bytes each, so the rest of the block is of one size.
    let with_value = |bytes| Block::encode(&[parent()], &puts(&[put("/k", &"v".repeat(bytes))], 1));
    let rest = with_value(1 << 21).len() - (1 << 21);
    let largest = with_value(BLOCK_BYTES_MERGED_MAX - rest);
    assert_eq!(largest.len(), BLOCK_BYTES_MERGED_MAX);
    assert!(Block::decode(&largest).delta.is_ok());
    let over = with_value(BLOCK_BYTES_MERGED_MAX - rest + 1);
    assert_eq!(Block::decode(&over), Block { links: vec![parent()], delta: Err(Flaw::TooLarge) });
    let garbage = Bytes::from(vec![0xff; BLOCK_BYTES_MERGED_MAX + 1]);
    assert_eq!(Block::decode(&garbage), Block { links: vec![], delta: Err(Flaw::TooLarge) });
}

#[test]
fn legacy_payloads_are_a_bare_cid_of_either_version() {
    for payload in [format!("01701220{DIGEST}"), format!("1220{DIGEST}")] {
        let read = wire::decode_announcement(&hex(&payload));
        assert_eq!(read, Some(Announcement { heads: vec![parent()], bad: 0 }), "{payload}");
    }
    for payload in
        [format!("01551220{DIGEST}"), format!("1220{DIGEST}00"), "ff".into(), format!("1220{}", &DIGEST[2..])]
    {
        assert_eq!(wire::decode_announcement(&hex(&payload)), None, "{payload}");
    }
}

#[test]
fn a_field_beside_the_heads_is_ignored_and_a_malformed_message_is_none() {
    let head = field("0a", &hash());
    for other in ["1001", "0801"] {
        let read = wire::decode_announcement(&hex(&format!("{head}{other}")));
        assert_eq!(read, Some(Announcement { heads: vec![parent()], bad: 0 }), "Go drops it; the head is good");
    }
    assert_eq!(wire::decode_announcement(&hex(&format!("{head}0a"))), None);
}

#[test]
fn one_bad_head_spoils_only_itself() {
    let good = Announcement { heads: vec![parent()], bad: 0 };
    assert_eq!(wire::decode_announcement(&hex("")), Some(Announcement::default()));
    // What is in a head beside the CID is ignored, and version 0 and 1 are one head.
    for content in ["", "12026e31", "1a0161", "1001", "1201ff"] {
        let payload = field("0a", &format!("{}{content}", hash()));
        assert_eq!(wire::decode_announcement(&hex(&payload)), Some(good.clone()), "{payload}");
    }
    let v0 = field("0a", &field("0a", &format!("1220{DIGEST}")));
    assert_eq!(wire::decode_announcement(&hex(&format!("{}{v0}", field("0a", &hash())))), Some(good));
    // A raw CID, no CID, no field, and a head that does not decode: four bad ones around a good one.
    let raw = field("0a", &field("0a", &format!("01551220{DIGEST}")));
    let payload = format!("{raw}{}{}{}{}", field("0a", "0a03616263"), field("0a", &hash()), "0a00", field("0a", "0a"));
    assert_eq!(wire::decode_announcement(&hex(&payload)), Some(Announcement { heads: vec![parent()], bad: 4 }));
}

#[test]
fn announcements_are_cut_by_size_with_at_least_one_head_each() {
    let (main, named) = (DagName::default(), DagName::new("n1"));
    let heads: Vec<_> = (0..100u8).map(|n| (Cid::of(&[n]), if n % 2 == 0 { &main } else { &named })).collect();
    let cids: Vec<_> = heads.iter().map(|(cid, _)| *cid).collect();
    for (bytes_max, messages) in [(usize::MAX, 1), (4200, 1), (4199, 2), (84, 50), (83, 100), (40, 100), (0, 100)] {
        let payloads = wire::encode_announcements(heads.iter().copied(), bytes_max);
        assert_eq!(payloads.len(), messages, "{bytes_max}");
        assert!(messages == 100 || payloads.iter().all(|payload| payload.len() <= bytes_max));
        let read = payloads.iter().map(|payload| wire::decode_announcement(payload).expect("an announcement"));
        assert_eq!(read.flat_map(|message| message.heads).collect::<Vec<_>>(), cids);
    }
    assert!(wire::encode_announcements([], usize::MAX).is_empty());
}
