//! What others wrote under our names.

use awaitly_core::store::{Store, StoreError};

use super::{InRedis, Keys};
use crate::given::{append, begin, request, run_id, value};

#[tokio::test]
async fn newer_format_is_refused_and_left_alone() {
    let keys = Keys::new();
    keys.command("SET", "format", &["4"]);
    let refused = keys.options().connect(super::url()).await.unwrap_err();
    assert_eq!(refused, StoreError::NewerFormat { found: 4, supported: 3 });
    assert_eq!(keys.command("GET", "format", &[]), redis::Value::BulkString(b"4".to_vec()));
}

#[tokio::test]
async fn format_that_is_none_is_damage() {
    for format in ["", "0", "x"] {
        let keys = Keys::new();
        keys.command("SET", "format", &[format]);
        let refused = keys.options().connect(super::url()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn missing_format_is_written() {
    let InRedis { place: keys, .. } = InRedis::new().await;
    assert_eq!(keys.command("GET", "format", &[]), redis::Value::BulkString(b"3".to_vec()));
    keys.options().connect(super::url()).await.unwrap();
}

#[tokio::test]
async fn something_else_under_our_names_is_damage() {
    let InRedis { store, place: keys } = InRedis::new().await;
    keys.command("SET", "run/order-42", &["a text"]);
    let loaded = store.load(&run_id("order-42")).await;
    assert!(matches!(loaded, Err(StoreError::Corrupt { .. })), "{loaded:?}");
    let opened = store.open(request("order-42")).await;
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");

    let lease = begin(&store, "order-43").await;
    keys.command("SET", "records/order-43", &["a text"]);
    let appended = append(&store, &lease, value("charge", "1")).await;
    assert!(matches!(appended, Err(StoreError::Corrupt { .. })), "{appended:?}");
}

#[tokio::test]
async fn malformed_field_is_named_in_error() {
    for (field, value) in
        [("status", "paused"), ("version", "-1"), ("created", ""), ("failed_on", "[1"), ("outcome", "9 1")]
    {
        let InRedis { store, place: keys } = InRedis::new().await;
        begin(&store, "order-42").await;
        keys.command("HSET", "run/order-42", &[field, value]);
        let damaged = store.load(&run_id("order-42")).await.unwrap_err();
        let StoreError::Corrupt { detail } = &damaged else { panic!("{damaged:?}") };
        assert!(detail.contains(&format!("`{field}` of run `order-42`")), "{detail}");
    }
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("charge", "1")).await.unwrap();
    keys.command("HSET", "records/order-42", &["charge", "1 0"]);
    let damaged = store.load(&run_id("order-42")).await.unwrap_err();
    assert!(damaged.to_string().contains("`charge` of run `order-42`"), "{damaged}");
}

#[tokio::test]
async fn unusable_address_error_omits_password() {
    let port = url_port();
    for (url, is_there) in [
        ("not an address".to_owned(), false),
        ("http://user:hunter2@localhost".to_owned(), false),
        ("rediss://user:hunter2@localhost".to_owned(), false),
        (format!("redis://nobody:hunter2@127.0.0.1:{port}"), false),
        ("redis://:hunter2@127.0.0.1:1".to_owned(), true),
    ] {
        let refused = super::RedisOptions::new().connect(&url).await.unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
        match refused {
            StoreError::Unavailable { .. } if is_there => {}
            StoreError::NotThere { .. } if !is_there => {}
            other => panic!("{url}: {other:?}"),
        }
    }
}

fn url_port() -> String {
    super::url().rsplit(':').next().unwrap().chars().take_while(char::is_ascii_digit).collect()
}
