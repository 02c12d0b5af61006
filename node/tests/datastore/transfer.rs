//! Export and import of CAR files.

use crate::support::{fast, rows};
use anabranch::{Batch, Cid, Datastore, TransferError, limits};
use std::collections::BTreeSet;

/// A history with branches, deletes and two DAG names.
async fn history(store: &Datastore) {
    for n in 0..30 {
        store.put(format!("/{}", n % 7), format!("{n}")).await.unwrap();
        if n % 5 == 0 {
            store.delete(format!("/{}", (n + 3) % 7)).await.unwrap();
        }
    }
    let batch = Batch { dag: anabranch::DagName::new("other"), ..Batch::new().put("/named", "x") };
    store.commit(batch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_imported_elsewhere_and_gives_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.car");
    let store = fast().memory().await.unwrap();
    history(&store).await;
    let exported = store.export(&file, None).await.unwrap();
    assert_eq!(exported.blocks, store.stats().await.unwrap().merged);
    assert_eq!(exported.roots.len(), 2);
    // Parents first.
    let car = anabranch_car::read(&file).unwrap();
    let mut seen: BTreeSet<Cid> = BTreeSet::new();
    for (cid, bytes) in &car.blocks {
        assert!(anabranch::wire::Block::decode(bytes).links.iter().all(|link| seen.contains(link)));
        seen.insert(*cid);
    }
    assert_eq!(seen.len() as u64, exported.blocks);
    let other = fast().memory().await.unwrap();
    let imported = other.import(&file).await.unwrap();
    assert_eq!((imported.merged, imported.pending, imported.void), (exported.blocks, 0, 0));
    assert_eq!(other.heads().await.unwrap(), store.heads().await.unwrap());
    assert_eq!(rows(&other).await, rows(&store).await);
    // Again: nothing changes.
    assert_eq!(other.import(&file).await.unwrap(), imported);
    // And what comes out there is the same history.
    let again = folder.path().join("again.car");
    assert_eq!(other.export(&again, None).await.unwrap().blocks, exported.blocks);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ancestry_of_one_block_is_exported_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("part.car");
    let store = fast().memory().await.unwrap();
    store.put("/a", "1").await.unwrap();
    let second = store.put("/b", "2").await.unwrap().blocks[0];
    store.put("/c", "3").await.unwrap();
    let exported = store.export(&file, Some(vec![second])).await.unwrap();
    assert_eq!((exported.blocks, exported.roots), (2, vec![second]));
    let other = fast().memory().await.unwrap();
    other.import(&file).await.unwrap();
    assert_eq!(other.heads().await.unwrap()[0].cid, second);
    assert!(!other.has("/c").await.unwrap());
    let nobodys = Cid::of(b"x");
    let refused = store.export(&file, Some(vec![nobodys])).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotMerged(cid) if cid == nobodys), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A file with the heads first, as `ipfs dag export` writes it, and room for one body: bodies are dropped and read from the file again.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_heads_first_is_imported_with_room_for_few_bodies() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backwards) = (folder.path().join("all.car"), folder.path().join("backwards.car"));
    let store = fast().memory().await.unwrap();
    for n in 0..60_u8 {
        store.put(format!("/{n}"), vec![n; 10_000]).await.unwrap();
    }
    store.export(&file, None).await.unwrap();
    let mut car = anabranch_car::read(&file).unwrap();
    car.blocks.reverse();
    anabranch_car::write(&car.roots, &car.blocks, &mut std::fs::File::create(&backwards).unwrap()).unwrap();
    let other = fast().options(|options| options.replica.pending_bytes_max = 40_000).memory().await.unwrap();
    let imported = other.import(&backwards).await.unwrap();
    assert_eq!((imported.merged, imported.pending, imported.void), (60, 0, 0));
    assert_eq!(rows(&other).await, rows(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn void_blocks_count_only_below_good_ones_and_what_is_missing_is_pending() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.car");
    let hex = |text: &str| anabranch::Bytes::from(data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap());
    // c1 and its void child, and a good child of that; and a chain whose root is not there.
    let c0 = hex("0a0d0a090a032f6b301a0276301801");
    let c1 = hex(
        "122a0a2401701220f09930e7a0aa26a065322b334e6f591cee341808a5040478446998355ebb24b8120018000a0d0a090a032f6b311a0276311802",
    );
    let void =
        hex("122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a03ffffff");
    let c3 = hex(
        "122a0a2401701220d94843837f6aec095cf7b851180567a79df7f3acce48c100960fb4c8219e5eb4120018000a0d0a090a032f6b331a0276331804",
    );
    let lone_void = hex("0a03ffffff");
    let orphan = hex(
        "122a0a24017012206b02c4925515519276fae2ea00e3324afb821e6fad443cf36cf8f867e5f964c0120018000a0d0a090a032f6b351a0276351806",
    );
    let blocks: Vec<_> =
        [void, lone_void, orphan, c0, c1, c3].into_iter().map(|bytes| (Cid::of(&bytes), bytes)).collect();
    anabranch_car::write(&[], &blocks, &mut std::fs::File::create(&file).unwrap()).unwrap();
    let store = fast().memory().await.unwrap();
    let imported = store.import(&file).await.unwrap();
    assert_eq!((imported.merged, imported.pending, imported.void), (4, 1, 1));
    assert!(store.is_behind().await.unwrap());
    assert_eq!(rows(&store).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.car");
    let store = fast().memory().await.unwrap();
    history(&store).await;
    store.export(&file, None).await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let other = fast().memory().await.unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (damaged, expected) in [(&flipped[..], "hash to"), (&bytes[..bytes.len() - 3], "truncated"), (&[], "empty")] {
        std::fs::write(&file, damaged).unwrap();
        let refused = other.import(&file).await.unwrap_err();
        assert!(matches!(refused, TransferError::File(_)) && refused.to_string().contains(expected), "{refused}");
        assert_eq!(other.stats().await.unwrap().merged, 0);
    }
    let refused = other.import(folder.path().join("none.car")).await.unwrap_err();
    assert!(refused.to_string().contains("none.car: cannot be read"), "{refused}");
    let refused = store.export(folder.path().join("none/x.car"), None).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be written"), "{refused}");
    // A value of the largest size travels too.
    store.put("/large", vec![1; limits::BLOCK_BYTES_WRITTEN_MAX - 1_000]).await.unwrap();
    store.export(&file, None).await.unwrap();
    other.import(&file).await.unwrap();
    assert_eq!(rows(&other).await, rows(&store).await);
}
