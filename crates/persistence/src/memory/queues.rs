//! The queues of a store in memory: which runs are ready, which become due later, and which are running.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use awaitly_core::dispatch::{Allowance, Fairness, Pace, Place, Queue};
use awaitly_core::journal::{Header, Refused, Timestamp};
use awaitly_core::store::{
    Claim, Claimed, Configure, Ending, Held, Input, Lease, Owner, Pausing, QueueState, Reschedule, RunId,
    StoreError, Submit, Submitted,
};
use foldhash::fast::RandomState;

use super::journals::{Journal, Journals};
use super::slot;

/// The runs of one workflow in one queue that one version of the code began. The version of a queued run is 0.
pub(super) type Lane = (Arc<str>, Arc<str>, u32);

/// Runs in the order in which they start: the rank of each run, and its slot.
pub(super) type Ranked = BTreeSet<(i64, usize)>;

/// The place at which a run that has not ended is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Listed {
    /// It has ended, is paused, or waits for an answer.
    #[default]
    Nowhere,
    /// It is due, with this rank.
    Ready(Lane, i64),
    /// It is due, but its key has as many running runs as the queue permits.
    Behind(Arc<str>, Arc<str>, i64),
    /// It becomes due at this time.
    Later(Timestamp),
}

/// The lists of all queues.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) ready: BTreeMap<Lane, Ranked>,
    /// By queue and key.
    pub(super) behind: BTreeMap<(Arc<str>, Arc<str>), Ranked>,
    later: BTreeSet<(Timestamp, usize)>,
    /// The runs with a lease, by queue.
    held: HashMap<Arc<str>, HashSet<usize>, RandomState>,
    /// The queued runs with a deduplication key, by queue and key.
    unique: HashMap<(Arc<str>, Arc<str>), usize, RandomState>,
    states: BTreeMap<Arc<str>, State>,
    /// The number of claims so far, so that each claim begins with another queue.
    claims: usize,
}

/// The state of a queue that has settings or is paused.
#[derive(Default)]
struct State {
    settings: Option<Queue>,
    /// The settings that a worker declared last.
    declared: Option<Queue>,
    paused: bool,
    pace: Pace,
    virtual_time: i64,
    /// The rank of the next run of each key that had a run recently.
    next: HashMap<Arc<str>, i64, RandomState>,
}

impl Queues {
    fn insert(&mut self, slot: usize, listed: &Listed) {
        match listed {
            Listed::Nowhere => {}
            Listed::Ready(lane, rank) => {
                self.ready.entry(lane.clone()).or_default().insert((*rank, slot));
            }
            Listed::Behind(queue, key, rank) => {
                let ranked = self.behind.entry((Arc::clone(queue), Arc::clone(key))).or_default();
                ranked.insert((*rank, slot));
            }
            Listed::Later(due) => {
                self.later.insert((*due, slot));
            }
        }
    }

    fn remove(&mut self, slot: usize, listed: &Listed) {
        match listed {
            Listed::Nowhere => {}
            Listed::Ready(lane, rank) => take_out(&mut self.ready, lane, (*rank, slot)),
            Listed::Behind(queue, key, rank) => {
                take_out(&mut self.behind, &(Arc::clone(queue), Arc::clone(key)), (*rank, slot));
            }
            Listed::Later(due) => {
                self.later.remove(&(*due, slot));
            }
        }
    }

    fn hold(&mut self, slot: usize, queue: &Arc<str>, held: bool) {
        if held {
            self.held.entry(Arc::clone(queue)).or_default().insert(slot);
        } else if let Some(slots) = self.held.get_mut(queue) {
            slots.remove(&slot);
        }
    }

    /// Removes the deduplication key of the run in `slot`, unless another run has it now.
    fn forget_key(&mut self, key: &(Arc<str>, Arc<str>), slot: usize) {
        if self.unique.get(key) == Some(&slot) {
            self.unique.remove(key);
        }
    }

    pub(super) fn is_paused(&self, queue: &str) -> bool {
        self.states.get(queue).is_some_and(|state| state.paused)
    }

    fn is_fair(&self, queue: &str) -> bool {
        let settings = self.states.get(queue).and_then(|state| state.settings.as_ref());
        settings.is_some_and(|settings| settings.fair)
    }

