//! The macros, and the module through which their generated code reaches this crate.

pub mod door;

/// Executes a step and evaluates to its value, or returns its failure from the surrounding function.
///
/// ```text
/// step!(run, [name,] [option = value,]* expression)
/// step!(builder)
/// ```
///
/// The expression is a future of a `Result`, or another value whose `.await` returns a `Result`. The macro wraps the
/// expression in a closure, and evaluates it when the step is executed: once, or once per attempt with `retry`. Without
/// `retry`, the expression may move or mutably borrow its variables. A `?` or `return` inside the expression returns
/// from the closure.
///
/// Without a name, the step is named after the last function that the expression calls.
///
/// An option calls the method of its name on [`Step`](crate::step::Step): `retry`, `timeout`, `deadline`, `guard`,
/// `policy`, `key`, `input`, `on_change` and `durability`. The last option may be `when` or `unless`, followed by
/// `because` (the reason for skipping the step) and `or` (the value of a skipped step). Options are evaluated in the
/// given order, before the expression captures its variables.
///
/// The name and the `key` are text: a literal, a `String`, a borrowed `&str`, or any other [`Name`](crate::step::Name).
/// A literal or a [`Key::from_static`](crate::journal::Key::from_static) is not copied.
///
/// With `transaction = store`, the expression is a closure that takes a transaction, and the macro does not wrap it:
/// `|tx| debit(tx, amount)`. See [`Step::transaction`](crate::step::Step::transaction).
///
/// In a saga, `compensate = |value| undo(value)` sets the compensation of the step: see the crate `awaitly-saga`.
///
/// The second form takes a step from the builder, or any other value whose `.await` returns a `Result` with
/// [`Error`](crate::Error) or [`RunError`](crate::RunError), for example [`Run::each`](crate::Run::each) or
/// [`Run::sleep`](crate::Run::sleep).
///
/// # Errors
/// Returns the surrounding function's own error if the step fails. [`FromStep`](crate::FromStep) converts the step's
/// failure into it.
///
/// # Examples
/// ```
/// use awaitly_core::{clock::{ms, secs}, run, step, Retry, RunError};
///
/// # #[derive(Debug, thiserror::Error)] #[error("down")] struct Down;
/// # #[derive(Debug, thiserror::Error)]
/// # enum PingError { #[error(transparent)] Down(#[from] Down), #[error(transparent)] Run(#[from] RunError) }
/// # async fn ping(host: &str) -> Result<u64, Down> { Ok(host.len() as u64) }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let host = String::from("example");
/// let total = run(async |run| {
///     let first = step!(run, ping(&host));
///     let second = step!(run, "again", retry = Retry::fixed(ms(10)), timeout = secs(1), ping(&host));
///     let third = step!(run.step("by hand", || ping(&host)).timeout(secs(1)));
///     Ok::<_, PingError>(first + second + third)
/// })
/// .await;
/// assert_eq!(total.unwrap(), 21);
/// # });
/// ```
#[macro_export]
macro_rules! step {
    ($step:expr $(,)?) => {
        match ::core::future::IntoFuture::into_future($step).await {
            ::core::result::Result::Ok(value) => value,
            ::core::result::Result::Err(failure) => {
                return ::core::result::Result::Err($crate::FromStep::from_step(failure));
            }
        }
    };
    ($run:expr, $($rest:tt)+) => {
        $crate::step!($crate::__macros::execute($crate::__build_step!(($run) () once [] [] $($rest)+)))
    };
}

