//! Tests of feature combinations: a wait inside a fallback, the cancellation of a waiting saga, a value that can be
//! written but not read.

mod cancelling;
mod pauses;
mod retries;
mod values;

use std::sync::{Arc, Mutex};

use awaitly::event::Event;
use awaitly::journal::{Outcome, Payload, Status};
use awaitly::persistence::MemoryStore;
use awaitly::store::{Answer, DueQuery, Operate, RunId, Store};

fn id(run: &str) -> RunId {
    RunId::new(run).unwrap()
}

async fn status(store: &MemoryStore, run: &str) -> Status {
    store.load(&id(run)).await.unwrap().unwrap().header.status
}

async fn is_due(store: &MemoryStore, run: &str) -> bool {
    store.due(DueQuery::new()).await.unwrap().iter().any(|due| *due.run == *run)
}

async fn answer(store: &MemoryStore, run: &str, key: &'static str, value: u32) {
    let outcome = Outcome::Value(Payload::encode(&value).unwrap());
    assert_eq!(store.answer(Answer::new(id(run), key, outcome)).await.unwrap(), Ok(()));
}

/// Returns the keys of the open questions of a run.
async fn open_questions(store: &MemoryStore, run: &str) -> Vec<String> {
    let waits = store.load(&id(run)).await.unwrap().unwrap().waits;
    waits.into_iter().map(|entry| entry.key.to_string()).collect()
}

/// Collects the names of events, with the key of the step.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn observer(&self) -> impl awaitly::event::Observer + use<> {
        let heard = Arc::clone(&self.0);
        move |event: &Event| {
            let step = event.kind.step().map(|step| format!(" {}", step.key)).unwrap_or_default();
            let name = serde_json::to_value(&event.kind).unwrap()["type"].as_str().unwrap().to_owned();
            heard.lock().unwrap().push(format!("{name}{step}"));
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
