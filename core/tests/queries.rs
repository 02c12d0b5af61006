//! Queries against rows that the Go implementation gave, and against a naive filter over a map.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Config, Filter, Input, Is, Key, Order, Query, Replica, Row, Token, store::MemoryStore,
};
use proptest::prelude::*;
use serde::Deserialize;
use std::{cmp::Ordering, collections::BTreeMap};
use support::Node;

#[derive(Deserialize)]
struct Queries {
    data: BTreeMap<String, String>,
    queries: Vec<QueryVector>,
}

#[derive(Deserialize)]
struct QueryVector {
    prefix: String,
    keys_only: bool,
    order: String,
    offset: usize,
    limit: usize,
    filter: Option<String>,
    rows: Vec<RowVector>,
}

#[derive(Deserialize)]
struct RowVector {
    key: String,
    /// What Go says: -1 for keys only without sizes.
    size: String,
    value: String,
}

fn replica(data: &BTreeMap<Key, Bytes>) -> Replica<MemoryStore> {
    let mut out = Vec::new();
    let mut replica = Replica::open(MemoryStore::new(), Config::default(), &mut out).unwrap();
    let batch = data.iter().fold(Batch::new(), |batch, (key, value)| batch.put(key.as_bytes(), value.clone()));
    let _ = replica.step(Input::Commit { token: Token(0), batch }, &mut out).unwrap();
    replica
}

#[test]
fn queries_give_the_rows_that_go_gives() {
    let vectors: Queries = serde_json::from_str(include_str!("data/queries.json")).unwrap();
    let data = vectors.data.iter().map(|(key, value)| (Key::new(key), Bytes::from(value.clone()))).collect();
    let replica = replica(&data);
    assert!(vectors.queries.len() >= 28);
    for vector in vectors.queries {
        let filters = vector.filter.iter().map(|filter| match filter.as_str() {
            "key > /b" => Filter::Key(Is::Greater, Key::new("/b")),
            "key prefix /a" => Filter::KeyPrefix(Bytes::from_static(b"/a")),
            "value == 6" => Filter::Value(Is::Equal, Bytes::from_static(b"6")),
            other => panic!("a filter that this test does not know: {other}"),
        });
        let query = Query {
            prefix: vector.prefix.clone().into(),
            filters: filters.collect(),
            order: match vector.order.as_str() {
                "key" => Order::Key,
                "key desc" => Order::KeyDescending,
                "value" => Order::Value,
                "value desc" => Order::ValueDescending,
                other => panic!("an order that this test does not know: {other}"),
            },
            offset: vector.offset,
            limit: (vector.limit > 0).then_some(vector.limit),
            keys_only: vector.keys_only,
        };
        let wanted: Vec<Row> = vector
            .rows
            .iter()
            .map(|row| Row {
                key: Key::new(&row.key),
                value: (!vector.keys_only).then(|| row.value.clone().into()),
                // Ours always knows the size.
                size: row.size.parse().unwrap_or_else(|_| vectors.data[&row.key].len()),
            })
            .collect();
        assert_eq!(replica.query(&query).unwrap(), wanted, "{query:?}");
    }
}

#[test]
fn the_root_key_comes_out_as_it_is() {
    let data =
        BTreeMap::from([(Key::new("/"), Bytes::from_static(b"root")), (Key::new("/a"), Bytes::from_static(b"1"))]);
    let replica = replica(&data);
    for prefix in ["", "/"] {
        let rows = replica.query(&Query { prefix: prefix.into(), ..Query::default() }).unwrap();
        let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_bytes()).collect();
        assert_eq!(keys, [&b"/"[..], b"/a"]);
    }
}

