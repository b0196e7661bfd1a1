//! A wrapper that changes all that a store keeps of a run, and keeps the promises of a store.

use awaitly_core::journal::{Outcome, Payload, Record, Status};
use awaitly_core::store::around::{Call, Calls, Request};
use awaitly_core::store::{
    Around, Durability, Ending, Input, Open, Opened, Operate, Owner, RunId, RunQuery, Store, StoreError,
    Wait, WaitQuery,
};
use awaitly_persistence::MemoryStore;

awaitly_persistence::conformance_tests!(Encrypted(MemoryStore::new()));

/// Turns the text of all payloads around.
struct Encrypted(MemoryStore);

impl Around for Encrypted {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        for payload in request.parts().payloads() {
            *payload = Payload::encode(&turned(payload.as_str())).unwrap();
        }
        let mut answer = request.send(&self.0).await?;
        for payload in R::reply(&mut answer).payloads() {
            *payload = Payload::from_stored(turned(&payload.decode::<String>().unwrap()));
        }
        Ok(answer)
    }
}

fn turned(text: &str) -> String {
    text.chars().rev().collect()
}

fn secret() -> Payload {
    Payload::encode("card 4242").unwrap()
}

/// A run with a secret in each place that a run has for one.
async fn begin(store: &impl Operate) -> RunId {
    let run = RunId::new("order-42").unwrap();
    let request = Open::new(run.clone(), "order", Owner::unique()).input(Input::of("card 4242").unwrap());
    let Opened::Held { lease, .. } = store.open(request).await.unwrap() else {
        panic!("a new run is refused")
    };
    let record = Record { key: "charge".into(), outcome: Outcome::Value(secret()), input: None };
    let wait = Wait { key: "ask".into(), token: "t".into(), request: secret(), expires_in: None };
    store.append(&lease, record, Durability::Sync).await.unwrap();
    store.wait(&lease, wait).await.unwrap();
    let ending = Ending { outcome: Some(Outcome::Failed(secret())), ..Ending::new(Status::Failed) };
    store.finish(&lease, ending).await.unwrap();
    run
}

#[tokio::test]
async fn no_payload_reaches_the_inner_store_as_it_was() {
    let store = Encrypted(MemoryStore::new());
    let run = begin(&store).await;

    let inside = store.0.load(&run).await.unwrap().unwrap();
    let shown = store.load(&run).await.unwrap().unwrap();
    let payloads = |stored: &awaitly_core::store::StoredRun| {
        let outcome = stored.header.outcome.as_ref().unwrap().payload().clone();
        let record = stored.records[0].outcome.payload().clone();
        [stored.input.clone().unwrap(), outcome, record, stored.waits[0].request.clone()]
    };
    assert_eq!(payloads(&shown), [(); 4].map(|()| secret()));
    assert!(payloads(&inside).iter().all(|payload| !payload.as_str().contains("4242")), "{inside:?}");
}

/// Sends each read twice, and writes down the kinds of all calls.
struct Twice(MemoryStore, std::sync::Mutex<Vec<Call>>);

impl Around for Twice {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        self.1.lock().unwrap().push(R::CALL);
        if Calls::READS.include(R::CALL, None, None)
            && let Some(again) = request.again()
        {
            again.send(&self.0).await?;
        }
        request.send(&self.0).await
    }
}

#[tokio::test]
async fn every_call_passes_the_wrapper_once() {
    let store = Twice(MemoryStore::new(), std::sync::Mutex::default());
    let run = begin(&store).await;
    store.load(&run).await.unwrap().unwrap();
    store.list(RunQuery::new()).await.unwrap();
    store.waiting(WaitQuery::new()).await.unwrap();
    store.now().await.unwrap();
    let calls = store.1.lock().unwrap().clone();
    let expected = "open append wait finish load list waiting now";
    assert_eq!(calls.iter().map(Call::to_string).collect::<Vec<_>>().join(" "), expected);
}
