use awaitly_core::store::{DueQuery, Operate, RunQuery, Store, StoreError};

use super::{InRedis, Keys};
use crate::given::{append, begin, records, run_id, value};

/// The JSON form of a text.
fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[tokio::test]
async fn names_with_braces_and_colons_and_slashes_stay_apart() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    let names = ["a", "{a}", "{}", "a:b", ":", "/", "a/", "/a", "a\0", "\0", "\0\0a", "run/a", "*", "a\r\n"];
    for name in names {
        let lease = begin(&store, name).await;
        append(&store, &lease, value(name, &json(name))).await.unwrap();
    }
    for name in names {
        assert_eq!(records(&store, name).await, [value(name, &json(name))]);
    }
    let listed = store.list(RunQuery::new()).await.unwrap().items;
    let listed: Vec<_> = listed.into_iter().rev().map(|run| run.run).collect();
    assert_eq!(listed, names.map(run_id));
}

#[tokio::test]
async fn stores_with_different_prefixes_do_not_see_each_other() {
    let one = InRedis::new().await;
    // It begins with the other's prefix, so its keys go with the other's.
    let within = Keys::under(format!("{}:run", one.place.prefix));
    let other = within.options().connect(super::url()).await.unwrap();
    let lease = begin(&one.store, "order-42").await;
    append(&one.store, &lease, value("charge", "1")).await.unwrap();
    assert_eq!(other.load(&run_id("order-42")).await.unwrap(), None);
    assert!(other.list(RunQuery::new()).await.unwrap().items.is_empty());
    begin(&other, "order-42").await;
    assert_eq!(
        append(&other, &lease, value("ship", "1")).await,
        Err(StoreError::LeaseLost { run: "order-42".into() })
    );
    assert_eq!(records(&one.store, "order-42").await, [value("charge", "1")]);
}

#[tokio::test]
async fn lists_longer_than_a_piece_miss_none() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    let stored = {
        let lease = begin(&store, "first").await;
        store.release(&lease);
        store.load(&run_id("first")).await.unwrap().unwrap()
    };
    for number in 0..600 {
        // All of the same age, so that nothing but their names tells them apart.
        let imported = store.import(run_id(&format!("copy-{number:03}")), stored.clone()).await.unwrap();
        assert!(imported);
    }
    let due = store.due(DueQuery::new().limit(10_000)).await.unwrap();
    assert_eq!(due.len(), 601);
    assert!(due.is_sorted_by_key(|due| (due.since, due.run.clone())));
    assert_eq!(store.due(DueQuery::new().limit(300)).await.unwrap(), due[..300]);
    let listed = store.list(RunQuery::new().limit(1000)).await.unwrap();
    assert_eq!((listed.items.len(), listed.next), (601, None));
}
