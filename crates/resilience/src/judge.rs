/// Judges an error of the operation, or an answer of a service, for the policy that asks.
///
/// Functions implement it, and `()`, which judges everything as the policy does by itself: a breaker and a
/// [`Hedge`](crate::Hedge) count every error as a failure, a throttle sees no overload in an error, and a layer of
/// `tower` counts no answer as a failure. With a function pointer, the type of a policy can be written in a field:
///
/// ```
/// use awaitly_resilience::CircuitBreaker;
/// # #[derive(Debug, PartialEq)]
/// # enum ApiError { Declined, Down }
///
/// struct Client {
///     breaker: CircuitBreaker<fn(&ApiError) -> bool>,
/// }
///
/// let down = (|error| *error == ApiError::Down) as fn(&ApiError) -> bool;
/// let client = Client { breaker: CircuitBreaker::options("api").failure_when(down).build() };
/// # let _ = client;
/// ```
#[diagnostic::on_unimplemented(
    message = "this policy cannot judge `{T}`",
    note = "its function takes something else: write `|error: &{T}| ..`"
)]
pub trait Judge<T, V> {
    /// Returns the judgement of `subject`. `otherwise` is the judgement of the policy itself, which `()` returns.
    fn judge(&self, subject: &T, otherwise: V) -> V;
}

impl<T, V> Judge<T, V> for () {
    #[inline]
    fn judge(&self, _: &T, otherwise: V) -> V {
        otherwise
    }
}

impl<T, V, F: Fn(&T) -> V> Judge<T, V> for F {
    #[inline]
    fn judge(&self, subject: &T, _: V) -> V {
        self(subject)
    }
}
