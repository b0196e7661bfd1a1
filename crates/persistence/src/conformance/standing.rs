use std::sync::Arc;

use awaitly_core::journal::Status;
use awaitly_core::store::{Claim, Dispatch, Held, Open, Opened, Owner, Pausing, Standing, Start, Submit};

use super::dispatching::{Desk, HOUR};
use super::ok;

const fn in_line(ahead: u64) -> Option<Standing> {
    Some(Standing::InLine { ahead, queue_paused: false })
}

fn held_by(owner: &str) -> Option<Standing> {
    Some(Standing::Held { owner: owner.into() })
}

async fn standing<S: Dispatch>(desk: &Desk<'_, S>, run: &str) -> Option<Standing> {
    ok("standing", desk.store.standing(&desk.id(run)).await)
}

/// Claims the next run of the desk for an owner with this name.
async fn claim_as<S: Dispatch>(desk: &Desk<'_, S>, owner: &str) -> Held {
    let claim = Claim::new(Owner::new(owner)).serve(Arc::clone(&desk.name), 1).limit(1);
    ok("claim", desk.store.claim(claim).await).runs.remove(0)
}

/// The runs ahead are those that a claim of all workflows takes from the queue before the run: by rank, and by submission
/// if their ranks are equal. Other queues do not count.
pub(super) async fn run_in_line_counts_the_runs_ahead<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "line");
    let (urgent, slow) = (desk.run("urgent").priority(10), desk.run("slow").priority(-10));
    let other_queue = desk.run("elsewhere").queue(format!("{}!", desk.name)).priority(100);
    let batch = ["a", "b", "c"].map(|name| desk.run(name));
    let other_workflow =
        |name| Submit::new(desk.id(name), format!("{}/{name}", desk.name)).queue(Arc::clone(&desk.name));
    let others = ["d", "e"].map(other_workflow);
    desk.submit(batch.into_iter().chain(others).chain([slow, urgent, other_queue])).await;
    let line = [("urgent", 0), ("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5), ("slow", 6)];
    for (name, ahead) in line {
        assert_eq!(standing(&desk, name).await, in_line(ahead), "{name}");
    }
    assert_eq!(standing(&desk, "elsewhere").await, in_line(0));
    let mut claimed = desk.claimed(2).await;
    claimed.sort();
    assert_eq!(claimed, ["elsewhere", "urgent"], "one of each queue");
    let _ = ok("cancel", store.cancel(&desk.id("b")).await);
    for (name, ahead) in [("a", 0), ("c", 1), ("d", 2), ("e", 3), ("slow", 4)] {
        assert_eq!(standing(&desk, name).await, in_line(ahead), "{name}");
    }
}

/// A store counts up to a bound, so that the call reads a limited number of runs.
pub(super) async fn count_of_runs_ahead_has_a_bound<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "bound");
    let most = Standing::MOST_AHEAD;
    desk.submit((0..most + 10).map(|number| desk.run(&number.to_string()))).await;
    for (number, ahead) in [(most - 1, most - 1), (most, most), (most + 9, most)] {
        assert_eq!(standing(&desk, &number.to_string()).await, in_line(ahead), "{number}");
    }
}

/// A run that is paused, waits for its time, has ended or does not exist has no place in the line, and does not count for
/// others.
pub(super) async fn run_that_is_not_due_has_no_place_in_line<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "not-due");
    let later = desk.run("later").priority(1_000_000).start(Start::In(HOUR));
    desk.submit([later, desk.run("paused"), desk.run("ended"), desk.run("last")]).await;
    ok("pause", store.pause(vec![desk.id("paused")], Pausing::Pause).await);
    let _ = ok("cancel", store.cancel(&desk.id("ended")).await);
    for name in ["later", "paused", "ended", "missing"] {
        assert_eq!(standing(&desk, name).await, None, "{name}");
    }
    assert_eq!(standing(&desk, "last").await, in_line(0));
    ok("resume", store.pause(vec![desk.id("paused")], Pausing::Resume).await);
    desk.submit([desk.run("next").priority(100)]).await;
    assert_eq!(desk.claimed(1).await, ["next"], "from this claim on, the resumed run counts");
    assert_eq!((standing(&desk, "paused").await, standing(&desk, "last").await), (in_line(0), in_line(1)));
}

/// The runs of a paused queue keep their places.
pub(super) async fn run_in_line_knows_that_its_queue_is_paused<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "paused-line");
    desk.submit([desk.run("a"), desk.run("b")]).await;
    let queue = || vec![Arc::clone(&desk.name)];
    ok("pause", store.pause_queues(queue(), Pausing::Pause).await);
    assert_eq!(standing(&desk, "b").await, Some(Standing::InLine { ahead: 1, queue_paused: true }));
    ok("resume", store.pause_queues(queue(), Pausing::Resume).await);
    assert_eq!(standing(&desk, "b").await, in_line(1));
}

/// A run that a limit of its key holds back counts for runs with its key, and lets other runs pass.
pub(super) async fn runs_behind_a_limit_count_for_their_key<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "behind-line");
    desk.set(desk.queue().per_key(1)).await;
    let ann = |name| desk.run(name).key("ann");
    desk.submit([ann("a"), ann("b"), ann("c"), desk.run("bob").key("bob").priority(-10), ann("d")]).await;
    // The claim takes "a", and finds that the key of the others is full.
    assert_eq!((desk.claimed(1).await, desk.claimed(1).await), (vec!["a".into()], vec!["bob".into()]));
    for (name, ahead) in [("b", 0), ("c", 1), ("d", 2)] {
        assert_eq!(standing(&desk, name).await, in_line(ahead), "{name}");
    }
    desk.submit([ann("e"), desk.run("eve").priority(-100), desk.run("zoe").priority(-200)]).await;
    assert_eq!(desk.claimed(1).await, ["eve"]);
    assert_eq!((standing(&desk, "zoe").await, standing(&desk, "e").await), (in_line(0), in_line(3)));
}

/// While a lease lasts, the store names its owner.
pub(super) async fn held_run_names_its_owner<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "owner");
    desk.submit([desk.run("a"), desk.run("b")]).await;
    let held = claim_as(&desk, "web 1 \0 ü").await;
    assert_eq!(standing(&desk, "a").await, held_by("web 1 \0 ü"));
    assert_eq!(standing(&desk, "b").await, in_line(0));
    store.release(&held.lease);
    let held = claim_as(&desk, "web-2").await;
    assert_eq!(standing(&desk, "a").await, held_by("web-2"));
    desk.finish(&held, Status::Waiting).await;
    assert_eq!(standing(&desk, "a").await, None);
    for run in ["a", "new"] {
        let open = Open::new(desk.id(run), Arc::clone(&desk.name), Owner::new("web-3"));
        let opened = ok("open", store.open(open).await);
        assert!(matches!(opened, Opened::Held { .. }), "{opened:?}");
        assert_eq!(standing(&desk, run).await, held_by("web-3"));
    }
}
