//! Random operations on a queue: the store in a file answers like the store in memory.

use std::time::Duration;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::{Header, Status};
use awaitly_core::store::{
    Claim, Configure, Dispatch, Durability, Ending, Held, Owner, Pausing, Reschedule, RunId, Start, Submit,
};
use awaitly_persistence::MemoryStore;
use proptest::prelude::*;

use super::InFolder;
use crate::given::{run_id, value};

const HOUR: Duration = Duration::from_secs(3600);
const RUNS: usize = 12;

/// The unit of the stores' clocks: each move has its own time.
const TICK: Duration = Duration::from_millis(1);

#[derive(Debug, Clone)]
enum Move {
    Submit {
        run: usize,
        key: Option<usize>,
        unique: Option<usize>,
        workflow: usize,
        later: bool,
    },
    Claim {
        limit: usize,
        workflows: usize,
        expires: bool,
    },
    /// Ends one of the claimed runs.
    Finish {
        held: usize,
        status: Status,
    },
    Append {
        held: usize,
    },
    /// Starts one of the claimed runs again.
    Restart {
        held: usize,
    },
    Release {
        held: usize,
    },
    Cancel {
        run: usize,
    },
    Delete {
        run: usize,
    },
    /// Pauses or resumes a run, if no owner holds it.
    Pause {
        run: usize,
        pausing: Pausing,
    },
    Hurry {
        run: usize,
        start: Option<Start>,
    },
    Configure {
        per_key: Option<u32>,
        concurrency: Option<u32>,
    },
    PauseQueue {
        pausing: Pausing,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let pausing = || prop_oneof![Just(Pausing::Pause), Just(Pausing::Resume)];
    let status = prop_oneof![Just(Status::Completed), Just(Status::Failed), Just(Status::Waiting)];
    let limits = (prop::option::of(1..3_u32), prop::option::of(1..4_u32));
    let key = prop::option::weighted(0.8, 0..3_usize);
    let unique = prop::option::weighted(0.2, 0..3_usize);
    let start = prop_oneof![Just(None), Just(Some(Start::Now)), Just(Some(Start::In(HOUR)))];
    let one = prop_oneof![
        8 => (0..RUNS, key, unique, 0..2_usize, prop::bool::weighted(0.1))
            .prop_map(|(run, key, unique, workflow, later)| Move::Submit { run, key, unique, workflow, later }),
        6 => (0..4_usize, 1..3_usize, prop::bool::weighted(0.3))
            .prop_map(|(limit, workflows, expires)| Move::Claim { limit, workflows, expires }),
        4 => (0..RUNS, status).prop_map(|(held, status)| Move::Finish { held, status }),
        1 => (0..RUNS).prop_map(|held| Move::Append { held }),
        1 => (0..RUNS).prop_map(|held| Move::Restart { held }),
        1 => (0..RUNS).prop_map(|held| Move::Release { held }),
        1 => (0..RUNS).prop_map(|run| Move::Cancel { run }),
        1 => (0..RUNS).prop_map(|run| Move::Delete { run }),
        1 => (0..RUNS, pausing()).prop_map(|(run, pausing)| Move::Pause { run, pausing }),
        1 => (0..RUNS, start).prop_map(|(run, start)| Move::Hurry { run, start }),
        1 => limits.prop_map(|(per_key, concurrency)| Move::Configure { per_key, concurrency }),
        1 => pausing().prop_map(|pausing| Move::PauseQueue { pausing }),
    ];
    prop::collection::vec(one, 1..60)
}

/// A store, and the runs that it gave to workers.
struct Worked<S> {
    store: S,
    held: Vec<Held>,
    is_fair: bool,
}

impl<S: Dispatch> Worked<S> {
    fn id(run: usize) -> RunId {
        run_id(&format!("run {run}"))
    }

