use std::io;
use std::path::Path;

use awaitly_core::store::StoreError;

/// What a store says about an error of the system at `path`, which is told without the folder of the store.
pub(super) fn store_error(path: &Path, error: &io::Error) -> StoreError {
    let detail = format!("{}: {error}", path.display()).into();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full { detail }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { detail }
        }
        _ => StoreError::Unavailable { detail },
    }
}

/// What a store says where its folder cannot be opened.
pub(super) fn at_opening(folder: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidInput => {
            StoreError::NotThere { detail: format!("{}: {error}", folder.display()).into() }
        }
        _ => store_error(folder, error),
    }
}

/// The file at `path` holds at `at` what no version wrote.
pub(super) fn corrupt(path: &Path, at: usize, what: &str) -> StoreError {
    StoreError::Corrupt { detail: format!("{}, byte {at}: {what}", path.display()).into() }
}
