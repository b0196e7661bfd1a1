/// A named set of options for a step, for `policy = ..`.
///
/// The policies of `awaitly-resilience` implement this trait. A preset sets its options with the methods of the step,
/// for example [`Step::timeout`](super::Step::timeout). Options that the step sets later override the preset.
///
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::step::{Preset, Step};
/// use awaitly_core::{RunError, run, step};
///
/// /// Every call to the search service.
/// #[derive(Clone, Copy)]
/// struct Search;
///
/// impl<'r, F, A, R, G, U> Preset<Step<'r, F, A, R, G, U>> for Search {
///     type Step = Step<'r, F, A, R, G, U>;
///
///     fn apply(self, step: Step<'r, F, A, R, G, U>) -> Self::Step {
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
    note = "a policy implements `awaitly::step::Preset`: those of `awaitly::resilience::policy` do"
)]
pub trait Preset<S> {
    /// The step with the options.
    type Step;

    /// Sets the options.
    fn apply(self, step: S) -> Self::Step;
}
