//! A standalone server for the API.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::store::Operate;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::router::Api;

/// The time that requests in flight have to finish after the stop.
const LAST_ANSWERS: Duration = secs(10);

impl<S: Operate> Api<S> {
    /// Serves the API on `listener` until `stop` is cancelled. Requests in flight then have 10 seconds to finish; after
    /// that, `serve` returns `Ok` and logs a warning if some are unfinished.
    ///
    /// # Errors
    /// Returns an error of kind [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if other machines can reach the address
    /// of the listener and [`beyond_loopback`](Self::beyond_loopback) was not called. Returns the error of the
    /// operating system if the address of the listener cannot be read.
    ///
    /// # Cancel safety
    /// If the future is dropped, no further connections are accepted. Open connections continue until each is closed.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_hitl::http::Api;
    /// # use awaitly_persistence::MemoryStore;
    /// # use tokio_util::sync::CancellationToken;
    /// # async fn demo(api: Api<MemoryStore>, stop: CancellationToken) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// api.serve(listener, stop).await
    /// # }
    /// ```
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let addr = listener.local_addr()?;
        if is_beyond_loopback(addr) && !self.beyond_loopback {
            let message = format!(
                "other machines can reach {addr}: use 127.0.0.1, or call `Api::beyond_loopback` and put an HTTPS proxy in front"
            );
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        tracing::info!(%addr, "the inbox is listening");
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(stopped);
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            // Serving does not fail.
            _ = serving.into_future() => {}
            () = overdue => tracing::warn!(%addr, "the server stopped before some requests were finished"),
        }
        Ok(())
    }
}

fn is_beyond_loopback(addr: SocketAddr) -> bool {
    !addr.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_stay_on_this_machine() {
        for (addr, is_beyond) in [
            ("127.0.0.1:80", false),
            ("127.0.0.2:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.0.2.1:80", true),
            ("[::ffff:192.0.2.1]:80", true),
        ] {
            assert_eq!(is_beyond_loopback(addr.parse().unwrap()), is_beyond, "{addr}");
        }
    }
}