    /// Returns the place of a run, with the next rank of its key if the queue is fair.
    fn place(&mut self, place: Place) -> Place {
        if !self.is_fair(&place.queue) {
            return place;
        }
        let Some(state) = self.states.get_mut(&place.queue) else { return place };
        let key = place.key.clone().unwrap_or_default();
        let mut fairness = Fairness::new(state.virtual_time, state.next.get(&key).copied());
        let place = fairness.rank(place);
        state.next.insert(key, fairness.next());
        place
    }
}

/// Removes an item. If its set becomes empty, removes the set.
fn take_out<K: Ord>(sets: &mut BTreeMap<K, Ranked>, key: &K, item: (i64, usize)) {
    if let Some(ranked) = sets.get_mut(key) {
        ranked.remove(&item);
        if ranked.is_empty() {
            sets.remove(key);
        }
    }
}

/// The queues that a claim visits, in turn.
struct Visit {
    queue: Arc<str>,
    /// The lanes of the served workflows, with the served versions.
    lanes: Vec<(Lane, u32)>,
    /// `None`: the queue has no limits.
    allowance: Option<Allowance>,
}

impl Journals {
    /// Lists the run in `slot` at its present place. Call this after each change of its status, its lease or its place.
    pub(super) fn list(&mut self, slot: usize, now: Timestamp) {
        let Some(journal) = self.runs.get_mut(slot).and_then(Option::as_mut) else { return };
        let listed = journal.place_at(now);
        self.queues.remove(slot, &journal.listed);
        self.queues.insert(slot, &listed);
        journal.listed = listed;
        let place = &journal.header.place;
        self.queues.hold(slot, &place.queue, journal.held_until.is_some());
        if let Some(key) = &place.unique {
            let key = (Arc::clone(&place.queue), Arc::clone(key));
            if !journal.header.has_begun() {
                self.queues.unique.insert(key, slot);
            } else {
                self.queues.forget_key(&key, slot);
            }
        }
    }

    /// Removes the run in `slot` from all lists, before it is deleted or moved to another queue.
    pub(super) fn unlist(&mut self, slot: usize) {
        let Some(journal) = self.runs.get_mut(slot).and_then(Option::as_mut) else { return };
        self.queues.remove(slot, &std::mem::take(&mut journal.listed));
        let place = &journal.header.place;
        self.queues.hold(slot, &place.queue, false);
        if let Some(key) = &place.unique {
            self.queues.forget_key(&(Arc::clone(&place.queue), Arc::clone(key)), slot);
        }
    }

    pub(super) fn submit(&mut self, submit: Submit, now: Timestamp) -> Result<Submitted, Refused> {
        if let Some((_, journal)) = self.find(&submit.run) {
            return submit.matches(&journal.header);
        }
        if let Some(found) = self.duplicate(&submit, now) {
            return Ok(Submitted::Duplicate(found));
        }
        let place = self.queues.place(submit.place(now));
        let header = submit.header(place, now);
        let slot = self.add(Journal::new(submit.run, header, submit.input.map(|input| input.payload)));
        self.list(slot, now);
        Ok(Submitted::Queued)
    }

    /// Returns the queued run with the deduplication key of a submission, if there is one. If the submission replaces
    /// the run, gives the run the new input, start and deadline.
    fn duplicate(&mut self, submit: &Submit, now: Timestamp) -> Option<RunId> {
        let unique = submit.unique.as_ref()?;
        let key = (Arc::clone(&submit.queue), Arc::clone(&unique.key));
        let slot = *self.queues.unique.get(&key)?;
        let journal = self.runs.get_mut(slot)?.as_mut()?;
        let run = journal.run.clone();
        if unique.replaces && journal.lease(now).is_none() && journal.header.workflow == submit.workflow {
            journal.input = submit.input.as_ref().map(|input| input.payload.clone());
            submit.replace(&mut journal.header, self.queues.is_fair(&submit.queue), now);
            self.list(slot, now);
        }
        Some(run)
    }

    /// Restarts a run, and releases its lease.
    pub(super) fn restart(
        &mut self,
        lease: &Lease,
        input: Option<Input>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let place = self.held(lease)?.header.place.again(now);
        let place = self.queues.place(place);
        let journal = self.held(lease)?;
        journal.header.restart(place, now);
        if let Some(Input { payload, fingerprint }) = input {
            (journal.header.input, journal.input) = (Some(fingerprint), Some(payload));
        }
        journal.records.clear();
        journal.keys.clear();
        journal.waits.clear();
        journal.held_until = None;
        if let Some(post) = &mut journal.post {
            post.restart();
        }
        self.list(slot(lease), now);
        Ok(())
    }

