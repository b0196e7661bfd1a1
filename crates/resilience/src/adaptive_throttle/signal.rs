use std::time::Duration;

/// The meaning of an operation's error for the load of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The service accepted the call, although the call did not succeed: for example, a record does not exist, or a
    /// card is declined.
    Accepted,
    /// The service was overloaded, for example a 429 or a 503.
    Overloaded {
        /// The time that the service asked to wait, from now.
        wait: Option<Duration>,
    },
    /// The error says nothing about the load, because the call never reached the service.
    Unknown,
}
