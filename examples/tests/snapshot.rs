//! A snapshot of the trace of a run. Review the snapshot when it changes.

use awaitly::clock::secs;
use awaitly::testing::{err, ok, timeout};

use crate::unit::{all_goes_well, order};
use crate::workflow::{NoCourier, Payment, PaymentError};

#[tokio::test(start_paused = true)]
async fn trace_of_an_undone_order() {
    // The seed fixes the jitter of the retries.
    let harness = all_goes_well()
        .seed(7)
        .script("charge", [err(PaymentError::Unreachable), timeout(secs(5)), ok(Payment { id: 107 })])
        .script("ship", err(NoCourier).after(secs(2)))
        .script("undo charge", ok(()).after(secs(1)))
        .script("undo reserve", ok(()));
    insta::assert_snapshot!(order(&harness).await.trace(), @r"
        0s  ┌ saga          begins
        0s  │ reserve       succeeded
        0s  │ charge        attempt 1 of 4 failed: the bank does not answer; next in 68.377ms
    5.069s  │ charge        attempt 2 of 4 timed out after 5s; next in 128.895ms
    5.198s  │ charge        succeeded in attempt 3, took 5.198s
    7.198s  │ ship          failed: no courier takes it
    7.198s  ├ saga          failed: no courier takes it
    7.198s  ├ saga          undoes 2 steps
    8.198s  │ undo charge   succeeded, took 1s
    8.198s  │ undo reserve  succeeded
    8.198s  └ saga          undone
    8.198s  the run failed: no courier takes it
    ");
}
