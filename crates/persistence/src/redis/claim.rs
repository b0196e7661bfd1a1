//! Takes the leases of due runs.

use std::sync::{Mutex, PoisonError};

use awaitly_core::journal::{Payload, Timestamp};
use awaitly_core::store::{Claim, Claimed, Ending, Held, Lease, RunId, StoreError, StoredRun};
use redis::{Cmd, Value};

use super::fields::{self, Fields, Known};
use super::op::{Caller, Kind, Leased, Op, To};
use super::records::{records, waits};
use super::reply::Reply;
use super::scripts::Script;
use super::{RedisStore, lasting, nonces};

/// The maximum number of runs in one call. The limit keeps the call short, because the server executes one call at a
/// time.
const MOST: usize = 500;

/// The maximum number of calls in a row that find no run, but have not checked all runs.
const LOOKS: usize = 10_000;

/// The claims and other calls whose answers have arrived. The server still keeps these answers, and can remove them.
#[derive(Debug, Default)]
pub(super) struct Arrived(Mutex<Vec<String>>);

impl Arrived {
    pub(super) fn add(&self, holder: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(holder);
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A part of a claim, which took at most [`MOST`] runs.
struct Part {
    claimed: Claimed,
    /// Whether the call stopped before it had checked all due runs and all queues.
    unfinished: bool,
    /// Releases the runs if they do not reach the caller.
    leased: Leased,
    holder: String,
}

impl RedisStore {
    /// Claims runs in calls of limited size. If a call fails after others have found runs, returns these runs.
    pub(super) async fn claim_all(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.released().await?;
        let mut parts: Vec<Part> = Vec::new();
        let (mut found, mut looks, mut schedule) = (0, 0, None);
        let (now, next) = loop {
            let limit = (claim.limit - found).min(MOST);
            let part = match self.claim_part(claim, limit).await {
                Ok(part) => part,
                Err(error) => match parts.last() {
                    Some(last) => break (last.claimed.now, Some(last.claimed.now)),
                    None => return Err(error),
                },
            };
            let Claimed { now, next, schedule: alarm, ref runs } = part.claimed;
            schedule = alarm;
            let (taken, unfinished) = (runs.len(), part.unfinished);
            (found, looks) = (found + taken, looks + 1);
            parts.push(part);
            let goes_on = found < claim.limit && (taken == MOST || found == 0 && unfinished && looks < LOOKS);
            if !goes_on {
                break (now, next);
            }
        };
        let runs = parts.into_iter().flat_map(|part| self.arrive(part)).collect();
        Ok(Claimed { runs, now, next, schedule })
    }

    /// Hands over the runs of a part. From now on, the caller is responsible for the release of their leases.
    fn arrive(&self, part: Part) -> Vec<Held> {
        let Part { claimed, leased, holder, .. } = part;
        leased.claim();
        if !claimed.runs.is_empty() {
            self.0.arrived.add(holder);
        }
        claimed.runs
    }

    async fn claim_part(&self, claim: &Claim, limit: usize) -> Result<Part, StoreError> {
        let number = self.0.nonces.next();
        let holder = nonces::text(number);
        let call = self.claim_call(claim, limit, &holder);
        let mut release = self.call(Script::GiveBack, "");
        release.arg(&holder);
        let (again, back) = (release.clone(), self.0.batches.clone());
        let leased = self.0.batches.ask(|fate| {
            let caller = Caller::Lease { fate, release, back };
            Op { call, to: To::One, kind: Kind::Plain, caller }
        });
        // If the answer was lost, the leases may have been taken.
        let mut leased = leased.await.inspect_err(|_| {
            self.0.batches.send(Op::release(again));
        })?;
        let (claimed, unfinished) = read(claim, number, leased.take())?;
        Ok(Part { claimed, unfinished, leased, holder })
    }

    fn claim_call(&self, claim: &Claim, limit: usize, holder: &str) -> Cmd {
        let mut call = self.call(Script::Claim, "");
        call.arg(holder).arg(lasting(claim.ttl)).arg(limit);
        call.arg(Ending::too_late().error.as_deref().unwrap_or_default());
        call.arg(claim.owner.as_str()).arg(claim.workflows.len());
        for served in &claim.workflows {
            call.arg(&*served.workflow).arg(served.version);
        }
        for arrived in self.0.arrived.take() {
            call.arg(arrived);
        }
        call
    }
}

/// Reads the claimed runs, and whether the call stopped early.
fn read(claim: &Claim, number: u64, answer: Value) -> Result<(Claimed, bool), StoreError> {
    let mut reply = Reply::of("", answer)?;
    // An earlier attempt of the call took the runs, so their fields are up to date.
    let again = reply.text("reply")? == "again";
    let now = Timestamp::from_millis(reply.number("now")?);
    let next = maybe_moment(&mut reply, "next")?;
    let unfinished = reply.text("unfinished")? == "1";
    let mut found = reply.list("runs")?;
    let mut runs = Vec::with_capacity(found.len());
    while found.len() > 0 {
        runs.push(held(claim, number, now, again, found.list("run")?)?);
    }
    let mut damaged = reply.list("damaged")?;
    while damaged.len() > 0 {
        tracing::error!(
            run = damaged.text("run")?,
            "the run cannot be claimed: records are missing that were there"
        );
    }
    let schedule = maybe_moment(&mut reply, "schedule")?;
    Ok((Claimed { runs, now, next, schedule }, unfinished))
}

/// Reads a moment, or an empty text.
fn maybe_moment(reply: &mut Reply<'_>, field: &str) -> Result<Option<Timestamp>, StoreError> {
    match reply.text(field)?.as_str() {
        "" => Ok(None),
        text => fields::moment(text).map(Some).ok_or_else(|| reply.corrupt(field)),
    }
}

/// Reads a claimed run. The fields are those before the claim, unless it was claimed `again`.
fn held(
    claim: &Claim,
    number: u64,
    now: Timestamp,
    again: bool,
    mut reply: Reply<'_>,
) -> Result<Held, StoreError> {
    let id = RunId::new(reply.text("run")?).map_err(|_| reply.corrupt("run"))?;
    let mut fields = Fields::pairs(&id, reply.list("fields")?)?;
    let Known { mut header, mut token, held_until, .. } =
        Known::read(&mut fields)?.ok_or_else(|| reply.corrupt("workflow"))?;
    if !again {
        let progressed = fields.maybe("recorded").unwrap_or_else(|| "0".to_owned())
            != fields.maybe("recorded_before").unwrap_or_else(|| "0".to_owned());
        let served = claim.workflows.iter().find(|served| served.workflow == header.workflow);
        let version = served.map_or(header.version, |served| served.version);
        header.claim(version, held_until.is_some(), progressed, now);
        token += 1;
    }
    let input = fields.maybe("input").map(Payload::from_stored);
    let run = StoredRun {
        header,
        input,
        records: records(reply.maybe_list("records")?)?,
        waits: waits(reply.maybe_list("waits")?)?,
    };
    Ok(Held { lease: Lease::new(id, token, number.cast_signed()), run })
}
