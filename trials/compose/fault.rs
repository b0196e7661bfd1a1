//! The errors of a body.

use awaitly::engine::Contract;
use awaitly::store::RunId;
use awaitly::{Error, RunError};
use serde::{Deserialize, Serialize};

use crate::part::Ending;

/// The error of a part or a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Fault {
    /// The operation of this part fails, or that of one of its branches or items.
    #[error("part {0}.{1} fails")]
    Own(u16, u8),
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Error<Self>> for Fault {
    fn from(error: Error<Self>) -> Self {
        match error {
            Error::Failed(fault) => fault,
            Error::Run(error) => Self::Run(error),
        }
    }
}

/// The value of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fruit {
    pub(crate) digest: u64,
    pub(crate) extra: Option<Extra>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum Extra {
    Wide { number: u128 },
    Float { number: f64 },
}

impl Fruit {
    pub(crate) const fn new(digest: u64, ending: Ending) -> Self {
        let extra = match ending {
            Ending::Nothing => None,
            Ending::Float(number) => Some(Extra::Float { number }),
            Ending::Wide(number) => Some(Extra::Wide { number }),
        };
        Self { digest, extra }
    }
}

/// A workflow whose runs a worker executes. The input is the number of the child, or 0 for the run of the case.
pub(crate) type Served = Contract<u16, Fruit, Fault>;

/// The result of a call of the workflow.
pub(crate) type Ended = Result<Fruit, Fault>;

/// The kind of a fault, which the oracle predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Own(u16, u8),
    Rejected,
    Expired,
    /// A value that the journal cannot keep.
    Unkept,
    Other,
}

impl Fault {
    pub(crate) const fn class(&self) -> Class {
        match self {
            Self::Own(id, index) => Class::Own(*id, *index),
            Self::Run(RunError::Rejected { .. }) => Class::Rejected,
            Self::Run(RunError::Expired { .. }) => Class::Expired,
            Self::Run(RunError::Unencodable { .. } | RunError::TooLarge { .. }) => Class::Unkept,
            Self::Run(_) => Class::Other,
        }
    }
}

/// The run id of a case.
pub(crate) fn run_id(name: &str) -> RunId {
    RunId::new(name).unwrap_or_else(|_| unreachable!("the names of runs are short"))
}