    /// Carries out a move, and returns the answer as text. It contains no times.
    async fn carry_out(&mut self, next: &Move) -> String {
        let store = &self.store;
        match next {
            Move::Submit { run, key, unique, workflow, later } => {
                let submit = Submit::new(Self::id(*run), format!("workflow {workflow}")).queue("orders");
                let submit = if *later { submit.start(Start::In(HOUR)) } else { submit };
                let submit = match unique {
                    Some(0) => submit.deduplicate("unique"),
                    Some(_) => submit.debounce("unique"),
                    None => submit,
                };
                // No key of two workflows: if a claim serves only one of them, the store in a file notices room behind a run
                // of the other one up to a second later.
                let submit =
                    key.iter().fold(submit, |submit, key| submit.key(format!("key {key} of {workflow}")));
                format!("{:?}", store.submit(vec![submit]).await)
            }
            Move::Claim { limit, workflows, expires } => {
                let ttl = if *expires { TICK } else { HOUR };
                let mut claim = Claim::new(Owner::unique()).limit(*limit).ttl(ttl);
                for workflow in 0..*workflows {
                    claim = claim.serve(format!("workflow {workflow}"), 1);
                }
                let claimed = store.claim(claim).await.unwrap().runs;
                let told = claimed.iter().map(|held| (held.lease.run().to_string(), told(&held.run.header)));
                let told = format!("{:?}", told.collect::<Vec<_>>());
                self.held.extend(claimed);
                told
            }
            Move::Finish { held, status } => match self.take(*held) {
                Some(held) => format!("{:?}", self.store.finish(&held.lease, Ending::new(*status)).await),
                None => String::new(),
            },
            Move::Append { held } => match self.held.get(*held) {
                Some(held) => {
                    format!("{:?}", store.append(&held.lease, value("a", "1"), Durability::Batched).await)
                }
                None => String::new(),
            },
            Move::Restart { held } => match self.take(*held) {
                Some(held) => format!("{:?}", self.store.restart(&held.lease, None).await),
                None => String::new(),
            },
            Move::Release { held } => {
                if let Some(held) = self.take(*held) {
                    self.store.release(&held.lease);
                }
                String::new()
            }
            Move::Cancel { run } => format!("{:?}", store.cancel(&Self::id(*run)).await),
            Move::Delete { run } => {
                format!("{:?}", store.delete(vec![Self::id(*run)], awaitly_core::store::DeleteIf::Free).await)
            }
            // A claim of the store in a file does not notice at once that the lease of a paused run expires.
            Move::Pause { run, .. } if self.held.iter().any(|held| *held.lease.run() == Self::id(*run)) => {
                String::new()
            }
            Move::Pause { run, pausing } => {
                format!("{:?}", store.pause(vec![Self::id(*run)], *pausing).await)
            }
            Move::Hurry { run, start } => {
                let mut change = Reschedule::new();
                change.start = *start;
                format!("{:?}", store.reschedule(vec![Self::id(*run)], change).await)
            }
            Move::Configure { per_key, concurrency } => {
                let mut queue = Queue::new("orders");
                (queue.per_key, queue.concurrency, queue.fair) = (*per_key, *concurrency, self.is_fair);
                format!("{:?}", store.configure(vec![queue], Configure::Set).await)
            }
            Move::PauseQueue { pausing } => {
                format!("{:?}", store.pause_queues(vec!["orders".into()], *pausing).await)
            }
        }
    }

    fn take(&mut self, held: usize) -> Option<Held> {
        (held < self.held.len()).then(|| self.held.remove(held))
    }

    async fn told(&self) -> Vec<String> {
        let mut all = Vec::new();
        for run in 0..RUNS {
            if let Some(stored) = self.store.load(&Self::id(run)).await.unwrap() {
                all.push(format!("{run}: {}, {} records", told(&stored.header), stored.records.len()));
            }
        }
        all
    }
}

/// Everything of a header except times.
fn told(header: &Header) -> String {
    let Header { workflow, version, status, cancel_requested, place, paused, crashes, .. } = header;
    format!(
        "{workflow} {version} {status} {cancel_requested} {:?} {paused} {crashes} {:?}",
        place.key, place.unique
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn store_in_a_file_dispatches_like_the_store_in_memory(moves in moves(), is_fair in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = InFolder::new().await;
            let mut in_file = Worked { store: fixture.store.clone(), held: Vec::new(), is_fair };
            let mut in_memory = Worked { store: MemoryStore::new(), held: Vec::new(), is_fair };
            let moves = [Move::Configure { per_key: None, concurrency: None }].into_iter().chain(moves);
            for (number, next) in moves.enumerate() {
                tokio::time::sleep(TICK).await;
                let [answer, expected] = [in_file.carry_out(&next).await, in_memory.carry_out(&next).await];
                assert_eq!(answer, expected, "of move {number}: {next:?}");
            }
            assert_eq!(in_file.told().await, in_memory.told().await);
        });
    }
}
