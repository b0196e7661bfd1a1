//! Handles that the macros accept in addition to [`Run`].

use crate::run::{Mode, Run};

/// A handle from which a body builds its steps, by value or by reference. The macros call its method `step`.
///
/// ```
/// use awaitly_core::extend::handle::Handle;
/// use awaitly_core::journal::Key;
/// use awaitly_core::step::Step;
/// use awaitly_core::{Run, RunError, Volatile, parallel, run};
///
/// /// Names each step after its shop.
/// struct Shop<'r>(&'r Run, &'static str);
///
/// impl Shop<'_> {
///     fn step<F>(&self, name: impl Into<Key>, operation: F) -> Step<'_, F> {
///         let name: Key = name.into();
///         self.0.step(format!("{} {name}", self.1), operation)
///     }
/// }
///
/// impl Handle for Shop<'_> {
///     type Mode = Volatile;
///     type Target = Self;
///
///     fn target(&self) -> &Self {
///         self
///     }
///
///     fn run(&self) -> &Run {
///         self.0
///     }
/// }
///
/// # async fn price(item: &str) -> Result<usize, RunError> { Ok(item.len()) }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let prices = run(async |run| {
///     let paris = Shop(run, "Paris");
///     let (tea, pot) = parallel!(paris, "prices", { tea: price("tea"), pot: price("teapot") });
///     Ok::<_, RunError>((tea, pot))
/// })
/// .await;
/// assert_eq!(prices, Ok((3, 6)));
/// # });
/// ```
pub trait Handle {
    /// The mode of its steps.
    type Mode: Mode;
    /// The handle itself, behind all references.
    type Target: Handle<Mode = Self::Mode>;
    /// If `true`, `parallel!` waits for its other steps after a failure. If `false`, it drops them.
    const WAITS_FOR_SIBLINGS: bool = false;

    /// Returns the handle itself.
    fn target(&self) -> &Self::Target;
    /// Returns the handle's run.
    fn run(&self) -> &Run<Self::Mode>;
}

impl<M: Mode> Handle for Run<M> {
    type Mode = M;
    type Target = Self;

    fn target(&self) -> &Self {
        self
    }

    fn run(&self) -> &Self {
        self
    }
}

impl<H: Handle> Handle for &H {
    type Mode = H::Mode;
    type Target = H::Target;
    const WAITS_FOR_SIBLINGS: bool = H::WAITS_FOR_SIBLINGS;

    fn target(&self) -> &H::Target {
        (**self).target()
    }

    fn run(&self) -> &Run<H::Mode> {
        (**self).run()
    }
}
