//! Stores in processes of their own: this test binary, started again with a role to play.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use awaitly_core::store::{Store, StoreError};
use awaitly_persistence::FileStore;

use super::{SYNC, begin, hold, journals, keys, open_error, request, value};

const HOUR: Duration = Duration::from_secs(3600);

/// Holds the run `order-42`, and once it is told to `append` does so until it is killed, saying `> ..` each time.
struct Other {
    process: Child,
    told: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["file::processes::the_other_process", "--exact", "--ignored", "--nocapture"])
            .env("OTHER_PATH", path)
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
async fn the_other_process() {
    let path = std::env::var_os("OTHER_PATH").expect("started by a test");
    let store = FileStore::open(path).await.unwrap();
    let (lease, _) = hold(&store, request("order-42").ttl(HOUR)).await;
    println!("> held");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    assert_eq!(told.trim_end(), "append");
    for number in 0.. {
        let key = format!("step-{number}");
        store.append(&lease, value(&key, "1"), SYNC).await.unwrap();
        println!("> {key}");
    }
}

#[tokio::test]
async fn a_folder_is_free_once_its_process_was_killed_and_so_are_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Other::start(&journals(&folder));
    assert!(matches!(open_error(journals(&folder)).await, StoreError::Unavailable { .. }));
    other.kill();
    let store = FileStore::open(journals(&folder)).await.unwrap();
    begin(&store, "order-42").await;
}

#[tokio::test]
async fn what_a_killed_process_was_told_to_be_recorded_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    for kill_after in [1, 7, 40] {
        let path = journals(&folder).with_extension(kill_after.to_string());
        let mut other = Other::start(&path);
        other.tell("append");
        let mut acknowledged: Vec<_> = (0..kill_after).map(|_| other.says().unwrap()).collect();
        other.kill();
        acknowledged.extend(std::iter::from_fn(|| other.says()));
        let store = FileStore::open(&path).await.unwrap();
        let stored = keys(&store, "order-42").await;
        // One more may have been written before its writer could say so.
        assert!(stored.len() <= acknowledged.len() + 1);
        assert_eq!(stored[..acknowledged.len()], acknowledged);
    }
}
