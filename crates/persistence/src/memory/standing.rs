//! The place of a run in the line of its queue.

use std::cmp::Ordering;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{RunId, Standing};

use super::journals::Journals;
use super::queues::{Queues, Ranked};

/// As a number of items.
const MOST: usize = Standing::MOST_AHEAD as usize;

impl Journals {
    pub(super) fn standing(&self, run: &RunId, now: Timestamp) -> Option<Standing> {
        let (slot, journal) = self.find(run)?;
        if let Some((owner, _)) = journal.owner.as_ref().zip(journal.lease(now)) {
            return Some(Standing::Held { owner: owner.as_str().into() });
        }
        journal.header.due_at(journal.held_until).filter(|due| *due <= now)?;
        let place = &journal.header.place;
        let ahead = self.queues.ahead(&place.queue, place.key.as_ref(), (place.rank, slot));
        Some(Standing::InLine { ahead: ahead as u64, queue_paused: self.queues.is_paused(&place.queue) })
    }
}

impl Queues {
    /// Counts the runs of a queue before an item: the ready ones, and those of its key that are behind a limit.
    fn ahead(&self, queue: &Arc<str>, key: Option<&Arc<str>>, item: (i64, usize)) -> usize {
        let key = key.cloned().unwrap_or_default();
        let mut ahead = before(self.behind.get(&(Arc::clone(queue), key)), item);
        // Each lane of the queue is looked up, so that other queues cost nothing.
        let mut from = Included((Arc::default(), Arc::clone(queue), 0));
        while let Some((lane, ranked)) = self.ready.range((from, Unbounded)).next() {
            let (workflow, found, _) = lane;
            from = match found.cmp(queue) {
                Ordering::Less => Included((Arc::clone(workflow), Arc::clone(queue), 0)),
                Ordering::Equal => {
                    ahead += before(Some(ranked), item);
                    Excluded(lane.clone())
                }
                Ordering::Greater => Included((format!("{workflow}\0").into(), Arc::clone(queue), 0)),
            };
        }
        ahead.min(MOST)
    }
}

/// Counts the items before one, up to [`MOST`].
fn before(ranked: Option<&Ranked>, item: (i64, usize)) -> usize {
    ranked.map_or(0, |ranked| ranked.range(..item).take(MOST).count())
}
