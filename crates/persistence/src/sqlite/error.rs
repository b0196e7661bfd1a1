use std::fs::{self, File};
use std::io;
use std::path::Path;

use awaitly_core::store::{Owner, StoreError};
use rusqlite::{Error, ErrorCode, ffi};

/// The reason for which an operation was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operation was refused before it changed anything, so the rest of its batch is not affected.
    Refused(StoreError),
    /// SQLite failed, and the transaction can no longer be trusted.
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
    /// Returns the store's error for a database that could not be opened. SQLite reports only that it failed, so this
    /// asks the operating system for the reason.
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

/// Returns `true` if the failure of a batch may be due to one operation: that operation may be too large while the
/// others fit.
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

/// Converts an error of SQLite. The text comes from SQLite and contains no values.
pub(super) fn store_error(error: &Error) -> StoreError {
    let detail = detail(error);
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        // The statements never change, so a table differs from their expectations.
        | Error::SqlInputError { .. } => return StoreError::Corrupt { detail },
        // The file is shorter than its content.
        Error::SqliteFailure(failure, _) if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
            return StoreError::Corrupt { detail };
        }
        _ => {}
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { detail },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { detail },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { detail },
        _ => StoreError::Unavailable { detail },
    }
}

pub(super) fn unavailable(error: &io::Error) -> StoreError {
    StoreError::Unavailable { detail: error.to_string().into() }
}

fn detail(error: &Error) -> Box<str> {
    match error {
        // The error names the column and its position; its cause names the expected value.
        Error::FromSqlConversionFailure(_, _, cause) => cause.to_string().into(),
        Error::SqliteFailure(failure, Some(message)) => {
            format!("SQLite: {message}, code {}", failure.extended_code).into()
        }
        Error::SqlInputError { msg, .. } => format!("SQLite: {msg}").into(),
        error => format!("SQLite: {error}").into(),
    }
}

/// Returns the error for a `column` whose content the library never wrote.
pub(super) fn undecodable(column: &'static str) -> StoreError {
    StoreError::Corrupt { detail: format!("the column {column} holds what no version wrote").into() }
}
