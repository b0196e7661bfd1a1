//! Stores in processes of their own: this test binary, started again with a role to play.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use awaitly_core::dispatch::Queue;
use awaitly_core::store::{Claim, Configure, Dispatch, DueQuery, Durability, Operate, Owner, Store};
use awaitly_persistence::SqliteStore;

use super::{InFolder, file};
use crate::given::{begin, hold, is_busy, keys, request, value};

const HOUR: Duration = Duration::from_secs(3600);

/// Holds the run `order-42` and does what it is told, one line each, answering `> ..`.
struct Other {
    process: Child,
    told: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(path: &Path, ttl: Duration) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["sqlite::processes::other_process", "--exact", "--ignored", "--nocapture"])
            .env("OTHER_PATH", path)
            .env("OTHER_TTL", ttl.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, said) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut other = Self { process, told, said: BufReader::new(said).lines() };
        assert_eq!(other.says().unwrap(), "held");
        other
    }

    fn says(&mut self) -> Option<String> {
        self.said.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once("> ")?.1.to_owned()))
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.told, "{line}").unwrap();
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test]
#[ignore = "the other process of the tests below, started by them"]
async fn other_process() {
    let path = std::env::var_os("OTHER_PATH").expect("started by a test");
    let ttl = Duration::from_millis(std::env::var("OTHER_TTL").unwrap().parse().unwrap());
    let store = SqliteStore::open(path).await.unwrap();
    let (lease, _) = hold(&store, request("order-42").ttl(ttl)).await;
    println!("> held");
    let mut number = 0;
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "append" => println!("> {:?}", store.append(&lease, value("late", "1"), Durability::Sync).await),
            "renew" => println!("> {:?}", store.renew(&lease, ttl).await),
            "append forever" => loop {
                let key = format!("step-{number}");
                store.append(&lease, value(&key, "1"), Durability::Sync).await.unwrap();
                println!("> {key}");
                number += 1;
            },
            other => panic!("{other}?"),
        }
    }
}

#[tokio::test]
async fn run_that_another_process_holds_is_busy() {
    let fixture = InFolder::new().await;
    let mut other = Other::start(&fixture.file(), HOUR);
    assert!(is_busy(&fixture.store, "order-42").await);
    other.tell("append");
    assert_eq!(other.says().unwrap(), "Ok(())");
    assert_eq!(keys(&fixture.store, "order-42").await, ["late"]);
}

#[tokio::test]
async fn lease_of_a_killed_process_is_free_at_once() {
    let fixture = InFolder::new().await;
    let mut other = Other::start(&fixture.file(), HOUR);
    assert!(is_busy(&fixture.store, "order-42").await);
    other.kill();
    begin(&fixture.store, "order-42").await;
}

#[tokio::test]
async fn run_of_a_killed_process_is_claimed_at_once() {
    let fixture = InFolder::new().await;
    let store = &fixture.store;
    store.configure(vec![Queue::new("").concurrency(1)], Configure::Set).await.unwrap();
    let claim = async || {
        let claim = Claim::new(Owner::unique()).serve("checkout", 1).ttl(HOUR);
        store.claim(claim).await.unwrap().runs
    };
    for crashes in [1, 0] {
        let mut other = Other::start(&fixture.file(), HOUR);
        assert!(claim().await.is_empty(), "its owner is alive");
        assert_eq!(store.due(DueQuery::new()).await.unwrap(), []);
        if crashes == 0 {
            other.tell("append");
            assert_eq!(other.says().unwrap(), "Ok(())");
        }
        other.kill();
        let held = claim().await;
        assert_eq!((held.len(), held[0].run.header.crashes), (1, crashes), "a record is progress");
        assert!(claim().await.is_empty());
        store.release(&held[0].lease);
        assert_eq!(store.due(DueQuery::new()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn frozen_process_keeps_lease_until_it_expires() {
    let fixture = InFolder::new().await;
    let mut other = Other::start(&fixture.file(), HOUR);
    other.tell("renew");
    assert!(other.says().unwrap().starts_with("Ok(Renewed"));
    other.signal("-STOP");
    assert!(is_busy(&fixture.store, "order-42").await, "a frozen process was taken for a dead one");
    // An hour goes by.
    fixture.change_run("order-42", "lease_until = 1");
    let lease = begin(&fixture.store, "order-42").await;
    other.signal("-CONT");
    other.tell("append");
    assert!(other.says().unwrap().starts_with("Err(LeaseLost"), "it was replaced");
    fixture.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&fixture.store, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn killed_process_keeps_acknowledged_records() {
    let folder = tempfile::tempdir().unwrap();
    for kill_after in [1, 7, 40] {
        let path = file(&folder).with_extension(kill_after.to_string());
        let mut other = Other::start(&path, HOUR);
        other.tell("append forever");
        let mut acknowledged: Vec<_> = (0..kill_after).map(|_| other.says().unwrap()).collect();
        other.kill();
        acknowledged.extend(std::iter::from_fn(|| other.says()));
        let store = SqliteStore::open(&path).await.unwrap();
        let stored = keys(&store, "order-42").await;
        // One more may have been written before its writer could say so.
        assert!(stored.len() <= acknowledged.len() + 1);
        assert_eq!(stored[..acknowledged.len()], acknowledged);
    }
}
