//! The promises of a store, to check your own store.
//!
//! Each promise has a descriptive name. If a store breaks the promise, its check panics with the expected and the
//! actual value. [`conformance_tests!`](crate::conformance_tests) creates a test for each, so that the test runner
//! names a broken promise; [`check`] runs one of [`PROMISES`], and [`check_all`] runs all of them.
//!
//! The suite calls the methods of [`Operate`], so the store must implement that trait beside [`Store`]. The store may
//! contain other runs during the check, because every promise uses run ids of its own. If a promise needs an expired
//! lease, it opens the run or renews the lease with a duration of zero, so no promise waits for the end of a lease.
//!
//! ```
//! mod my_store {
//!     # use awaitly_persistence::MemoryStore;
//!     # pub type MyStore = MemoryStore;
//!     # mod tests { use super::MyStore;
//!     awaitly_persistence::conformance_tests!(MyStore::new());
//!     # }
//! }
//! ```
//!
//! [`dispatch_tests!`](crate::dispatch_tests) creates tests for the promises about queues and claims, for a store that
//! implements [`Dispatch`]. [`closing_tests!`](crate::closing_tests) creates tests for the promises about closing, for
//! a store that can be closed.
//!
//! If a store depends on a resource that must stay alive, for example a folder or a server, pass both as a fixture:
//!
//! ```
//! use awaitly_persistence::conformance::{self, Fixture};
//! use awaitly_persistence::MemoryStore;
//!
//! struct InFolder {
//!     store: MemoryStore,
//!     _folder: String,
//! }
//!
//! impl Fixture for InFolder {
//!     type Store = MemoryStore;
//!     fn store(&self) -> &MemoryStore {
//!         &self.store
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check_all(async || InFolder { store: MemoryStore::new(), _folder: String::from("..") }).await;
//! # }
//! ```

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests: a panic is how they say what they met"
)]

mod closing;
mod concurrency;
mod dispatching;
mod exchanging;
mod leases;
mod opening;
mod operating;
mod records;
mod standing;
mod unique;
mod waiting;

use awaitly_core::journal::{Contents, Key, Kind, Outcome, Payload, Record};
use awaitly_core::store::{
    Dispatch, Durability, Ending, Lease, Open, Opened, Operate, Owner, Page, Rewrite, RunId, Store,
    StoreError, StoredRun,
};

use closing::*;
use concurrency::*;
use dispatching::*;
use exchanging::*;
use leases::*;
use opening::*;
use operating::*;
use records::*;
use standing::*;
use unique::*;
use waiting::*;

const SYNC: Durability = Durability::Sync;

/// A store, together with the resources that must stay alive during the check. Every store is a fixture by itself.
pub trait Fixture {
    /// The store.
    type Store: Operate;

    /// Returns the store.
    fn store(&self) -> &Self::Store;
}

impl<S: Operate> Fixture for S {
    type Store = S;

    fn store(&self) -> &S {
        self
    }
}

/// Calls the macro `$then` with the names of all promises, so that no list can miss one.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_promise {
    ($then:path $(, $with:expr)?) => {
        $then! {
            [
                unknown_run_is_not_found
                new_run_takes_header_from_request
                interrupted_run_is_resumed_with_its_records
                waiting_run_is_resumed
                ended_run_is_not_opened
                released_retry_leaves_run_unchanged
                reviving_drops_the_records_under_its_keys_and_no_others
                run_is_opened_to_be_undone
                unfit_request_is_refused_without_change
                run_ids_that_look_alike_stay_apart
                missing_run_is_refused_when_existing_is_required
                held_run_is_busy_for_a_second_owner
                held_run_is_busy_for_owner_of_equal_name
                expired_lease_is_taken_over
                renewed_lease_lasts_from_now
                released_lease_is_free_at_once
                lost_lease_cannot_write
                release_of_lost_lease_keeps_new_lease
                lease_that_was_given_back_cannot_write
                records_come_back_whole_and_in_order
                awkward_text_comes_back_as_it_was
                large_payload_comes_back_as_it_was
                key_is_recorded_once
                replaced_record_is_the_only_one_under_its_key
                rewrite_replaces_the_journal_and_its_version
                rewrite_with_a_key_twice_is_refused_whole
                rewrite_takes_the_questions_along
                rewrite_never_loses_an_answer
                finishing_keeps_the_outcome_and_frees_the_lease
                appends_of_many_runs_each_learn_their_own_fate
                of_two_records_under_one_key_one_stands
                of_many_owners_at_once_one_gets_the_lease
                dropped_append_is_recorded_whole_or_absent
                lease_of_dropped_opening_is_given_back
                entry_that_waits_rests_with_the_run
                question_is_asked_once
                answer_takes_the_place_of_the_entry
                answer_without_open_entry_is_refused
                of_many_answers_at_once_one_is_taken
                entry_expires_unless_it_was_answered
                entry_is_withdrawn_unless_it_was_answered
                waiting_run_is_due_once_answered
                answer_on_the_way_to_wait_is_never_missed
                interrupted_run_is_due
                due_query_filters_by_workflow
                waiting_entries_are_listed_in_pages
                answer_and_cancellation_wake_listeners
                runs_are_listed_in_pages
                runs_of_several_statuses_are_listed_in_one_order
                list_shows_summary_of_run
                query_filters_runs_by_status_key_and_error
                only_a_new_status_counts_as_a_change
                request_to_cancel_stays_until_the_run_has_ended
                cancel_request_survives_change_to_waiting
                request_to_cancel_comes_too_late_or_in_time
                opening_a_held_run_to_cancel_it_leaves_a_request
                free_run_is_marked_as_cancelled_without_an_undo
                renewal_tells_the_time_of_the_store
                deleting_takes_all_of_a_run_and_no_other
                lease_of_a_deleted_run_cannot_write
                imported_run_is_the_one_that_was_exported
                batched_record_is_there_at_once
                hostile_text_comes_back_or_is_refused
                moments_come_back_or_are_refused
            ]
            $(, $with)?
        }
    };
}

