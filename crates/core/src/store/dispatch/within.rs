use std::future::Future;

use super::{Dispatch, Submit, Submitted};
use crate::journal::Refused;
use crate::store::StoreError;

/// A store that adds queued runs within a transaction of the application. If the application commits its own writes,
/// the runs exist; if it rolls them back, the runs never existed.
///
/// `C` is the connection with the open transaction, to the database that contains the store.
pub trait SubmitWithin<C: ?Sized>: Dispatch {
    /// Adds queued runs, as [`Dispatch::submit`] does, within the transaction that is open on `connection`.
    ///
    /// If another open transaction has added a run with one of the ids, the call waits until that transaction ends.
    ///
    /// # Errors
    /// As [`Dispatch::submit`]. After an error, roll the transaction back.
    ///
    /// # Cancel safety
    /// If the future is dropped, roll the transaction back.
    fn submit_within(
        &self,
        connection: &mut C,
        batch: Vec<Submit>,
    ) -> impl Future<Output = Result<Vec<Result<Submitted, Refused>>, StoreError>> + Send;
}
