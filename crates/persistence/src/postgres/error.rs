use std::io::ErrorKind;

use awaitly_core::store::{Lease, StoreError};
use sqlx::Error;

/// The reason for which a connection cannot write.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    /// The server is a standby. It may take over soon, or another server has taken over.
    #[error("the server is a standby")]
    Standby,
    /// An operator made the database read-only.
    #[error("`default_transaction_read_only` is on for this server, database or role")]
    Setting,
}

impl From<Unwritable> for Error {
    fn from(why: Unwritable) -> Self {
        Self::Configuration(Box::new(why))
    }
}

pub(super) fn unwritable(error: &Error) -> Option<&Unwritable> {
    match error {
        Error::Configuration(cause) => cause.downcast_ref(),
        _ => None,
    }
}

/// Returns `true` if the server refused a write because the transaction was read-only.
pub(super) fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.code().as_deref() == Some("25006"))
}

/// Returns `true` if the idle connections of the pool may fail like the connection with this error, because it was
/// silent or leads to a read-only server.
pub(super) fn mistrusts_others(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == ErrorKind::TimedOut,
        Error::PoolTimedOut => true,
        error => is_read_only(error) || unwritable(error).is_some(),
    }
}

/// Converts an error of Postgres. The text is the server's message, which contains no values. Its detail may contain
/// values and is left out.
pub(super) fn store_error(error: &Error) -> StoreError {
    let detail = detail(error);
    match error {
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) => {
            StoreError::Corrupt { detail }
        }
        Error::Configuration(_) if unwritable(error).is_some() => StoreError::ReadOnly { detail },
        Error::Configuration(_) | Error::Tls(_) => StoreError::NotThere { detail },
        Error::PoolClosed => StoreError::Closed,
        Error::Encode(_) => StoreError::Unstorable { detail },
        Error::Database(error) => match error.code().as_deref() {
            // disk full, out of memory, configured limit exceeded
            Some("53100" | "53200" | "53400") => StoreError::Full { detail },
            // read-only transaction, as on a standby; insufficient privilege
            Some("25006" | "42501") => StoreError::ReadOnly { detail },
            // wrong password or user, no such database
            Some("28000" | "28P01" | "3D000") => StoreError::NotThere { detail },
            // no such schema, table or column: the tables are not those that the library made
            Some("3F000" | "42P01" | "42703") => StoreError::Corrupt { detail },
            // data corrupted, index corrupted
            Some("XX001" | "XX002") => StoreError::Corrupt { detail },
            // a value too large for its type or row
            Some("54000" | "22021" | "22P05") => StoreError::Unstorable { detail },
            _ => StoreError::Unavailable { detail },
        },
        _ => StoreError::Unavailable { detail },
    }
}

/// The consequence of a failed attempt for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The connection or the moment is the cause: an attempt over another connection, or a little later, may succeed.
    /// It is unknown whether a commit in flight was carried out.
    Passing,
    /// A single operation of the batch may be the cause: another session has locked its row, or it cannot be stored. No
    /// operation had an effect, and the connection is good.
    Single,
    /// A further attempt fails in the same way.
    Lasting,
}

impl Reason {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Io(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::WorkerCrashed
            | Error::BeginFailed => Self::Passing,
            Error::Encode(_) => Self::Single,
            Error::Database(error) => Self::of_code(error.code().as_deref().unwrap_or_default()),
            error if matches!(unwritable(error), Some(Unwritable::Standby)) => Self::Passing,
            _ => Self::Lasting,
        }
    }

    fn of_code(code: &str) -> Self {
        let is_of = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
        match code {
            // serialization failure, deadlock; cancelled, shutdown, crash, starting up, idle for too long; too many
            // connections; read-only, whose cause another connection reveals
            "40001" | "40P01" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300"
            | "25006" => Self::Passing,
            // lost connections
            _ if is_of(&["08"]) => Self::Passing,
            // a lock; data, resources and limits
            "55P03" => Self::Single,
            _ if is_of(&["22", "53", "54"]) => Self::Single,
            _ => Self::Lasting,
        }
    }
}

/// Returns the store's error if a commit refuses the application's writes: they violate a deferred constraint, or an
/// earlier statement had failed.
pub(super) fn refuses(error: &Error) -> Option<StoreError> {
    let Error::Database(cause) = error else { return None };
    let code = cause.code()?;
    (code.starts_with("23") || code == "25P02").then(|| StoreError::Unstorable { detail: detail(error) })
}

/// Returns `true` if a record was not added because its key already has one.
pub(super) fn is_duplicate(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.is_unique_violation())
}

fn detail(error: &Error) -> Box<str> {
    match error {
        Error::Database(error) => match error.code() {
            Some(code) => format!("PostgreSQL: {}, code {code}", error.message()).into(),
            None => format!("PostgreSQL: {}", error.message()).into(),
        },
        Error::Io(error) => format!("PostgreSQL: {error}").into(),
        Error::Configuration(_) => match unwritable(error) {
            Some(why) => format!("PostgreSQL: {why}").into(),
            // The connection options may contain a password.
            None => "PostgreSQL: the URL is none that it takes".into(),
        },
        error => format!("PostgreSQL: {error}").into(),
    }
}

/// Returns the error for a `column` whose content the library never wrote.
pub(super) fn undecodable(column: &'static str) -> Error {
    Error::ColumnDecode { index: column.to_owned(), source: "it holds what no version wrote".into() }
}

/// Returns the error for a lease that is no longer the newest, or was released.
pub(super) fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { run: (**lease.run()).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_server_has_one_reason() {
        for (reason, codes) in [
            (Reason::Passing, ["40001", "57P01", "53300", "25006", "08006"]),
            (Reason::Single, ["55P03", "22021", "53100", "53200", "54000"]),
            (Reason::Lasting, ["42501", "23505", "3D000", "XX001", ""]),
        ] {
            assert!(codes.iter().all(|code| Reason::of_code(code) == reason), "{reason:?}");
        }
    }
}