    pub(super) fn claim(&mut self, claim: &Claim, now: Timestamp, until: Timestamp) -> Claimed {
        while let Some((_, slot)) = self.queues.later.first().copied().filter(|(due, _)| *due <= now) {
            self.list(slot, now);
        }
        let mut visits = self.visits(claim, now);
        let mut runs = Vec::new();
        let mut open: Vec<_> = (0..visits.len()).collect();
        let first = self.queues.claims % open.len().max(1);
        open.rotate_left(first);
        self.queues.claims += 1;
        let mut left_behind = claim.limit == 0 && !open.is_empty();
        while !open.is_empty() && !left_behind {
            open.retain(|at| {
                if runs.len() >= claim.limit {
                    left_behind = true;
                    return true;
                }
                let held =
                    visits.get_mut(*at).and_then(|visit| self.take_next(visit, &claim.owner, (now, until)));
                let found = held.is_some();
                runs.extend(held);
                found
            });
        }
        let mut next = left_behind.then_some(now);
        for Visit { queue, allowance, .. } in visits {
            if let (Some(allowance), Some(state)) = (allowance, self.queues.states.get_mut(&queue)) {
                state.pace = allowance.pace();
                next = earlier(next, allowance.opens_at());
            }
        }
        let next = earlier(next, self.queues.later.first().map(|(due, _)| *due));
        let schedule = self.schedules.values().filter_map(|schedule| schedule.due).min();
        Claimed { runs, now, next, schedule }
    }

    /// Returns the queues with due runs of the served workflows.
    fn visits(&mut self, claim: &Claim, now: Timestamp) -> Vec<Visit> {
        let mut visits: BTreeMap<Arc<str>, Vec<(Lane, u32)>> = BTreeMap::new();
        let behind: BTreeSet<_> = self.queues.behind.keys().map(|(queue, _)| Arc::clone(queue)).collect();
        for queue in behind {
            let allowance = self.allowance(&queue, now);
            self.catch_up(&queue, allowance.as_ref(), now);
        }
        for served in &claim.workflows {
            let first = (Arc::clone(&served.workflow), Arc::default(), 0);
            let lanes = self.queues.ready.range(first..).map(|(lane, _)| lane);
            for lane in lanes.take_while(|(workflow, ..)| *workflow == served.workflow) {
                let (_, queue, version) = lane;
                if *version <= served.version && !self.queues.is_paused(queue) {
                    visits.entry(Arc::clone(queue)).or_default().push((lane.clone(), served.version));
                }
            }
        }
        let visit = |(queue, lanes)| {
            let allowance = self.allowance(&queue, now);
            Visit { queue, lanes, allowance }
        };
        visits.into_iter().map(visit).collect()
    }

    /// Counts the live leases of a queue. Returns `None` if the queue has no limits.
    fn allowance(&self, queue: &Arc<str>, now: Timestamp) -> Option<Allowance> {
        let state = self.queues.states.get(queue)?;
        let settings = state.settings.as_ref().filter(|settings| settings.is_limited())?;
        let mut running: HashMap<Arc<str>, u32> = HashMap::new();
        for slot in self.queues.held.get(queue).into_iter().flatten() {
            let journal = self.runs.get(*slot).and_then(Option::as_ref);
            if let Some(journal) = journal.filter(|journal| journal.lease(now).is_some()) {
                *running.entry(journal.header.place.key.clone().unwrap_or_default()).or_default() += 1;
            }
        }
        Some(Allowance::new(settings, state.pace, now, running))
    }

    /// Makes the runs ready that were behind the limit of their key and may start now. Checks only the keys with runs
    /// behind the limit. Each of these keys had a live lease recently, so there are few.
    fn catch_up(&mut self, queue: &Arc<str>, allowance: Option<&Allowance>, now: Timestamp) {
        let first = (Arc::clone(queue), Arc::default());
        let keys = self.queues.behind.range(first..).take_while(|((of, _), _)| of == queue);
        let mut ready = Vec::new();
        for ((_, key), ranked) in keys {
            let left = allowance.map_or(u32::MAX, |allowance| allowance.left_for(Some(key)));
            ready.extend(ranked.iter().take(left as usize).map(|(_, slot)| *slot));
        }
        for slot in ready {
            self.list(slot, now);
        }
    }