/// Parses the tokens after the run in `step!`, one option at a time:
/// `(run) (name) calls [methods] [methods of a condition] rest`.
#[doc(hidden)]
#[macro_export]
macro_rules! __build_step {
    (($run:expr) ($($name:expr)?) once [$($method:tt)*] [] retry = $policy:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) repeat [$($method)* .retry($policy)] [] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) (once $store:ident) [$($method:tt)*] [] retry = $policy:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) (repeat $store) [$($method)* .retry($policy)] [] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) once [$($method:tt)*] [] policy = $policy:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) repeat [$($method)* .policy($policy)] [] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) (once $store:ident) [$($method:tt)*] [] policy = $policy:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) (repeat $store) [$($method)* .policy($policy)] [] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) $calls:ident [$($method:tt)*] [] transaction = $store:expr, $($rest:tt)+) => {
        match $store {
            store => $crate::__build_step!(($run) ($($name)?) ($calls store) [$($method)*] [] $($rest)+)
        }
    };
    // The compensation takes the value of the step, so the compiler must see the operation first.
    (($run:expr) ($($name:expr)?) $calls:tt [$($method:tt)*] [] compensate = $undo:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) $calls [$($method)*] [] $($rest)+).compensate($undo)
    };
    (($run:expr) ($($name:expr)?) $calls:tt [$($method:tt)*] [] key = $key:literal, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) $calls [$($method)* .key($key)] [] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) $calls:tt [$($method:tt)*] [] key = $key:expr, $($rest:tt)+) => {
        $crate::__build_step!(
            ($run) ($($name)?) $calls [$($method)* .key($crate::__macros::key(&$key))] [] $($rest)+
        )
    };
    (($run:expr) ($($name:expr)?) $calls:tt $methods:tt [] when = $condition:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) $calls $methods [.when($condition)] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) $calls:tt $methods:tt [] unless = $condition:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($($name)?) $calls $methods [.unless($condition)] $($rest)+)
    };
    (($run:expr) ($($name:expr)?) $calls:tt [$($method:tt)*] [] $option:ident = $value:expr, $($rest:tt)+) => {
        $crate::__step_option!(
            $option (($run) ($($name)?) $calls [$($method)* .$option($value)] [] $($rest)+)
        )
    };
    (
        ($run:expr) ($($name:expr)?) $calls:tt $methods:tt [$($condition:tt)+]
        $option:ident = $value:expr, $($rest:tt)+
    ) => {
        $crate::__skip_option!(
            $option (($run) ($($name)?) $calls $methods [$($condition)+ .$option($value)] $($rest)+)
        )
    };
    (($run:expr) () $calls:tt $methods:tt $conditions:tt $operation:expr $(,)?) => {
        $crate::__build_step!(
            ($run) (const { $crate::__macros::name_of(::core::stringify!($operation)) })
            $calls $methods $conditions $operation
        )
    };
    // The operation comes last, so the options are evaluated before it captures its variables.
    (
        ($run:expr) ($name:expr) (once $store:ident) [$($method:tt)*] [$($condition:tt)*] $operation:expr $(,)?
    ) => {
        ($run).step($name, ()).transaction($store) $($method)* $($condition)*
            .__operation($crate::__macros::once_in($store, $operation))
    };
    (
        ($run:expr) ($name:expr) (repeat $store:ident) [$($method:tt)*] [$($condition:tt)*] $operation:expr $(,)?
    ) => {
        ($run).step($name, ()).transaction($store) $($method)* $($condition)*
            .__operation($crate::__macros::repeat_in($store, $operation))
    };
    (($run:expr) ($name:expr) $calls:ident [$($method:tt)*] [$($condition:tt)*] $operation:expr $(,)?) => {
        ($run).step($name, ()) $($method)* $($condition)*
            .__operation($crate::__macros::$calls(|| async { $operation.await }))
    };
    // A literal becomes a key without a copy. Any other text is copied, because it may be borrowed.
    (($run:expr) () $calls:tt [] [] $name:literal, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($name) $calls [] [] $($rest)+)
    };
    (($run:expr) () $calls:tt [] [] $name:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($crate::__macros::key(&$name)) $calls [] [] $($rest)+)
    };
}

