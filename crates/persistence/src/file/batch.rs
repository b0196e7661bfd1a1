//! What each operation of a batch comes to. Nothing here is written yet.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use awaitly_core::journal::{
    Admission, Asked, Contents, Header, Key, Outcome, Record, Settling, Status, Timestamp, Unanswered, admit,
    settle,
};
use awaitly_core::store::{
    Answer, Answered, Cancelled, Cancelling, Ending, Imported, Lease, Open, Renewed, RunId, StoreError,
    StoredRun, Wait,
};
use foldhash::fast::RandomState;

use super::draft::{Draft, Known};
use super::entry::Entry;
use super::fold::Face;
use super::folder::Folder;
use super::index::{Index, Run};
use crate::group::op::{Admitted, Change, Done, Found, Op};
use crate::limits;

/// A batch, and what is needed to carry out one operation after another in it.
pub(super) struct Batch<'a> {
    pub(super) folder: &'a Folder,
    pub(super) index: &'a Index,
    pub(super) known: &'a mut HashMap<RunId, Known, RandomState>,
    /// The newest number of a run.
    pub(super) number: &'a mut i64,
    pub(super) now: Timestamp,
    /// The runs that it concerns.
    pub(super) drafts: HashMap<RunId, Draft, RandomState>,
}

/// The newest token of this process. Leases end with the store, so tokens are kept nowhere, and no lease of a store that
/// was closed is one of a store that was opened after it. They grow from process to process too, as long as the clock
/// goes forward.
pub(super) static TOKENS: AtomicU64 = AtomicU64::new(0);

