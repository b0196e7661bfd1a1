//! A recorded value can be read back; otherwise its step fails once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly::journal::{Migration, Status};
use awaitly::persistence::MemoryStore;
use awaitly::saga::{SagaError, saga};
use awaitly::store::Store;
use awaitly::{DurableRun, RunError, Workflow, step};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{id, is_due, status};
use crate::durable::{Bank, OrderError, on_every_store};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Wide(u128),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hidden {
    #[serde(skip_serializing)]
    secret: String,
}

/// Checks that a step with this value fails once, and that its run is not due afterwards.
async fn fails_once<T>(value: T)
where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let (store, calls) = (MemoryStore::new(), AtomicU32::new(0));
    let workflow = Workflow::new("pay").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(), RunError> {
        let charge = async {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok::<T, RunError>(value.clone())
        };
        step!(run, "charge", charge);
        Ok(())
    };
    let type_name = std::any::type_name::<T>();
    let first = workflow.run("r", body).await;
    let is_unkept =
        |error: &RunError| matches!(error, RunError::Unencodable { .. } | RunError::TooLarge { .. });
    assert!(first.as_ref().is_err_and(is_unkept), "{type_name}: {first:?}");
    assert_eq!(status(&store, "r").await, Status::Failed, "{type_name}");
    assert!(!is_due(&store, "r").await, "{type_name}");
    assert_eq!(workflow.run("r", body).await, first, "{type_name}");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "{type_name}: the operation was called once");
    let header = store.load(&id("r")).await.unwrap().unwrap().header;
    assert!(
        header.error.is_some_and(|error| error.contains("charge")),
        "{type_name}: the header names the step"
    );
}

#[tokio::test]
async fn unencodable_value_fails_the_run_once() {
    fails_once(f64::NAN).await;
    fails_once(Some(f64::INFINITY)).await;
    fails_once(vec![Some(f32::NAN)]).await;
    fails_once("x".repeat(17 << 20)).await;
    fails_once(HashMap::from([((1, 2), 3)])).await;
    fails_once(Untagged::Wide(u128::MAX)).await;
    fails_once(Hidden { secret: "s".into() }).await;
}

#[tokio::test]
async fn unencodable_result_fails_the_run() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let workflow = Workflow::new("pay").store(store.clone());
    let body = async |run: &DurableRun| -> Result<Option<f64>, OrderError> {
        step!(run, bank.charge());
        Ok(Some(f64::NAN))
    };
    for _ in 0..2 {
        let ended = workflow.run("r", body).await;
        assert!(matches!(&ended, Err(OrderError::Run(RunError::Unencodable { .. }))), "{ended:?}");
        assert_eq!(status(&store, "r").await, Status::Failed);
        assert!(!is_due(&store, "r").await);
    }
    assert_eq!(bank.calls(), 1);
}

#[tokio::test]
async fn saga_undoes_a_step_with_an_unrecordable_value() {
    let (store, undone) = (MemoryStore::new(), std::sync::Mutex::new(Vec::new()));
    let workflow = Workflow::new("trip").store(store.clone());
    let body = async |run: &DurableRun| -> Result<(), SagaError<RunError>> {
        saga(run, async |saga| {
            let give_back = |rate: f64| async move { Ok::<String, RunError>(rate.to_string()) };
            let note = async |what: Result<String, RunError>| {
                undone.lock().unwrap().push(what.clone()?);
                Ok::<(), RunError>(())
            };
            let undo = move |rate| async move { note(give_back(rate).await).await };
            step!(saga, "rate", compensate = undo, async { Ok::<f64, RunError>(f64::INFINITY) });
            Ok(())
        })
        .await
    };
    let ended = workflow.run("r", body).await.unwrap_err();
    assert!(ended.is_undone() && ended.in_doubt().is_empty(), "{ended}");
    assert!(matches!(ended.error(), RunError::Unencodable { .. }));
    assert_eq!(*undone.lock().unwrap(), ["inf"]);
    assert_eq!(status(&store, "r").await, Status::Failed);
}

type Edge = (u128, Option<f64>, BTreeMap<i32, char>);

#[tokio::test]
async fn edge_values_of_json_survive_every_store() {
    on_every_store(async |store| {
        let workflow = Workflow::new("edge").any_store(store);
        let body = async |run: &DurableRun| -> Result<Edge, RunError> {
            let wide = step!(run, "wide", async { Ok::<u128, RunError>(u128::MAX) });
            let none = step!(run, "none", async { Ok::<Option<f64>, RunError>(None) });
            let map = step!(run, "map", async { Ok::<_, RunError>(BTreeMap::from([(-1, '\u{1f600}')])) });
            Ok((wide, none, map))
        };
        let first = workflow.run("r", body).await;
        assert_eq!(first, Ok((u128::MAX, None, BTreeMap::from([(-1, '\u{1f600}')]))));
        assert_eq!(workflow.run("r", body).await, first);
    })
    .await;
}

#[tokio::test]
async fn order_of_a_set_does_not_change_the_input() {
    let workflow = Workflow::new("input").store(MemoryStore::new());
    let body = async |_: &DurableRun| Ok::<u32, RunError>(7);
    assert_eq!(workflow.clone().input(&u128::MAX).run("wide", body).await, Ok(7));
    let forward: HashSet<u32> = (0..50).collect();
    let backward: HashSet<u32> = (0..50).rev().collect();
    assert_eq!(workflow.clone().input(&forward).run("set", body).await, Ok(7));
    assert_eq!(workflow.clone().input(&backward).run("set", body).await, Ok(7));
    let changed = workflow.clone().input(&vec![1, 2]);
    assert_eq!(changed.run("list", body).await, Ok(7));
    let changed = workflow.clone().input(&vec![2, 1]).run("list", body).await;
    assert!(matches!(changed, Err(RunError::InputChanged { .. })), "{changed:?}");
    let refused = workflow.clone().input(&f64::NAN).run("nan", body).await;
    assert!(matches!(refused, Err(RunError::Unencodable { .. })), "{refused:?}");
}

#[tokio::test]
async fn renamed_step_renames_its_inner_steps() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    let workflow = Workflow::new("pay").store(store.clone());
    let body = async |run: &DurableRun, outer: &'static str| -> Result<u32, OrderError> {
        let pay = async {
            let charged = step!(run, "charge", bank.charge());
            let signed: u32 = step!(run.wait_for("manager"));
            Ok::<u32, OrderError>(charged + signed)
        };
        Ok(step!(run, outer, pay))
    };
    assert!(workflow.run("r", async |run| body(run, "pay").await).await.is_err());
    let renamed = workflow.version(2).migration(1, Migration::rename("pay", "payment"));
    assert!(renamed.run("r", async |run| body(run, "payment").await).await.is_err());
    super::answer(&store, "r", "payment/manager", 40).await;
    assert_eq!(renamed.run("r", async |run| body(run, "payment").await).await, Ok(41));
    assert_eq!(bank.calls(), 1);
}
