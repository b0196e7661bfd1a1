//! A standalone server for the API.

use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::store::Operate;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::router::Api;

/// The reasons for which an API cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is reachable from other machines, and [`Api::beyond_loopback`] was not called.
    #[error(
        "other machines can reach {addr}: use 127.0.0.1, or call `Api::beyond_loopback` and put an HTTPS proxy in front"
    )]
    BeyondLoopback {
        /// The requested address.
        addr: SocketAddr,
    },
    /// The address could not be bound.
    #[error("{addr} cannot be bound: {source}")]
    Bind {
        /// The requested address.
        addr: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// An API with a bound address, created with [`Api::bind`]. It responds to requests once [`serve`](Self::serve) is called.
#[must_use = "requests are not served until `serve` is called"]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
}

/// The time that requests in flight have to finish after the stop.
const LAST_ANSWERS: Duration = secs(10);

impl<S: Operate> Api<S> {
    /// Binds `addr`; port 0 selects a free port.
    ///
    /// # Errors
    /// Returns [`ServeError::BeyondLoopback`] if other machines can reach the address and
    /// [`beyond_loopback`](Self::beyond_loopback) was not called, or [`ServeError::Bind`] if the operating system refuses the
    /// address.
    pub async fn bind(self, addr: SocketAddr) -> Result<Bound, ServeError> {
        if !addr.ip().to_canonical().is_loopback() && !self.beyond_loopback {
            return Err(ServeError::BeyondLoopback { addr });
        }
        let bind = |source| ServeError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        Ok(Bound { listener, addr, router: self.router() })
    }

    /// Binds `addr` and serves until `stop` is cancelled: combines [`bind`](Self::bind) and [`serve`](Bound::serve).
    ///
    /// # Errors
    /// Returns the errors of [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`Bound::serve`].
    ///
    /// # Examples
    /// ```
    /// # use awaitly_hitl::http::{Api, ServeError};
    /// # use awaitly_persistence::MemoryStore;
    /// # use tokio_util::sync::CancellationToken;
    /// # async fn demo(api: Api<MemoryStore>, stop: CancellationToken) -> Result<(), ServeError> {
    /// api.serve(([127, 0, 0, 1], 8080).into(), stop).await
    /// # }
    /// ```
    pub async fn serve(self, addr: SocketAddr, stop: CancellationToken) -> Result<(), ServeError> {
        self.bind(addr).await?.serve(stop).await;
        Ok(())
    }
}

impl Bound {
    /// Returns the bound address, with the selected port.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_hitl::{Inbox, http::Api};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), awaitly_hitl::http::ServeError> {
    /// let bound = Api::new(Inbox::new(MemoryStore::new())).bind(([127, 0, 0, 1], 0).into()).await?;
    /// assert_ne!(bound.local_addr().port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` is cancelled. Requests in flight then have 10 seconds to finish.
    ///
    /// # Cancel safety
    /// If the future is dropped, no further connections are accepted. Open connections continue until each is closed.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, addr, router } = self;
        tracing::info!(%addr, "the inbox is listening");
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            // Serving does not fail.
            _ = serving.into_future() => {}
            () = overdue => tracing::warn!(%addr, "the server stopped before some requests were finished"),
        }
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("addr", &self.addr).finish_non_exhaustive()
    }
}
