use serde::{Deserialize, Serialize};

/// A call did not get through to a service, or its answer did not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unreachable {
    /// The service did not take the call.
    #[error("`{service}` refused the call, nothing was done: call it again later")]
    Refused {
        /// The service.
        service: Box<str>,
    },
    /// No answer came: whether the call was carried out, who called cannot know.
    #[error(
        "`{service}` did not answer, it may have done what was asked: call it again under the same idempotency key"
    )]
    NoAnswer {
        /// The service.
        service: Box<str>,
    },
}

impl Unreachable {
    /// The service.
    #[must_use]
    pub const fn service(&self) -> &str {
        match self {
            Self::Refused { service } | Self::NoAnswer { service } => service,
        }
    }
}