/// Continues with `__build_step!` if the option exists.
#[doc(hidden)]
#[macro_export]
macro_rules! __step_option {
    (timeout $step:tt) => { $crate::__build_step! $step };
    (deadline $step:tt) => { $crate::__build_step! $step };
    (guard $step:tt) => { $crate::__build_step! $step };
    (retry $step:tt) => { $crate::__build_step! $step };
    (policy $step:tt) => { $crate::__build_step! $step };
    (input $step:tt) => { $crate::__build_step! $step };
    (on_change $step:tt) => { $crate::__build_step! $step };
    (durability $step:tt) => { $crate::__build_step! $step };
    (compensate_retry $step:tt) => { $crate::__build_step! $step };
    (compensate_timeout $step:tt) => { $crate::__build_step! $step };
    (or $step:tt) => {
        ::core::compile_error!(
            "`or` is the value of a skipped step and follows `when` or `unless`; for a value in the place of a failure, \
             use a method: `step!(run.step(name, || call()).or_value(value))`"
        )
    };
    (because $step:tt) => {
        ::core::compile_error!("`because` is the reason for skipping a step and follows `when` or `unless`")
    };
    ($option:ident $step:tt) => {
        ::core::compile_error!(::core::concat!(
            "a step has no option `", ::core::stringify!($option), "`: the options are `retry`, `timeout`, `deadline`, \
             `guard`, `policy`, `key`, `input`, `on_change`, `durability`, `transaction`, in a saga `compensate`, \
             `compensate_retry` and `compensate_timeout`, and last `when` or `unless`, followed by `because` and `or`; use \
             any other method on the step itself: `step!(run.step(name, || call()).method(value))`"
        ))
    };
}

/// Continues with `__build_step!` if a condition takes the option.
#[doc(hidden)]
#[macro_export]
macro_rules! __skip_option {
    (because $step:tt) => { $crate::__build_step! $step };
    (or $step:tt) => { $crate::__build_step! $step };
    ($option:ident $step:tt) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($option), "` follows the condition of the step: move it before `when` or `unless`, \
             which only `because` and `or` may follow"
        ))
    };
}

/// Executes several steps at the same time and evaluates to a tuple of their values. As soon as one step fails, the
/// macro drops the other steps and returns the failure from the surrounding function.
///
/// ```text
/// parallel!(run, [name,] { step: expression, step: step!([option = value,]* expression) })
/// ```
///
/// Each entry is a separate step with the key `name.step`, and a durable run records it under that key. All entries run
/// on the task of the run. If an entry needs options, write it as `step!(..)`, without the run and the name.
///
/// A step that waits, for example for an answer or in a sleep, has not failed, and the other steps continue. If none of
/// them fails, the macro returns [`RunError::Waiting`](crate::RunError::Waiting) from the surrounding function after
/// all steps have ended or wait.
///
/// In a saga, the macro returns a failure only when all entries have ended, so their effects are known and can be
/// undone.
///
/// # Errors
/// Returns the surrounding function's own error if a step fails. The macro converts the failure that came first in time
/// with [`FromStep`](crate::FromStep).
///
/// # Cancel safety
/// Dropping the surrounding future drops all steps.
///
/// # Resume
/// Each step is recorded separately, and a resumed run does not execute the recorded steps again.
///
/// # Examples
/// ```
/// use awaitly_core::{parallel, run, RunError};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # async fn user(id: u32) -> Result<String, RunError> { Ok(format!("user {id}")) }
/// # async fn posts(id: u32) -> Result<u32, RunError> { Ok(id) }
/// let loaded = run(async |run| {
///     let (user, posts) = parallel!(run, "load", { user: user(7), posts: posts(7) });
///     Ok::<_, RunError>((user, posts))
/// })
/// .await;
/// assert_eq!(loaded, Ok(("user 7".into(), 7)));
/// # });
/// ```
#[macro_export]
macro_rules! parallel {
    ($run:expr, { $($steps:tt)+ }) => {
        $crate::parallel!($run, "parallel", { $($steps)+ })
    };
    ($run:expr, $name:literal, { $($steps:tt)+ }) => {
        $crate::__parallel!(
            ($run) ($crate::__macros::Key::from_static($name)) (literal $name) run name [] $($steps)+
        )
    };
    ($run:expr, $name:expr, { $($steps:tt)+ }) => {
        $crate::__parallel!(($run) ($crate::__macros::key(&$name)) (expression name) run name [] $($steps)+)
    };
}

