//! A user that may do what the documentation lists, and nothing else.

use awaitly_core::store::{Operate, WaitQuery};
use awaitly_persistence::{RedisStore, conformance};

use super::private::Private;

/// The line that makes the user, as it is documented.
fn rights() -> Vec<&'static str> {
    let documented = include_str!("../../../src/redis/mod.rs").split_once("/// ACL SETUSER ").unwrap().1;
    let (line, _) = documented.split_once("/// ```").unwrap();
    line.split_whitespace().filter(|word| *word != "///").collect()
}

#[tokio::test]
async fn user_with_listed_rights_passes_conformance() {
    let server = Private::start(&[]);
    server.command(&[&["ACL", "SETUSER"], &*rights()].concat());
    let url = server.url().replace("redis://", "redis://app:secret@");
    conformance::check_all(async || RedisStore::connect(&url).await.unwrap()).await;
    // What an older version wrote is brought up to date.
    server.command(&["SET", "awaitly:format", "1"]);
    let store = RedisStore::connect(&url).await.unwrap();
    assert!(!store.waiting(WaitQuery::new()).await.unwrap().items.is_empty());
}
