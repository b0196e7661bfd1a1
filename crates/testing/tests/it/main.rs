//! Integration tests of this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod crash;
mod faults;
mod matchers;
mod mocks;
mod network;
mod replay;
mod reports;
mod scripts;
mod shop;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the message of the panic in `act`.
fn panic_of<T>(act: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).err().expect("it should panic");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).expect("the message is a string").to_owned()
}
