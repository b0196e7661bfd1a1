//! The requests to a lane.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Record, Timestamp};
use awaitly_core::store::{Durability, Ending, Lease, Open, Renewed, StoreError};
use tokio::sync::oneshot;

use crate::group::Queued;
use crate::postgres::dispatch::{Claiming, Submitting};
use crate::postgres::patience::Patience;
use crate::unclaimed::{Back, Unclaimed};

pub(in crate::postgres) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to a lane.
#[derive(Debug)]
pub(in crate::postgres) enum Op {
    Begin(Begin),
    Append(Append),
    Finish(Finish),
    Renew(Renew),
    Release(Release),
    Flush(Flush),
    Claim(Claiming),
    Submit(Submitting),
}

#[derive(Debug)]
pub(in crate::postgres) struct Begin {
    pub(in crate::postgres) request: Arc<Open>,
    pub(in crate::postgres) patience: Patience,
    /// The answer is `None` if the run already exists.
    pub(in crate::postgres) fate: Fate<Option<Began>>,
    pub(in crate::postgres) back: Arc<dyn Back>,
}

#[derive(Debug)]
pub(in crate::postgres) struct Finish {
    pub(in crate::postgres) lease: Lease,
    pub(in crate::postgres) ending: Box<Ending>,
    pub(in crate::postgres) patience: Patience,
    pub(in crate::postgres) fate: Fate<()>,
}

#[derive(Debug)]
pub(in crate::postgres) struct Release {
    pub(in crate::postgres) lease: Lease,
    pub(in crate::postgres) patience: Patience,
}

#[derive(Debug)]
pub(in crate::postgres) struct Renew {
    pub(in crate::postgres) lease: Lease,
    pub(in crate::postgres) ttl: Duration,
    pub(in crate::postgres) patience: Patience,
    pub(in crate::postgres) fate: Fate<Renewed>,
}

#[derive(Debug)]
pub(in crate::postgres) struct Append {
    pub(in crate::postgres) lease: Lease,
    pub(in crate::postgres) record: Record,
    pub(in crate::postgres) durability: Durability,
    pub(in crate::postgres) patience: Patience,
    pub(in crate::postgres) fate: Fate<()>,
}

/// A request that is answered once all earlier requests were carried out and their records are on the disk.
#[derive(Debug)]
pub(in crate::postgres) struct Flush {
    pub(in crate::postgres) patience: Patience,
    pub(in crate::postgres) fate: Fate<()>,
}

/// A run that has just begun.
#[derive(Debug)]
pub(in crate::postgres) struct Began {
    pub(in crate::postgres) lease: Unclaimed,
    pub(in crate::postgres) now: Timestamp,
}

impl Queued for Op {
    fn bytes(&self) -> usize {
        match self {
            Self::Begin(Begin { request, .. }) => {
                request.input.as_ref().map_or(0, |input| input.payload.len())
            }
            Self::Append(Append { record, .. }) => record.key.len() + record.outcome.payload().len(),
            Self::Finish(Finish { ending, .. }) => {
                ending.outcome.as_ref().map_or(0, |outcome| outcome.payload().len())
            }
            Self::Submit(Submitting { batch, .. }) => {
                // A run takes a place for each 64 KiB, too, so that large batches are bounded.
                let inputs =
                    batch.iter().map(|run| run.input.as_ref().map_or(0, |input| input.payload.len()));
                inputs.sum()
            }
            Self::Renew(_) | Self::Release(_) | Self::Flush(_) | Self::Claim(_) => 0,
        }
    }
}
