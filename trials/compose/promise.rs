//! The promises of the library, and a promise that was broken.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    Once,
    UndoneOnce,
    Undone,
    SameOutcome,
    SameResult,
    NotStuck,
    AllOrUndone,
    NoFurther,
    TooLate,
    Parks,
    Predicted,
    Asked,
    Agreement,
    Resources,
    Events,
    Answers,
    Mail,
    Children,
    Instants,
    Harness,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Once => "an outcome is recorded once, and its effect does not happen again",
            Self::UndoneOnce => "a step is undone at most once",
            Self::Undone => "only what was done is undone",
            Self::SameOutcome => "a recorded outcome is the same in every execution",
            Self::SameResult => "a run that has ended gives the same result on every call",
            Self::NotStuck => "no run is stuck",
            Self::AllOrUndone => "all or undone: no run ends with work left",
            Self::NoFurther => "a run that was cancelled goes no further",
            Self::TooLate => "a run that is too late to cancel is not cancelled",
            Self::Parks => "a long wait holds no task",
            Self::Predicted => "a run ends as its body says",
            Self::Asked => "every question that can be asked is asked",
            Self::Agreement => "a call gives what the store says of the run",
            Self::Resources => "a resource is released once",
            Self::Events => "each beginning has one end",
            Self::Answers => "an answer is taken once, and only if it was asked for",
            Self::Mail => "a run receives each message once, in order, until it has ended",
            Self::Children => "a cancelled run cancels its children, unless they are detached",
            Self::Instants => "each instant of a schedule has one run",
            Self::Harness => "the stores work",
        })
    }
}

/// A promise that was broken, and how.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) text: String,
}
