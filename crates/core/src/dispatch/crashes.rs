/// Returns the number of times that an owner of a run died since the last progress. A store computes it when another
/// owner takes the run.
///
/// `before` is the number so far. `lapsed` states whether the last owner did not release its lease. `progressed` states
/// whether that owner recorded an outcome. If an owner releases its lease without progress, the number stays, so a worker
/// can let a suspect rest. If the number is too large, a worker fails the run, because its input may kill each process that
/// executes it.
///
/// ```
/// use awaitly_core::dispatch::crashes;
///
/// assert_eq!(crashes(2, true, false), 3);
/// assert_eq!(crashes(2, true, true), 0); // the run comes closer to its end with each execution
/// assert_eq!(crashes(2, false, false), 2); // a worker stopped in an orderly manner
/// ```
#[must_use]
pub const fn crashes(before: u32, lapsed: bool, progressed: bool) -> u32 {
    match (lapsed, progressed) {
        (_, true) => 0,
        (true, false) => before.saturating_add(1),
        (false, false) => before,
    }
}
