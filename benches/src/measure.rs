use std::time::Instant;

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median time of one of `n` calls, in nanoseconds, for each of two loops that take turns. What a loop
/// returns is dropped outside of the time that is taken.
pub(crate) fn ns_each<A, B>(
    n: u64,
    turns: usize,
    mut floor: impl FnMut(u64) -> A,
    mut ours: impl FnMut(u64) -> B,
) -> (f64, f64) {
    drop((floor(n / 10), ours(n / 10)));
    let turn = |_| (timed(n, &mut floor), timed(n, &mut ours));
    let (floors, ours): (Vec<_>, Vec<_>) = (0..turns).map(turn).unzip();
    (median(floors), median(ours))
}

fn timed<T>(n: u64, work: &mut impl FnMut(u64) -> T) -> f64 {
    let began = Instant::now();
    let left = work(n);
    let elapsed = began.elapsed();
    drop(left);
    elapsed.as_secs_f64() * 1e9 / n as f64
}

/// A runtime with two workers, as a small server has.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// A runtime on the calling thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
