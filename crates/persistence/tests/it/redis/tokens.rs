//! Entries that wait, found by their tokens.

use awaitly_core::journal::{Outcome, Payload, Settling, Status, Timestamp, WaitEntry};
use awaitly_core::store::{
    Answer, Cancelled, DeleteIf, Ending, Operate, Purpose, Store, StoredRun, WaitQuery,
};
use awaitly_persistence::RedisStore;

use super::{InRedis, Keys};
use crate::given::{begin, hold, question, request, run_id, value};

/// The runs and keys of the entries with that token.
async fn found(store: &RedisStore, token: &str) -> Vec<(String, String)> {
    let found = store.waiting(WaitQuery::new().token(token)).await.unwrap().items;
    found.into_iter().map(|waiting| (waiting.run.to_string(), waiting.entry.key.to_string())).collect()
}

fn places(places: &[(&str, &str)]) -> Vec<(String, String)> {
    places.iter().map(|(run, key)| ((*run).to_owned(), (*key).to_owned())).collect()
}

impl Keys {
    /// How many entries are found by their tokens, whether or not they wait.
    fn listed(&self) -> redis::Value {
        self.command("ZCARD", "tokens", &[])
    }
}

#[tokio::test]
async fn token_finds_entry_without_list_of_all() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    store.wait(&lease, question("manager", "s3cret")).await.unwrap();
    store.wait(&lease, question("director", "other")).await.unwrap();
    // The list of all.
    keys.command("UNLINK", "asking", &[]);
    assert_eq!(found(&store, "s3cret").await, places(&[("order-42", "manager")]));
    assert_eq!(found(&store, "s3cre").await, []);
    let elsewhere = WaitQuery::new().token("s3cret").key("director");
    assert!(store.waiting(elsewhere).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn tokens_that_look_alike_are_not_confused() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    let tokens = ["", "a", "a\0", "a\0\0", "a\0\u{1}", "a\u{1}", "ab", "\0", "\0\0", "é 7", "%z"];
    for (number, token) in tokens.iter().enumerate() {
        let lease = begin(&store, &format!("order\0{number}")).await;
        store.wait(&lease, question("\0manager", token)).await.unwrap();
    }
    for (number, token) in tokens.iter().enumerate() {
        let run = format!("order\0{number}");
        assert_eq!(found(&store, token).await, places(&[(&run, "\0manager")]), "{token:?}");
    }
}

#[tokio::test]
async fn entries_with_one_token_are_listed_newest_first() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    let lease = begin(&store, "order-0").await;
    let stored = store.load(&run_id("order-0")).await.unwrap().unwrap();
    store.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
    for (run, since) in [("order-1", 7), ("order-2", 9), ("order-3", 8)] {
        let entry = WaitEntry {
            key: "manager".into(),
            token: "s3cret".into(),
            request: Payload::encode("may I?").unwrap(),
            since: Timestamp::from_millis(since),
            expires: None,
        };
        let copy = StoredRun { waits: vec![entry], ..stored.clone() };
        assert_eq!(store.import(run_id(run), copy).await, Ok(true));
    }
    let all = places(&[("order-2", "manager"), ("order-3", "manager"), ("order-1", "manager")]);
    assert_eq!(found(&store, "s3cret").await, all);
    let first = store.waiting(WaitQuery::new().token("s3cret").limit(2)).await.unwrap();
    let mut rest = WaitQuery::new().token("s3cret").limit(2);
    rest.after = first.next;
    let rest = store.waiting(rest).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
    assert_eq!(*rest.items[0].run, *"order-1");
}

