use std::fs::{self, File};
use std::io;
use std::path::Path;

use awaitly_core::store::{Owner, StoreError};
use rusqlite::{Error, ErrorCode, ffi};

/// Why an operation was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was refused before it changed anything: the others of its batch are not concerned.
    Refused(StoreError),
    /// SQLite failed, and the transaction cannot be trusted any more.
    Sqlite(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..) => Self::Refused(store_error(&error)),
            error => Self::Sqlite(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Sqlite(error) => store_error(&error),
        }
    }
}

impl Failure {
    /// What a store says where it could not be opened. SQLite only says that it could not, so the
    /// system is asked for the reason.
    pub(super) fn at_opening(self, path: &Path) -> StoreError {
        let error = match &self {
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => error,
            _ => return self.into(),
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!("-{}", Owner::unique().as_str()));
        match File::create_new(&beside) {
            Ok(_) => {
                drop(fs::remove_file(beside));
                StoreError::NotThere { detail: detail(error) }
            }
            Err(error) => {
                let detail = format!("the folder of the file: {error}").into();
                match error.kind() {
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        StoreError::ReadOnly { detail }
                    }
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { detail },
                    _ => StoreError::NotThere { detail },
                }
            }
        }
    }
}

/// Whether a failed batch says nothing about each of its operations: one of them may be too large,
/// and the others may fit.
pub(super) fn may_concern_one_operation(error: &Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
        )
    )
}

/// What a store says about an error of SQLite. The text is SQLite's own and holds no values.
pub(super) fn store_error(error: &Error) -> StoreError {
    let detail = detail(error);
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        // The statements are always the same: a table is not as they expect it.
        | Error::SqlInputError { .. } => return StoreError::Corrupt { detail },
        _ => {}
    }
    if is_mismatch(error) {
        return StoreError::Corrupt { detail: "the checksum of a row of awaitly_runs does not match".into() };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { detail },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { detail },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { detail },
        _ => StoreError::Unavailable { detail },
    }
}

/// The code of a statement that the checksum of a row refuses. SQLite itself never returns it: it is meant for functions of
/// the program.
pub(super) const MISMATCH: i32 = ffi::SQLITE_CONSTRAINT_FUNCTION;

fn is_mismatch(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == MISMATCH)
}

pub(super) fn unavailable(error: &io::Error) -> StoreError {
    StoreError::Unavailable { detail: error.to_string().into() }
}

fn detail(error: &Error) -> Box<str> {
    match error {
        // The column's name and position; the cause says what was expected of it.
        Error::FromSqlConversionFailure(_, _, cause) => cause.to_string().into(),
        Error::SqliteFailure(failure, Some(message)) => {
            format!("SQLite: {message}, code {}", failure.extended_code).into()
        }
        Error::SqlInputError { msg, .. } => format!("SQLite: {msg}").into(),
        error => format!("SQLite: {error}").into(),
    }
}

/// What is stored under `column` is nothing that was ever written there.
pub(super) fn undecodable(column: &'static str) -> StoreError {
    StoreError::Corrupt { detail: format!("the column {column} holds what no version wrote").into() }
}