    /// Takes the lease of the first run of a queue that may start.
    fn take_next(
        &mut self,
        visit: &mut Visit,
        owner: &Owner,
        (now, until): (Timestamp, Timestamp),
    ) -> Option<Held> {
        loop {
            if visit.allowance.as_ref().is_some_and(|allowance| allowance.left() == 0) {
                return None;
            }
            let lanes = visit.lanes.iter().filter_map(|(lane, version)| {
                let first = *self.queues.ready.get(lane)?.first()?;
                Some((first, *version))
            });
            let ((rank, slot), version) = lanes.min_by_key(|(first, _)| *first)?;
            let journal = self.runs.get_mut(slot).and_then(Option::as_mut)?;
            let place = &journal.header.place;
            if journal.header.version > version {
                // An owner with an expired lease has migrated the journal, so the run belongs into another lane.
                self.list(slot, now);
            } else if !journal.header.has_begun() && place.is_too_late(now) {
                journal.header.end(Ending::too_late(), false, now);
                self.list(slot, now);
                self.report_of(slot, now);
            } else if visit.allowance.as_mut().is_some_and(|allowance| !allowance.admit(place.key.as_deref()))
            {
                let listed =
                    Listed::Behind(Arc::clone(&place.queue), place.key.clone().unwrap_or_default(), rank);
                self.queues.remove(slot, &journal.listed);
                self.queues.insert(slot, &listed);
                journal.listed = listed;
            } else {
                let started = rank.saturating_add(i64::from(place.priority));
                if let Some(state) = self.queues.states.get_mut(&visit.queue) {
                    state.start(started);
                }
                let held = journal.claim(slot, owner, version, (now, until));
                self.list(slot, now);
                return Some(held);
            }
        }
    }

    pub(super) fn configure(&mut self, queue: Queue, configure: Configure) {
        let state = self.queues.states.entry(Arc::clone(&queue.name)).or_default();
        if configure == Configure::Declare {
            if state.declared.as_ref() == Some(&queue) {
                return;
            }
            state.declared = Some(queue.clone());
        }
        state.settings = Some(queue);
    }

    pub(super) fn pause_queue(&mut self, queue: Arc<str>, pausing: Pausing) {
        self.queues.states.entry(queue).or_default().paused = pausing == Pausing::Pause;
    }

    pub(super) fn queue_states(&self) -> Vec<QueueState> {
        let states = self.queues.states.iter().filter(|(_, state)| state.paused || state.settings.is_some());
        let states = states.map(|(name, state)| {
            let settings = state.settings.clone().unwrap_or_else(|| Queue::new(Arc::clone(name)));
            QueueState::new(settings, state.paused)
        });
        states.take(1000).collect()
    }

    pub(super) fn pause(&mut self, run: &RunId, pausing: Pausing, now: Timestamp) -> bool {
        let paused = pausing == Pausing::Pause;
        let found = self.find_mut(run);
        let Some((slot, journal)) =
            found.filter(|(_, one)| !one.header.status.has_ended() && one.header.paused != paused)
        else {
            return false;
        };
        journal.header.paused = paused;
        self.list(slot, now);
        true
    }

    pub(super) fn reschedule(&mut self, run: &RunId, change: &Reschedule, now: Timestamp) -> bool {
        let found = self.find_mut(run);
        let Some((slot, _)) = found.filter(|(_, one)| one.lease(now).is_none() && !one.header.has_begun())
        else {
            return false;
        };
        self.unlist(slot);
        let Some(Some(journal)) = self.runs.get_mut(slot) else { return false };
        journal.header.place = self.queues.place(change.apply(&mut journal.header, now));
        self.list(slot, now);
        true
    }
}

impl State {
    /// Notes the start of a run with this rank. Removes the keys whose next run would get the virtual time as its rank
    /// without their entry.
    fn start(&mut self, rank: i64) {
        self.virtual_time = self.virtual_time.max(rank);
        if self.next.len() > 1024 && self.next.len() == self.next.capacity() {
            let virtual_time = self.virtual_time;
            self.next.retain(|_, next| *next > virtual_time);
        }
    }
}

impl Journal {
    /// Returns the place at which the run is listed at `now`.
    fn place_at(&self, now: Timestamp) -> Listed {
        let Header { workflow, version, place, .. } = &self.header;
        match self.header.due_at(self.held_until) {
            None => Listed::Nowhere,
            Some(due) if due > now => Listed::Later(due),
            Some(_) => {
                let lane = (Arc::clone(workflow), Arc::clone(&place.queue), *version);
                Listed::Ready(lane, place.rank)
            }
        }
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
