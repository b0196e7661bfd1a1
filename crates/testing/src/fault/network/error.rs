use serde::{Deserialize, Serialize};

/// The failure of a call to a simulated service: the request or its answer was lost.
///
/// ```
/// use awaitly_testing::fault::{Network, Unreachable};
///
/// # awaitly_testing::simulate(async || {
/// let bank = Network::new(7).service("bank");
/// bank.down();
/// let error = bank.pass().await.unwrap_err();
/// assert!(matches!(error, Unreachable::Refused { .. }));
/// assert_eq!(error.service(), "bank");
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unreachable {
    /// The service did not take the call.
    #[error("`{service}` refused the call and did not carry it out: call it again later")]
    Refused {
        /// The name of the service.
        service: Box<str>,
    },
    /// No answer came, so the caller cannot know whether the service carried out the call.
    #[error(
        "`{service}` did not answer and may have carried out the call: call it again with the same idempotency key"
    )]
    NoAnswer {
        /// The name of the service.
        service: Box<str>,
    },
}

impl Unreachable {
    /// Returns the name of the service.
    #[must_use]
    pub const fn service(&self) -> &str {
        match self {
            Self::Refused { service } | Self::NoAnswer { service } => service,
        }
    }
}
