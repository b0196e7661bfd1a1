use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::table::calls;
use super::{
    Durability, Ending, Input, Lease, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError, StoredRun,
    Wait,
};
use crate::journal::{Key, Outcome, Record, Settling};

/// A handle to any store, chosen at run time. A clone is cheap and refers to the same store.
///
/// ```
/// # fn choose(file: Option<impl awaitly_core::store::Store>, memory: impl awaitly_core::store::Store) {
/// use awaitly_core::store::AnyStore;
///
/// let store = match file {
///     Some(file) => AnyStore::new(file),
///     None => AnyStore::new(memory),
/// };
/// # }
/// ```
#[derive(Clone)]
pub struct AnyStore(Arc<dyn Twin>);

/// The pending answer of a store.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

macro_rules! twins {
    (Store { $($Call:ident $name:ident (
        $(& $by:ident: $by_type:ty;)? $($arg:ident: $type:ty),*
    ) -> $answer:ty;)* } Operate { $($operate:tt)* } Dispatch { $($dispatch:tt)* }) => {
        /// [`Store`] with boxed futures, so that it works as a trait object.
        trait Twin: Send + Sync {
            $(fn $name(self: Arc<Self>, $($by: $by_type,)? $($arg: $type),*) -> Answer<$answer>;)*
            fn release(&self, lease: &Lease);
            fn durability(&self) -> &'static str;
        }

        impl<S: Store> Twin for S {
            $(fn $name(self: Arc<Self>, $($by: $by_type,)? $($arg: $type),*) -> Answer<$answer> {
                Box::pin(async move { Store::$name(&*self, $(&$by,)? $($arg),*).await })
            })*

            fn release(&self, lease: &Lease) {
                Store::release(self, lease);
            }

            fn durability(&self) -> &'static str {
                Store::durability(self)
            }
        }

        // These methods name the type of their futures, so the crate can hold the futures without a second box.
        impl AnyStore {
            $(pub(crate) fn $name(&self, $($by: &$by_type,)? $($arg: $type),*) -> Answer<$answer> {
                Arc::clone(&self.0).$name($($by.clone(),)? $($arg),*)
            })*
        }

        impl Store for AnyStore {
            $(fn $name(
                &self,
                $($by: &$by_type,)?
                $($arg: $type),*
            ) -> impl Future<Output = Result<$answer, StoreError>> + Send {
                Self::$name(self, $($by,)? $($arg),*)
            })*

            fn release(&self, lease: &Lease) {
                self.0.release(lease);
            }

            fn durability(&self) -> &'static str {
                self.0.durability()
            }
        }
    };
}

calls!(twins);

impl AnyStore {
    /// Creates a handle to `store`.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }

    /// Calls [`Store::release`].
    pub(crate) fn release(&self, lease: &Lease) {
        self.0.release(lease);
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyStore").field(&Store::durability(self)).finish()
    }
}