/// Creates a test for every promise of a store. The argument is an expression that creates a fresh [`Fixture`]: a
/// store, or a store with the resources that it needs. It is evaluated once per test, and may `.await`. The store needs
/// [`Operate`].
///
/// The tests are `#[tokio::test]` functions: the crate that uses this macro needs `tokio` with `macros` and `rt`.
#[macro_export]
macro_rules! conformance_tests {
    ($new:expr) => {
        $crate::__every_promise!($crate::__promise_tests, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __promise_tests {
    ([$($promise:ident)*], $new:expr) => {
        $(
            #[::tokio::test]
            async fn $promise() {
                let fixture = $new;
                let store = $crate::conformance::Fixture::store(&fixture);
                $crate::conformance::check(::core::stringify!($promise), store).await;
            }
        )*
    };
}

/// Creates a test for every promise about closing, for a store with a method `close(self)` that returns a future of
/// `Result<(), StoreError>`. The argument has the form of the argument of
/// [`conformance_tests!`](crate::conformance_tests). The store needs [`Clone`].
///
/// ```
/// mod my_store {
///     # use awaitly_persistence::MemoryStore;
///     # pub type MyStore = MemoryStore;
///     # mod tests { use super::MyStore;
///     awaitly_persistence::closing_tests!(MyStore::new());
///     # }
/// }
/// ```
#[macro_export]
macro_rules! closing_tests {
    ($new:expr) => {
        $crate::__every_closing_promise!($crate::__closing_tests, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __closing_tests {
    ([$($promise:ident)*], $new:expr) => {
        $(
            #[::tokio::test]
            async fn $promise() {
                let fixture = $new;
                let store = ::std::clone::Clone::clone($crate::conformance::Fixture::store(&fixture));
                $crate::conformance::check_closing(::core::stringify!($promise), store, async |store| store.close().await)
                    .await;
            }
        )*
    };
}

/// Calls the macro `$then` with the names of all promises about closing.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_closing_promise {
    ($then:path, $with:expr) => {
        $then! {
            [closed_store_takes_no_calls closing_answers_the_calls_before_it every_handle_can_be_closed], $with
        }
    };
}

/// Creates a test for every promise about queues and claims, for a store that implements [`Dispatch`]. The argument has
/// the form of the argument of [`conformance_tests!`](crate::conformance_tests).
///
/// ```
/// mod my_store {
///     # use awaitly_persistence::MemoryStore;
///     # pub type MyStore = MemoryStore;
///     # mod tests { use super::MyStore;
///     awaitly_persistence::dispatch_tests!(MyStore::new());
///     # }
/// }
/// ```
#[macro_export]
macro_rules! dispatch_tests {
    ($new:expr) => {
        $crate::__every_dispatch_promise!($crate::__dispatch_tests, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch_tests {
    ([$($promise:ident)*], $new:expr) => {
        $(
            #[::tokio::test]
            async fn $promise() {
                let fixture = $new;
                let store = $crate::conformance::Fixture::store(&fixture);
                $crate::conformance::check_dispatch(::core::stringify!($promise), store).await;
            }
        )*
    };
}

/// Calls the macro `$then` with the names of all promises about queues and claims.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_dispatch_promise {
    ($then:path $(, $with:expr)?) => {
        $then! {
            [
                submitted_run_is_queued_with_its_input
                run_is_submitted_once
                unfit_submission_is_refused_whole
                claimed_run_is_held_and_running
                claim_takes_only_served_workflows
                runs_start_in_the_order_of_their_ranks
                versions_that_began_runs_do_not_change_their_order
                delayed_run_starts_at_its_time
                every_due_run_is_claimed
                late_run_is_cancelled_instead_of_started
                crashes_without_progress_are_counted
                concurrency_limits_the_running_runs
                limit_per_key_passes_over_full_keys
                rate_limits_the_starts
                keys_of_fair_queue_take_turns
                queues_take_turns
                paused_queue_and_paused_run_start_nothing
                declared_settings_apply_until_an_operator_sets_others
                queued_run_is_cancelled_or_opened_at_once
                opened_runs_complete_at_once
                run_in_line_counts_the_runs_ahead
                count_of_runs_ahead_has_a_bound
                run_that_is_not_due_has_no_place_in_line
                run_in_line_knows_that_its_queue_is_paused
                runs_behind_a_limit_count_for_their_key
                held_run_names_its_owner
                of_many_claims_at_once_each_run_goes_to_one
                limits_hold_for_many_claims_at_once
                leases_of_dropped_claim_are_given_back
                submission_wakes_listeners
                imported_run_keeps_its_place
                runs_are_found_by_tag_and_queue
                deduplication_key_is_queued_once
                run_that_is_a_duplicate_twice_in_a_batch_is_added_never
                key_of_a_run_that_is_claimed_meanwhile_is_free
                debounce_by_another_workflow_changes_no_run
                debounced_run_takes_the_new_deadline
                debounced_run_of_a_fair_queue_keeps_its_rank
                deleted_run_leaves_its_key_to_the_next
                restarted_run_begins_with_a_fresh_journal
                messages_are_received_in_order_and_once
                message_is_sent_once_and_only_to_open_runs
                message_wakes_a_waiting_run
                message_wakes_a_run_that_found_another_mailbox_empty_since
                unread_message_of_another_mailbox_wakes_a_run_once
                of_many_messages_at_once_each_is_received_once
                child_answers_its_parent
                child_does_not_answer_a_question_about_another_child
                published_values_are_read_by_others
                schedules_change_if_they_are_as_known
            ]
            $(, $with)?
        }
    };
}

macro_rules! names {
    ([$($promise:ident)*]) => {
        /// The names of all promises, except those about closing.
        pub const PROMISES: &[&str] = &[$(stringify!($promise)),*];
    };
}
__every_promise!(names);

/// Checks that `store` keeps one promise. `promise` is a name from [`PROMISES`].
///
/// # Panics
/// Panics if the store breaks the promise, or if no promise has this name.
///
/// # Examples
/// ```
/// use awaitly_persistence::{MemoryStore, conformance};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// conformance::check("key_is_recorded_once", &MemoryStore::new()).await;
/// # }
/// ```
pub async fn check<S: Operate>(promise: &str, store: &S) {
    macro_rules! call {
        ([$($promise:ident)*]) => {
            match promise {
                // On the heap. Otherwise, the future of this function would be as large as the future of the largest
                // promise.
                $(stringify!($promise) => Box::pin($promise(store)).await,)*
                _ => panic!("there is no promise `{promise}`: `PROMISES` lists all of them"),
            }
        };
    }
    __every_promise!(call);
}

/// Checks that `store` keeps one promise about queues and claims. The names of these promises are the names of the
/// tests that [`dispatch_tests!`](crate::dispatch_tests) creates.
///
/// # Panics
/// Panics if the store breaks the promise, or if no promise has this name.
///
/// # Examples
/// ```
/// use awaitly_persistence::{MemoryStore, conformance};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// conformance::check_dispatch("rate_limits_the_starts", &MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_dispatch<S: Dispatch>(promise: &str, store: &S) {
    macro_rules! call {
        ([$($promise:ident)*]) => {
            match promise {
                $(stringify!($promise) => Box::pin($promise(store)).await,)*
                _ => panic!("there is no promise `{promise}` about queues and claims"),
            }
        };
    }
    __every_dispatch_promise!(call);
}

/// Checks that `store` keeps one promise about closing; the function `close` closes a store. The names of these
/// promises are `closed_store_takes_no_calls`, `closing_answers_the_calls_before_it` and `every_handle_can_be_closed`.
///
/// # Panics
/// Panics if the store breaks the promise, or if no promise has this name.
///
/// # Examples
/// ```
/// use awaitly_persistence::{MemoryStore, conformance};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let close = async |store: MemoryStore| store.close().await;
/// conformance::check_closing("every_handle_can_be_closed", MemoryStore::new(), close).await;
/// # }
/// ```
pub async fn check_closing<S: Operate + Clone>(
    promise: &str,
    store: S,
    close: impl AsyncFn(S) -> Result<(), StoreError>,
) {
    match promise {
        "closed_store_takes_no_calls" => closed_store_takes_no_calls(store, close).await,
        "closing_answers_the_calls_before_it" => closing_answers_the_calls_before_it(store, close).await,
        "every_handle_can_be_closed" => every_handle_can_be_closed(store, close).await,
        _ => panic!("there is no promise `{promise}` about closing"),
    }
}

/// Checks every promise of [`PROMISES`], each with a new fixture from `new_store`.
///
/// # Panics
/// Panics at the first promise that the store breaks.
///
/// # Examples
/// ```
/// use awaitly_persistence::{MemoryStore, conformance};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// conformance::check_all(async || MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_all<X, F>(new_store: F)
where
    X: Fixture,
    F: AsyncFn() -> X,
{
    for promise in PROMISES {
        check(promise, new_store().await.store()).await;
    }
}

/// The repeated operations of the promises, for one run.
struct Case<'a, S> {
    store: &'a S,
    run: RunId,
}

impl<'a, S: Store> Case<'a, S> {
    /// Creates a case with its own run, whose id begins with `name`.
    fn new(store: &'a S, name: &str) -> Self {
        Self { store, run: run_id(&format!("{name}-{}", Owner::unique().as_str())) }
    }

    fn request(&self) -> Open {
        Open::new(self.run.clone(), "checkout", Owner::unique())
    }

    async fn open(&self, request: Open) -> Opened {
        ok("open", self.store.open(request).await)
    }

    async fn held(&self, request: Open) -> (Lease, StoredRun) {
        match self.open(request).await {
            Opened::Held { lease, run, .. } => (lease, run),
            other => panic!("expected to get the lease, the store answered {other:?}"),
        }
    }

    async fn begin(&self) -> Lease {
        self.held(self.request()).await.0
    }

    async fn append(&self, lease: &Lease, record: Record) {
        ok("append", self.store.append(lease, record, SYNC).await);
    }

    async fn finish(&self, lease: &Lease, ending: Ending) {
        ok("finish", self.store.finish(lease, ending).await);
    }

    async fn stored(&self) -> StoredRun {
        ok("load", self.store.load(&self.run).await).expect("the run is stored")
    }

    fn lost(&self) -> StoreError {
        StoreError::LeaseLost { run: (*self.run).into() }
    }

    fn already_recorded(&self, key: impl Into<Key>) -> StoreError {
        StoreError::AlreadyRecorded { run: (*self.run).into(), key: key.into() }
    }
}

/// Returns the items of all pages of a list. `page` returns the page after a cursor.
async fn all_pages<T>(page: impl AsyncFn(Option<Box<str>>) -> Page<T>) -> Vec<T> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let Page { items, next } = page(after).await;
        found.extend(items);
        after = next;
        if after.is_none() {
            return found;
        }
    }
}

fn run_id(text: &str) -> RunId {
    RunId::new(text).expect("the run ids of the promises are short")
}

fn value(key: impl Into<String>, value: &str) -> Record {
    record(key, Kind::Value, value)
}

fn record(key: impl Into<String>, kind: Kind, value: &str) -> Record {
    let payload = Payload::encode(value).expect("text has a JSON form");
    Record { key: key.into().into(), outcome: Outcome::from_parts(kind, payload), input: None }
}

/// Returns a rewrite of a journal in which no entry waits.
fn rewrite(version: u32, records: Vec<Record>) -> Rewrite {
    Rewrite::new(version, Contents { records, ..Contents::default() }, [])
}

fn ok<T>(call: &str, result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("expected `{call}` to succeed, the store answered: {error}"))
}

/// Compares records including their texts, because the `Debug` form of a payload shows only its size.
#[track_caller]
fn same_records(found: &[Record], expected: &[Record]) {
    let text = |records: &[Record]| -> Vec<_> {
        records
            .iter()
            .map(|record| {
                (record.key.clone(), record.outcome.kind(), shortened(record.outcome.payload()), record.input)
            })
            .collect()
    };
    assert!(
        found == expected,
        "the records differ\n   found: {:?}\nexpected: {:?}",
        text(found),
        text(expected)
    );
}

fn shortened(payload: &Payload) -> String {
    payload.as_str().chars().take(80).collect()
}
