//! The macros, and the door through which the code that they write gets at this crate.

pub mod door;

/// Executes a step: gives its value, or returns its failure from the surrounding function.
///
/// ```text
/// step!(run, [name,] [option = value,]* expression)
/// step!(builder)
/// ```
///
/// The expression is a future of a `Result`, or anything that can be awaited to one. It is wrapped in a
/// closure, so it is evaluated when the step is executed: once, or once for each attempt where `retry` is
/// given. Without `retry` it may move and mutably borrow what it names. A `?` or `return` inside of it
/// belongs to that closure.
///
/// Without a name, the step is named for the last function that the expression calls. An option is the
/// method of that name on [`Step`](crate::step::Step): `retry`, `timeout`, `deadline`, `guard`, `policy`, `key`,
/// `input`, `on_change`, `durability`, and last `when` or `unless`, which `because` and `or` may follow: the
/// reason for skipping the step, and its value then. Options are evaluated in the order in which they stand, and
/// before the expression takes what it names.
///
/// The name and the `key` are text: a literal, a `String`, a borrowed `&str`, or any other [`Name`](crate::step::Name).
/// A literal costs no copy, and neither does a [`Key::from_static`](crate::journal::Key::from_static).
///
/// With `transaction = store`, the expression is a closure that gets a transaction, and is not wrapped:
/// `|tx| debit(tx, amount)`. See [`Step::transaction`](crate::step::Step::transaction).
///
/// In a saga, `compensate = |value| undo(value)` says what undoes the step: see the crate `awaitly-saga`.
///
/// The second form takes a step built by hand, or anything else that awaits to a `Result` with
/// [`Error`](crate::Error) or [`RunError`](crate::RunError): [`Run::each`](crate::Run::each),
/// [`Run::sleep`](crate::Run::sleep).
///
/// # Errors
/// The surrounding function returns its own error, made from the step's failure by
/// [`FromStep`](crate::FromStep).
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

/// Reads the tokens behind the run in `step!`, one option at a time:
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
    // What undoes the step is told its value, so the compiler has to know the operation first.
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
    // The operation comes last, so that the options are evaluated before it captures anything.
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
    // A literal is a key without a copy. Any other text is copied, so that it may be borrowed.
    (($run:expr) () $calls:tt [] [] $name:literal, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($name) $calls [] [] $($rest)+)
    };
    (($run:expr) () $calls:tt [] [] $name:expr, $($rest:tt)+) => {
        $crate::__build_step!(($run) ($crate::__macros::key(&$name)) $calls [] [] $($rest)+)
    };
}

/// Goes on with `__build_step!` if there is such an option.
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

/// Goes on with `__build_step!` if a condition takes such an option.
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

/// Executes several steps at the same time: gives a tuple of their values, or returns the first failure
/// in time from the surrounding function, which drops the others.
///
/// ```text
/// parallel!(run, [name,] { step: expression, step: step!([option = value,]* expression) })
/// ```
///
/// Each is a step of its own, called `name.step`, and recorded as such on a durable run. They run on the
/// task of the run. A step that waits for an answer or for its time has not failed: the others go on, and the whole
/// waits once all of them have ended or wait too. An entry that needs options is written as
/// `step!(..)`, without the run and the name.
///
/// In a saga, a failure is told when all of them have ended, so that what each of them did is known and can be
/// undone.
///
/// # Errors
/// The surrounding function returns its own error, made from the failure that came first in time.
///
/// # Cancel safety
/// Dropping the surrounding future drops all of them.
///
/// # Resume
/// What was recorded is not executed again, each step for itself.
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

/// Reads the entries of `parallel!`, one at a time, and then writes all of them. `run` and `name` are what the
/// handle and the name are bound to.
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
                let run = $crate::__macros::run_of($run);
                let siblings = $crate::__macros::siblings($run);
                let steps = async {
                    $crate::__macros::try_join!(
                        biased;
                        $( $crate::__macros::Lift::new(
                            run, $crate::__macros::execute($($step)*), &siblings
                        ) ),+
                    )
                };
                match $crate::__macros::Scoped::parallel(run, ::core::clone::Clone::clone(&$name), steps).await {
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

/// Executes one step that makes several calls at the same time: gives the first value, and drops the
/// other calls. Where all fail, the failure that came first is the step's.
///
/// ```text
/// race!(run, [name,] [option = value,]* { expression, expression })
/// ```
///
/// All calls have the same types. It takes the options of [`step!`].
///
/// # Errors
/// The surrounding function returns its own error, made from the failure that came first in time.
///
/// # Cancel safety
/// Dropping the surrounding future drops all calls.
///
/// # Resume
/// What is recorded is the value of the winner, so that a resumed run calls nobody.
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
                $crate::__macros::Winner::new(
                    $crate::__macros::run_of(run),
                    ::core::clone::Clone::clone(&name),
                    $crate::__macros::Race::new($crate::__race!(@ $($operation),+))
                )
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
    (@ $first:expr) => {
        $crate::__macros::Lone::new(async { $first.await })
    };
    (@ $first:expr, $($others:expr),+) => {
        $crate::__macros::Against::new(async { $first.await }, $crate::__race!(@ $($others),+))
    };
}
