/// Several options of a step under one name: what `policy = ..` applies.
///
/// Holds for the policies of `awaitly-resilience`. It changes a step into another one by the same methods that the
/// options of [`step!`](crate::step!) call; what is set after it on the same step wins over it.
///
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::step::{Policy, Step};
/// use awaitly_core::{RunError, run, step};
///
/// /// Every call to the search service.
/// #[derive(Clone, Copy)]
/// struct Search;
///
/// impl<'r, F, A, R, G> Policy<Step<'r, F, A, R, G>> for Search {
///     type Step = Step<'r, F, A, R, G>;
///
///     fn apply(self, step: Step<'r, F, A, R, G>) -> Self::Step {
///         step.timeout(secs(2)).deadline(secs(10))
///     }
/// }
///
/// # async fn find(_: &str) -> Result<u32, RunError> { Ok(7) }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let found = run(async |run| Ok::<_, RunError>(step!(run, policy = Search, find("tea")))).await;
/// # assert_eq!(found, Ok(7));
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no policy for this step",
    note = "a policy implements `awaitly::step::Policy`: those of `awaitly::resilience::policy` do"
)]
pub trait Policy<S> {
    /// The step with the options set.
    type Step;

    /// Sets them.
    fn apply(self, step: S) -> Self::Step;
}
