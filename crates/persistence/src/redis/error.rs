//! Converts errors of the server and the connection to errors of the store.

use awaitly_core::store::StoreError;
use redis::{ErrorKind, RedisError, ServerError};

/// Returns the error for a command that the server refused.
pub(super) fn refused(error: &ServerError) -> StoreError {
    if passes(error) {
        StoreError::Unavailable { detail: text(error) }
    } else {
        refused_in_script(&text(error))
    }
}

/// Returns the error for a command inside a script that the server refused with this text.
pub(super) fn refused_in_script(text: &str) -> StoreError {
    let detail: Box<str> = text.into();
    // Servers before version 7 report an error inside a script as a part of a general error.
    let says = |word: &str| detail.contains(word);
    if says("OOM") || says("MISCONF") {
        StoreError::Full { detail }
    } else if says("READONLY") {
        StoreError::ReadOnly { detail }
    } else if says("NOAUTH") || says("WRONGPASS") || says("NOPERM") {
        StoreError::NotThere { detail: not_let_in(&detail) }
    } else if says("WRONGTYPE") {
        StoreError::Corrupt { detail: format!("a key of the store holds something else: {detail}").into() }
    } else if says("user_script") || says("is not an integer") || says("not a float") {
        StoreError::Corrupt { detail: format!("a field does not hold what it should: {detail}").into() }
    } else {
        StoreError::Unavailable { detail }
    }
}

/// Returns `true` if a repeated command may succeed a little later. The command was not carried out.
pub(super) fn passes(error: &ServerError) -> bool {
    const PASSING: [&str; 7] =
        ["LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS", "NOSCRIPT"];
    PASSING.contains(&error.code())
}

/// Returns the error for a call whose connection was lost or could not be opened.
pub(super) fn lost(error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            // The text of the error is left out, because some servers repeat their input in it.
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

/// Returns `true` if the call should be tried again.
pub(super) const fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. })
}

pub(super) fn unavailable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { detail: error.to_string().into() }
}

/// Returns the error for stored content that the library never wrote, in the place that `what` names.
pub(super) fn corrupt(run: &str, what: &str) -> StoreError {
    StoreError::Corrupt {
        detail: format!("the field `{what}` of run `{run}` does not hold what it should").into(),
    }
}

/// Returns the error for a run whose records the server has evicted, as a server with full memory may do.
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
