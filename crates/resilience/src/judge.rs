/// Decides the meaning of an operation's error, or of a service's answer, for a policy.
///
/// Every function of a `&T` implements this trait. `()` implements it too, and stands for the default of each policy: a
/// breaker and a [`Hedge`](crate::Hedge) count every error as a failure, a throttle treats no error as an overload, and
/// a layer of `tower` counts no answer as a failure. A closure's type has no name. To store a policy in a field,
/// convert its closure to a function pointer:
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
    /// Returns the judgement of `subject`. `otherwise` is the policy's default, which `()` returns.
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
