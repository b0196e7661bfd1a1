//! What the server and the connection say, in the words of stores.

use awaitly_core::store::StoreError;
use redis::{ErrorKind, RedisError, ServerError};

/// What becomes of a command that the server refused.
pub(super) fn refused(error: &ServerError) -> StoreError {
    let detail = text(error);
    // Servers before version 7 say what went wrong inside of a script within a general error.
    let says = |word: &str| error.code() == word || detail.contains(word);
    if says("OOM") || says("MISCONF") {
        StoreError::Full { detail }
    } else if says("READONLY") {
        StoreError::ReadOnly { detail }
    } else if says("NOAUTH") || says("WRONGPASS") || says("NOPERM") {
        StoreError::NotThere { detail: not_let_in(&detail) }
    } else if says("WRONGTYPE") {
        StoreError::Corrupt { detail: format!("a key of the store holds something else: {detail}").into() }
    } else if passes(error) {
        StoreError::Unavailable { detail }
    } else if says("user_script") || says("is not an integer") || says("not a float") {
        StoreError::Corrupt { detail: format!("a field does not hold what it should: {detail}").into() }
    } else {
        StoreError::Unavailable { detail }
    }
}

/// Whether the same command may succeed a little later. It was not carried out.
pub(super) fn passes(error: &ServerError) -> bool {
    const PASSING: [&str; 7] =
        ["LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS", "NOSCRIPT"];
    PASSING.contains(&error.code())
}

/// What becomes of a call whose connection was lost, or was not made.
pub(super) fn lost(error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            // The text of the error is left out: some servers repeat what they were given.
            StoreError::NotThere {
                detail: not_let_in("the user or the password is wrong, or one is missing"),
            }
        }
        ErrorKind::InvalidClientConfig => {
            let detail = format!("the address cannot be used ({})", error.category()).into();
            StoreError::NotThere { detail }
        }
        ErrorKind::Server(_) | ErrorKind::Extension => match redis_code(error) {
            Some(error) => error,
            None => unavailable(error),
        },
        _ => unavailable(error),
    }
}

/// Whether to try again.
pub(super) const fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. })
}

pub(super) fn unavailable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { detail: error.to_string().into() }
}

/// What is stored is not what was written: `what` holds something else.
pub(super) fn corrupt(run: &str, what: &str) -> StoreError {
    StoreError::Corrupt {
        detail: format!("the field `{what}` of run `{run}` does not hold what it should").into(),
    }
}

/// The server has thrown records away, as one does whose memory is full and that may.
pub(super) fn torn(run: &str) -> StoreError {
    StoreError::Corrupt {
        detail: format!(
            "records of run `{run}` are missing that were there, as if the server had evicted them"
        )
        .into(),
    }
}

fn redis_code(error: &RedisError) -> Option<StoreError> {
    match error.code()? {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => {
            let detail = error.detail().unwrap_or("no permission");
            Some(StoreError::NotThere { detail: not_let_in(detail) })
        }
        _ => None,
    }
}

fn not_let_in(detail: &str) -> Box<str> {
    format!("the server does not let this user in: {detail}").into()
}

fn text(error: &ServerError) -> Box<str> {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()).into(),
        None => error.code().into(),
    }
}
