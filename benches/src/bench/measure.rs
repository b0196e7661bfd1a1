use std::time::Instant;

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median time of one of `n` calls, in nanoseconds, for each of two loops that take turns.
pub(crate) fn ns_each(
    n: u64,
    turns: usize,
    mut floor: impl FnMut(u64),
    mut ours: impl FnMut(u64),
) -> (f64, f64) {
    let timed = |work: &mut dyn FnMut(u64)| {
        let began = Instant::now();
        work(n);
        began.elapsed().as_secs_f64() * 1e9 / n as f64
    };
    floor(n / 10);
    ours(n / 10);
    let (floors, ours): (Vec<_>, Vec<_>) = (0..turns).map(|_| (timed(&mut floor), timed(&mut ours))).unzip();
    (median(floors), median(ours))
}

/// A runtime with two workers, as a small server has.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// A runtime on the calling thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
