//! Time that need not be waited for.

use std::convert::Infallible;
use std::time::Duration;

/// Does something while each millisecond is fifty.
///
/// For what pauses while a server is away. A server that answers needs real time: its answers would come too late.
pub(crate) async fn fast<T>(doing: impl Future<Output = T>) -> T {
    tokio::select! {
        done = doing => done,
        never = hurry() => match never {},
    }
}

async fn hurry() -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let stopped = Stopped::clock();
        tokio::time::advance(Duration::from_millis(49)).await;
        drop(stopped);
    }
}

/// A clock that stands still, and goes on when this is dropped: also where nobody waits any more.
struct Stopped;

impl Stopped {
    fn clock() -> Self {
        tokio::time::pause();
        Self
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
