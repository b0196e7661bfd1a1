use std::fmt;
use std::marker::PhantomData;

use awaitly_core::Durable;
use awaitly_core::step::ValuesOnly;

/// The name of a workflow, and the types of its input `I`, its value `T` and its error `E`.
///
/// Clients and workers share the contract, usually as a constant in a module that both use. The compiler then checks
/// that a client passes the input that the body takes, and reads the result that the body returns.
///
/// `X` states how the store keeps errors: see [`errors_as_text`](Self::errors_as_text).
///
/// # Examples
/// ```
/// use awaitly_core::RunError;
/// use awaitly_engine::Contract;
///
/// pub const CHECKOUT: Contract<Vec<String>, u64, RunError> = Contract::new("checkout");
/// assert_eq!(CHECKOUT.name(), "checkout");
/// ```
pub struct Contract<I, T, E, X = Durable> {
    name: &'static str,
    input: PhantomData<fn(I)>,
    output: Output<T, E, X>,
}

/// The types of a run's result.
pub(crate) type Output<T, E, X> = PhantomData<(fn() -> T, fn() -> E, fn() -> X)>;

impl<I, T, E> Contract<I, T, E> {
    /// Creates the contract of the workflow `name`. The store keeps the name with each run.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, input: PhantomData, output: PhantomData }
    }

    /// Keeps the error of a failed run as text, for errors without serde, such as `anyhow::Error`. See
    /// [`Workflow::errors_as_text`](awaitly_core::Workflow::errors_as_text).
    ///
    /// ```
    /// use awaitly_engine::Contract;
    /// use awaitly_core::step::ValuesOnly;
    ///
    /// const REPORT: Contract<u32, String, anyhow::Error, ValuesOnly> = Contract::new("report").errors_as_text();
    /// ```
    #[must_use]
    pub const fn errors_as_text(self) -> Contract<I, T, E, ValuesOnly> {
        Contract { name: self.name, input: PhantomData, output: PhantomData }
    }
}

impl<I, T, E, X> Contract<I, T, E, X> {
    /// Returns the name of the workflow.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

// A derived implementation would require that `I`, `T`, `E` and `X` implement the trait, too.
impl<I, T, E, X> Clone for Contract<I, T, E, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, T, E, X> Copy for Contract<I, T, E, X> {}

impl<I, T, E, X> fmt::Debug for Contract<I, T, E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contract").field(&self.name).finish()
    }
}
