//! Options of a skipped step without a condition, and options behind the condition.
use awaitly_core::{Run, RunError, step};

async fn checkout(run: &Run, gift: bool) -> Result<u32, RunError> {
    let paid = step!(run, "charge", or = 9, async { Ok::<_, RunError>(1) });
    let wrapped = step!(run, "wrap", when = gift, timeout = std::time::Duration::ZERO, async { Ok::<_, RunError>(1) });
    Ok(paid + wrapped.unwrap_or_default())
}

fn main() {}