impl Batch<'_> {
    pub(super) fn apply(&mut self, op: &Op) -> Done {
        let done = match op {
            // Who asked has gone: nobody would give the lease back.
            Op::Open { fate, .. } if fate.is_closed() => Done::Nothing,
            Op::Open { request, .. } => Done::Opened(self.open(request)),
            Op::Change { lease, change, .. } => Done::Changed(self.change(lease, change)),
            Op::Settle { lease, record, settling, .. } => {
                Done::Settled(self.settle(lease, record, *settling))
            }
            Op::Renew { lease, ttl, .. } => Done::Renewed(self.renew(lease, *ttl)),
            Op::Release(lease) => {
                // A lease that is not held any more has nothing to release.
                if let Ok(draft) = self.held(lease) {
                    draft.run.held_until = None;
                }
                Done::Nothing
            }
            Op::Answer { answer, .. } => Done::Answered(self.answer(answer)),
            Op::Cancel { run, cancelling, .. } => Done::Cancelled(self.cancel(run, *cancelling)),
            Op::Import { run, stored, .. } => Done::Imported(self.import(run, stored)),
            Op::Delete { .. } | Op::Due { .. } | Op::Close(_) => Done::Nothing,
        };
        if let Some(draft) = run_of(op).and_then(|run| self.drafts.get_mut(run)) {
            draft.after_operation(op.must_be_durable());
        }
        done
    }

    fn open(&mut self, request: &Open) -> Result<Admitted<Lease>, StoreError> {
        let now = self.now;
        let stored =
            self.draft(&request.run)?.map(|draft| (Arc::clone(&draft.run.face.header), draft.run.lease(now)));
        let admission = admit(request, stored.as_ref().map(|(header, lease)| (&**header, *lease)));
        let (header, found, input) = match (admission, stored) {
            (Admission::Refuse(refused), _) => return Ok(Admitted::Refused(refused)),
            // The outcome stands in the file, where it is looked up next.
            (Admission::Ended, Some((header, _))) => {
                return Ok(Admitted::Ended(Arc::unwrap_or_clone(header)));
            }
            (Admission::Take, Some((header, _))) => (Arc::unwrap_or_clone(header), Found::Records, None),
            _ => {
                let input = request.input.as_ref().map(|input| input.payload.clone());
                (self.begin(request)?, Found::Nothing, input)
            }
        };
        let lease = self.lend(request)?;
        Ok(Admitted::Held { lease, now, found, header, input })
    }

    fn begin(&mut self, request: &Open) -> Result<Header, StoreError> {
        let header = Header::begin(request, self.now);
        self.add(&Entry::Begun {
            run: request.run.clone(),
            number: *self.number + 1,
            workflow: Arc::clone(&request.workflow),
            version: request.version,
            input: request.input.as_ref().map(|input| Cow::Borrowed(&input.payload)),
            fingerprint: header.input,
            at: self.now,
        })?;
        Ok(header)
    }

    /// Lets a run be there that was not.
    fn add(&mut self, entry: &Entry<'_>) -> Result<(), StoreError> {
        let Some((id, number, face)) = Face::begin(entry) else { return Ok(()) };
        *self.number = number;
        let run = Run {
            id: id.clone(),
            number,
            face,
            token: 0,
            held_until: None,
            length: 0,
            renewals: 0,
            torn: false,
            unsynced: false,
            linked: false,
            lost: None,
        };
        let mut draft = Draft::of(run, Known { keys: Some(super::fold::Keys::default()), file: None });
        draft.add(entry)?;
        self.drafts.insert(id, draft);
        Ok(())
    }

    fn lend(&mut self, request: &Open) -> Result<Lease, StoreError> {
        let until = self.expiry(request.ttl);
        let token = TOKENS.fetch_add(1, Ordering::Relaxed) + 1;
        let lost = || StoreError::LeaseLost { run: (*request.run).into() };
        let draft = self.draft(&request.run)?.ok_or_else(lost)?;
        (draft.run.token, draft.run.held_until) = (token, Some(until));
        Ok(Lease::new(request.run.clone(), token, draft.run.number))
    }

    fn change(&mut self, lease: &Lease, change: &Change) -> Result<(), StoreError> {
        let (folder, now) = (self.folder, self.now);
        let draft = self.held(lease)?;
        let recorded =
            |key: &Key| StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: key.clone() };
        let keys = draft.keys(folder)?;
        match change {
            Change::Append(record, _) if keys.contain(&record.key) => Err(recorded(&record.key)),
            Change::Append(record, _) => draft.add(&Entry::Appended(Cow::Borrowed(record))),
            Change::Replace(record, _) => draft.add(&Entry::Replaced(Cow::Borrowed(record))),
            Change::Wait(Wait { key, .. }) if keys.contain(key) => Err(recorded(key)),
            Change::Wait(wait) => match draft.run.face.waits.get(&wait.key) {
                // The question that stands is the one that was sent out.
                Some(_) => Ok(()),
                None => draft.add(&Entry::Waits(Cow::Owned(wait.clone().begin(now)))),
            },
            Change::Revive(drop) => draft.add(&Entry::Revived { drop: Cow::Borrowed(drop), at: now }),
            Change::Rewrite(rewrite) => {
                let Contents { records, waits, failed_on } = &rewrite.contents;
                limits::journal(lease.run(), records, waits)?;
                rewrite.check(lease.run(), draft.run.face.waits.keys())?;
                draft.add(&Entry::Rewritten {
                    version: rewrite.version,
                    records: Cow::Borrowed(records),
                    waits: Some(Cow::Borrowed(waits)),
                    failed_on: Some(Cow::Borrowed(failed_on)),
                })
            }
            Change::Finish(ending) => {
                let answered = ending.waits_on.iter().any(|key| keys.contain(key));
                draft.add(&Entry::ended(ending, answered, now))?;
                draft.run.held_until = None;
                Ok(())
            }
        }
    }

    fn settle(
        &mut self,
        lease: &Lease,
        record: &Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let (folder, now) = (self.folder, self.now);
        let draft = self.held(lease)?;
        match asked(draft, folder, &record.key, settling, None, now)? {
            Ok(()) => {
                draft.add(&Entry::Expired(Cow::Borrowed(record))).map(|()| Some(record.outcome.clone()))
            }
            Err(Unanswered::AlreadyAnswered) => draft.recorded(folder, &record.key),
            Err(_) => Ok(None),
        }
    }

    fn renew(&mut self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let (now, until) = (self.now, self.expiry(ttl));
        let run = &mut self.held(lease)?.run;
        run.held_until = Some(until);
        Ok(Renewed { now, cancel: run.face.header.cancel_requested })
    }

    fn answer(&mut self, answer: &Answer) -> Result<Answered, StoreError> {
        let (folder, now) = (self.folder, self.now);
        let Some(draft) = self.draft(&answer.run)? else {
            return Ok(Answered::Refused(Unanswered::NoSuchRun));
        };
        let token = answer.token.as_deref();
        if let Err(refused) = asked(draft, folder, &answer.key, Settling::Answer, token, now)? {
            return Ok(Answered::Refused(refused));
        }
        let record = Record { key: answer.key.clone(), outcome: answer.outcome.clone(), input: None };
        draft.add(&Entry::Answered { record: Cow::Owned(record), at: now })?;
        Ok(Answered::Taken)
    }

    fn cancel(&mut self, run: &RunId, cancelling: Cancelling) -> Result<Cancelled, StoreError> {
        let now = self.now;
        let Some(draft) = self.draft(run)? else {
            return Ok(Cancelled::NoSuchRun);
        };
        let Face { header, is_too_late, .. } = &draft.run.face;
        let was_requested = header.cancel_requested;
        let cancelled = cancelling.decide(header, draft.run.lease(now), *is_too_late);
        match cancelled {
            Cancelled::Requested if !was_requested => draft.add(&Entry::CancelRequested)?,
            Cancelled::WithoutUndo => {
                draft.add(&Entry::ended(&Ending::new(Status::Cancelled), false, now))?;
                draft.run.held_until = None;
            }
            _ => {}
        }
        Ok(cancelled)
    }

    fn import(&mut self, run: &RunId, stored: &StoredRun) -> Result<Imported, StoreError> {
        limits::imported(run, stored)?;
        if self.draft(run)?.is_some() {
            return Ok(Imported::Exists);
        }
        let StoredRun { header, input, records, waits } = stored;
        self.add(&Entry::Imported {
            run: run.clone(),
            number: *self.number + 1,
            header: Cow::Borrowed(header),
            input: input.as_ref().map(Cow::Borrowed),
            records: Cow::Borrowed(records),
            waits: Cow::Borrowed(waits),
        })?;
        Ok(Imported::Added)
    }

    fn expiry(&self, ttl: Duration) -> Timestamp {
        self.now.after(ttl.min(limits::LONGEST_TTL))
    }

    /// The run, as the operations before have left it.
    fn draft(&mut self, run: &RunId) -> Result<Option<&mut Draft>, StoreError> {
        if !self.drafts.contains_key(run)
            && let Some(found) = self.index.find(run)?
        {
            if let Some(lost) = &found.lost {
                return Err(lost.clone());
            }
            let draft = Draft::of(Arc::unwrap_or_clone(found), self.known.remove(run).unwrap_or_default());
            self.drafts.insert(run.clone(), draft);
        }
        Ok(self.drafts.get_mut(run))
    }

    /// The run that `lease` may still write.
    fn held(&mut self, lease: &Lease) -> Result<&mut Draft, StoreError> {
        self.draft(lease.run())?
            .filter(|draft| draft.run.is_held_by(lease))
            .ok_or_else(|| StoreError::LeaseLost { run: (**lease.run()).into() })
    }
}

fn asked(
    draft: &mut Draft,
    folder: &Folder,
    key: &Key,
    settling: Settling,
    token: Option<&str>,
    now: Timestamp,
) -> Result<Result<(), Unanswered>, StoreError> {
    let recorded = draft.keys(folder)?.contain(key);
    let Face { header, waits, .. } = &draft.run.face;
    let asked = Asked { status: header.status, entry: waits.get(key), recorded };
    Ok(settle(Some(asked), settling, token, now))
}

/// The run that an operation concerns. What concerns several is no part of a batch.
pub(super) fn run_of(op: &Op) -> Option<&RunId> {
    match op {
        Op::Open { request, .. } => Some(&request.run),
        Op::Change { lease, .. }
        | Op::Settle { lease, .. }
        | Op::Renew { lease, .. }
        | Op::Release(lease) => Some(lease.run()),
        Op::Answer { answer, .. } => Some(&answer.run),
        Op::Cancel { run, .. } | Op::Import { run, .. } => Some(run),
        Op::Delete { .. } | Op::Due { .. } | Op::Close(_) => None,
    }
}