/// Parses the entries of `parallel!`, one at a time, and then writes all of them. `run` and `name` are the variables
/// for the handle and the name.
#[doc(hidden)]
#[macro_export]
macro_rules! __parallel {
    (
        ($($from:tt)*) ($($named:tt)*) $key:tt $run:ident $name:ident [$($read:tt)*]
        $step:ident : step!($($call:tt)+) $(, $($rest:tt)*)?
    ) => {
        $crate::__parallel!(
            ($($from)*) ($($named)*) $key $run $name
            [$($read)* ($crate::__build_step!(($run) ($crate::__parallel_key!($key $step)) once [] [] $($call)+))]
            $($($rest)*)?
        )
    };
    (
        ($($from:tt)*) ($($named:tt)*) $key:tt $run:ident $name:ident [$($read:tt)*]
        $step:ident : $operation:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__parallel!(
            ($($from)*) ($($named)*) $key $run $name
            [$($read)* ($run.step(
                $crate::__parallel_key!($key $step),
                $crate::__macros::once(|| async { $operation.await })
            ))]
            $($($rest)*)?
        )
    };
    (($from:expr) ($named:expr) $key:tt $run:ident $name:ident [$( ($($step:tt)*) )+]) => {
        match ($crate::__macros::handle(&$from), $named) {
            ($run, $name) => {
                let siblings = $crate::__macros::siblings($run, &$name);
                let joined = $crate::__macros::try_join!(
                    biased;
                    $( siblings.execute($crate::__macros::execute($($step)*)) ),+
                );
                ::core::mem::drop(siblings);
                match joined {
                    ::core::result::Result::Ok(values) => values,
                    ::core::result::Result::Err(error) => return ::core::result::Result::Err(error),
                }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __parallel_key {
    ((literal $name:literal) $step:ident) => {
        ::core::concat!($name, ".", ::core::stringify!($step))
    };
    ((expression $name:ident) $step:ident) => {
        ::std::format!("{}.{}", $name, ::core::stringify!($step))
    };
}

/// Executes one step that makes several calls at the same time. It evaluates to the first value and drops the other
/// calls. If all calls fail, the step fails with the failure that came first.
///
/// ```text
/// race!(run, [name,] [option = value,]* { expression, expression })
/// ```
///
/// All calls have one type of value and one type of error. The macro takes the options of [`step!`].
///
/// # Errors
/// Returns the surrounding function's own error if all calls fail. The macro converts the failure that came first in
/// time with [`FromStep`](crate::FromStep).
///
/// # Cancel safety
/// Dropping the surrounding future drops all calls.
///
/// # Resume
/// The journal records the value of the winner, so a resumed run makes no calls.
///
/// # Examples
/// ```
/// use awaitly_core::{race, run, RunError};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # async fn get(host: &str) -> Result<String, RunError> { Ok(host.into()) }
/// let fastest = run(async |run| {
///     let fastest = race!(run, "mirror", { get("east"), get("west") });
///     Ok::<_, RunError>(fastest)
/// })
/// .await;
/// assert_eq!(fastest.unwrap(), "east");
/// # });
/// ```
#[macro_export]
macro_rules! race {
    ($run:expr, $($rest:tt)+) => { $crate::__race!(($run) () [] $($rest)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __race {
    (($run:expr) () [$($option:tt)*] { $($operation:expr),+ $(,)? }) => {
        $crate::__race!(($run) ($crate::__macros::Key::from_static("race")) [$($option)*] { $($operation),+ })
    };
    (($run:expr) ($name:expr) [$($option:tt)*] { $($operation:expr),+ $(,)? }) => {
        match ($crate::__macros::handle(&$run), $name) {
            (run, name) => $crate::step!(
                run, name, $($option)*
                async {
                    let race = $crate::__macros::race(run, &name);
                    let joined = $crate::__macros::try_join!(
                        biased; $( race.enter(async { $operation.await }) ),+
                    );
                    race.end(joined).await
                }
            ),
        }
    };
    (($run:expr) ($($name:expr)?) [$($option:tt)*] $key:ident = $value:expr, $($rest:tt)+) => {
        $crate::__race!(($run) ($($name)?) [$($option)* $key = $value,] $($rest)+)
    };
    (($run:expr) () [] $name:literal, $($rest:tt)+) => {
        $crate::__race!(($run) ($crate::__macros::Key::from_static($name)) [] $($rest)+)
    };
    (($run:expr) () [] $name:expr, $($rest:tt)+) => {
        $crate::__race!(($run) ($crate::__macros::key(&$name)) [] $($rest)+)
    };
}