#[tokio::test]
async fn entry_is_found_for_as_long_as_it_waits() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let run = run_id("order-42");
    let lease = begin(&store, "order-42").await;
    for key in ["answered", "withdrawn", "open"] {
        store.wait(&lease, question(key, key)).await.unwrap();
    }
    assert_eq!(keys.listed(), redis::Value::Int(3));

    let yes = Outcome::Value(Payload::encode("yes").unwrap());
    let answer = Answer::new(run.clone(), "answered", yes);
    assert_eq!(store.answer(answer).await, Ok(Ok(())));
    store.settle(&lease, value("withdrawn", "\"no\""), Settling::Withdraw).await.unwrap();
    assert_eq!(keys.listed(), redis::Value::Int(1));
    assert_eq!(found(&store, "open").await, places(&[("order-42", "open")]));

    store.finish(&lease, Ending::new(Status::Failed)).await.unwrap();
    assert_eq!((found(&store, "open").await, keys.listed()), (vec![], redis::Value::Int(0)));
    let (lease, _) = hold(&store, request("order-42").purpose(Purpose::Retry)).await;
    store.revive(&lease, vec![]).await.unwrap();
    assert_eq!(found(&store, "open").await, places(&[("order-42", "open")]));

    store.release(&lease);
    assert_eq!(store.cancel_without_undo(&run).await, Ok(Cancelled::WithoutUndo));
    assert_eq!((found(&store, "open").await, keys.listed()), (vec![], redis::Value::Int(0)));
    let (lease, _) = hold(&store, request("order-42").purpose(Purpose::Retry)).await;
    store.revive(&lease, vec![]).await.unwrap();
    store.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
    assert_eq!(keys.listed(), redis::Value::Int(1));
    assert_eq!(store.delete(vec![run.clone()], DeleteIf::Free).await, Ok(vec![run]));
    assert_eq!(keys.listed(), redis::Value::Int(0));
}

/// What is listed is where to look, and not what is there.
#[tokio::test]
async fn entry_that_is_not_there_is_not_found() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    store.wait(&lease, question("manager", "s3cret")).await.unwrap();
    for member in
        ["old\0\0order-42\0\0manager", "s3cret\0\0order-42\0\0gone", "s3cret\0\0order-41\0\0manager"]
    {
        keys.command("ZADD", "tokens", &["0", member]);
    }
    assert_eq!(found(&store, "old").await, []);
    assert_eq!(found(&store, "s3cret").await, places(&[("order-42", "manager")]));
}

/// What the first format wrote.
#[tokio::test]
async fn entry_of_older_format_is_found_by_token() {
    let keys = Keys::new();
    let asked = |run: &str, key: &str, token: &str| {
        let member = format!("{}\0\0{key}", run.replace('\0', "\0\u{1}"));
        keys.command("HSET", &format!("run/{run}"), &["status", "waiting", "workflow", "checkout"]);
        let entry = format!("1795000002000 - 66062be285183a4a {} {token}\"may I?\"", token.len());
        keys.command("HSET", &format!("waits/{run}"), &[key, &entry]);
        keys.command("ZADD", "asking", &["1795000002000", &member]);
    };
    keys.restore(include_str!("../../corpus/redis-1.jsonl"));
    for number in 0..300 {
        asked(&format!("order-{number}"), "manager", &format!("s3cret-{number}"));
    }
    asked("a\0\u{1}\0", "\0\0b", "\0s3cret");
    // It was answered, or has ended, and nobody knows why it is still listed.
    keys.command("ZADD", "asking", &["1795000002000", "order-42\0\0gone"]);

    let store = keys.options().connect(super::url()).await.unwrap();
    assert_eq!(keys.command("GET", "format", &[]), redis::Value::BulkString(b"3".to_vec()));
    assert_eq!(keys.listed(), redis::Value::Int(302));
    assert_eq!(found(&store, "0123456789abcdef").await, places(&[("order-waiting", "manager")]));
    assert_eq!(found(&store, "s3cret-7").await, places(&[("order-7", "manager")]));
    assert_eq!(found(&store, "\0s3cret").await, places(&[("a\0\u{1}\0", "\0\0b")]));
    let before = keys.dump();
    keys.options().connect(super::url()).await.unwrap();
    assert!(keys.dump() == before, "what is up to date is left alone");
}