#[test]
fn a_snapshot_does_not_see_later_writes() {
    let mut replica = replica(&(0..600).map(|n| (Key::new(format!("/{n:04}")), Bytes::from_static(b"old"))).collect());
    let snapshot = replica.snapshot().unwrap();
    let mut rows = snapshot.rows(&Query::default());
    let first: Vec<Row> = rows.by_ref().take(10).map(Result::unwrap).collect();
    let batch = (0..600).fold(Batch::new().put("/9999", "new"), |batch, n| batch.put(format!("/{n:04}"), "new"));
    let _ = replica.step(Input::Commit { token: Token(1), batch }, &mut Vec::new()).unwrap();
    let rest: Vec<Row> = rows.map(Result::unwrap).collect();
    assert_eq!(first.len() + rest.len(), 600);
    assert!(first.iter().chain(&rest).all(|row| row.value.as_deref() == Some(b"old")));
    assert_eq!(replica.get(&Key::new("/0599")).unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_page_costs_its_rows_wherever_it_begins() {
    let mut node = Node::new();
    let batch = (0..5_000).fold(Batch::new(), |batch, n| batch.put(format!("/{n:04}"), "v"));
    node.commit(batch);
    let last = Key::new("/4321");
    let cases = [
        (vec![Filter::Key(Is::Greater, last.clone())], Some(10), 10),
        (vec![Filter::Key(Is::GreaterOrEqual, last.clone())], Some(10), 10),
        (vec![Filter::Key(Is::Equal, last.clone())], None, 1),
        (vec![Filter::Key(Is::Greater, Key::new("/1000")), Filter::Key(Is::Less, Key::new("/1011"))], None, 10),
        (
            vec![Filter::Key(Is::GreaterOrEqual, Key::new("/1000")), Filter::Key(Is::LessOrEqual, Key::new("/1009"))],
            None,
            10,
        ),
        (vec![Filter::KeyPrefix(Bytes::from_static(b"/432"))], None, 10),
        (vec![Filter::KeyPrefix(Bytes::from_static(b"/432")), Filter::KeyPrefix(Bytes::from_static(b"/5"))], None, 0),
    ];
    for (filters, limit, rows) in cases {
        let query = Query { filters, limit, ..Query::default() };
        let before = node.ops();
        assert_eq!(node.replica.query(&query).unwrap().len(), rows, "{query:?}");
        // Besides its rows a query may see the first one that is too many.
        assert!((node.ops() - before).reads() <= rows as u64 + 1, "{query:?}");
    }
}

#[test]
fn large_values_do_not_pile_up() {
    let mut node = Node::new();
    for n in 0..40 {
        node.put(&format!("/{n:02}"), &"v".repeat(1 << 18));
    }
    let snapshot = node.replica.snapshot().unwrap();
    let before = node.ops();
    let mut rows = snapshot.rows(&Query::default());
    assert!(rows.next().is_some());
    let read = (node.ops() - before).bytes_read;
    assert!(read < (1 << 20) + (1 << 19), "{read} bytes for the first row");
    assert_eq!(rows.count(), 39);
    let keys_only = Query { keys_only: true, ..Query::default() };
    assert_eq!(node.replica.query(&keys_only).unwrap().len(), 40);
}

/// What a query means, without chunks, ranges and iterators.
fn naive(data: &BTreeMap<Key, Bytes>, query: &Query) -> Vec<Row> {
    let prefix = Key::new(&query.prefix);
    let below = |key: &Key| {
        prefix.as_bytes() == b"/"
            || key.as_bytes().strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    let holds = |is: &Is, ordering: Ordering| match is {
        Is::Equal => ordering == Ordering::Equal,
        Is::NotEqual => ordering != Ordering::Equal,
        Is::Less => ordering == Ordering::Less,
        Is::LessOrEqual => ordering != Ordering::Greater,
        Is::Greater => ordering == Ordering::Greater,
        Is::GreaterOrEqual => ordering != Ordering::Less,
    };
    let takes = |key: &Key, value: &Bytes| {
        query.filters.iter().all(|filter| match filter {
            Filter::Key(is, other) => holds(is, key.cmp(other)),
            Filter::KeyPrefix(prefix) => key.as_bytes().starts_with(prefix),
            Filter::Value(is, other) => holds(is, value.cmp(other)),
        })
    };
    let mut found: Vec<(&Key, &Bytes)> = data.iter().filter(|(key, value)| below(key) && takes(key, value)).collect();
    found.sort_by(|a, b| match query.order {
        Order::Key => a.0.cmp(b.0),
        Order::KeyDescending => b.0.cmp(a.0),
        Order::Value => a.1.cmp(b.1).then(a.0.cmp(b.0)),
        Order::ValueDescending => b.1.cmp(a.1).then(a.0.cmp(b.0)),
    });
    let row = |(key, value): (&Key, &Bytes)| Row {
        key: key.clone(),
        value: (!query.keys_only).then(|| value.clone()),
        size: value.len(),
    };
    found.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX)).map(row).collect()
}

fn text() -> impl Strategy<Value = String> {
    "(/[ab]{1,2}){0,3}"
}

fn comparison() -> impl Strategy<Value = Is> {
    prop::sample::select(vec![Is::Equal, Is::NotEqual, Is::Less, Is::LessOrEqual, Is::Greater, Is::GreaterOrEqual])
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        (comparison(), text()).prop_map(|(is, key)| Filter::Key(is, Key::new(key))),
        text().prop_map(|prefix| Filter::KeyPrefix(prefix.into())),
        (comparison(), "[ab]{0,2}").prop_map(|(is, value)| Filter::Value(is, value.into())),
    ]
}

fn orders() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![Order::Key, Order::KeyDescending, Order::Value, Order::ValueDescending])
}

fn query() -> impl Strategy<Value = Query> {
    let filters = prop::collection::vec(filter(), 0..4);
    (text(), filters, orders(), 0..20_usize, prop::option::of(0..20_usize), any::<bool>()).prop_map(
        |(prefix, filters, order, offset, limit, keys_only)| Query {
            prefix: prefix.into(),
            filters,
            order,
            offset,
            limit,
            keys_only,
        },
    )
}

proptest! {
    #[test]
    fn queries_mean_what_a_naive_filter_means(
        data in prop::collection::btree_map(text().prop_map(Key::new), "[ab]{0,3}".prop_map(Bytes::from), 0..60),
        queries in prop::collection::vec(query(), 1..8),
    ) {
        let replica = replica(&data);
        for query in queries {
            prop_assert_eq!(replica.query(&query).unwrap(), naive(&data, &query));
        }
    }

    #[test]
    fn chunks_meet_without_gap_or_overlap(
        rows in 250..1030_usize,
        filters in prop::collection::vec((comparison(), 0..1030_usize, any::<bool>()), 0..3),
        order in orders(),
        offset in prop_oneof![Just(0), 0..1030_usize],
        limit in prop::option::of(0..600_usize),
    ) {
        let data = (0..rows).map(|n| (Key::new(format!("/{n}")), Bytes::from(n.to_string()))).collect();
        let filter = |(is, n, by_key): (Is, usize, bool)| match by_key {
            true => Filter::Key(is, Key::new(n.to_string())),
            false => Filter::Value(is, n.to_string().into()),
        };
        let filters = filters.into_iter().map(filter).collect();
        let query = Query { filters, order, offset, limit, ..Query::default() };
        prop_assert_eq!(replica(&data).query(&query).unwrap(), naive(&data, &query));
    }
}
