//! The API as a server of its own.

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

/// Why an API is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Other machines would reach it, and nobody said that they may.
    #[error(
        "{addr} is reached from other machines: take 127.0.0.1, or say `Api::beyond_loopback` and put HTTPS in front"
    )]
    BeyondLoopback {
        /// Where it was to listen.
        addr: SocketAddr,
    },
    /// It cannot listen there.
    #[error("nobody can listen at {addr}: {source}")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// An API that listens. Made with [`Api::bind`]; nothing is answered until it is [served](Self::serve).
#[must_use = "nothing is answered until `serve` is called"]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
}

/// How long requests that came before the stop may take to be answered.
const LAST_ANSWERS: Duration = secs(10);

impl<S: Operate> Api<S> {
    /// Listens at `addr`; at a free port where that has port 0.
    ///
    /// # Errors
    /// [`ServeError::BeyondLoopback`] unless [`beyond_loopback`](Self::beyond_loopback) was said,
    /// [`ServeError::Bind`] where the system does not let it.
    pub async fn bind(self, addr: SocketAddr) -> Result<Bound, ServeError> {
        if !addr.ip().to_canonical().is_loopback() && !self.beyond_loopback {
            return Err(ServeError::BeyondLoopback { addr });
        }
        let bind = |source| ServeError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        Ok(Bound { listener, addr, router: self.router() })
    }

    /// Listens at `addr`, and answers until `stop` is cancelled: [`bind`](Self::bind) and [`serve`](Bound::serve).
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`Bound::serve`].
    pub async fn serve(self, addr: SocketAddr, stop: CancellationToken) -> Result<(), ServeError> {
        self.bind(addr).await?.serve(stop).await;
        Ok(())
    }
}

impl Bound {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `stop` is cancelled. Requests that came before are answered still, for ten seconds at most.
    ///
    /// # Cancel safety
    /// Dropping the future stops listening at once. Connections that are open go on, each until it is closed.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, addr, router } = self;
        tracing::info!(%addr, "the inbox listens");
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            // It ends without an error.
            _ = serving.into_future() => {}
            () = overdue => tracing::warn!(%addr, "some requests were not answered in time before the stop"),
        }
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("addr", &self.addr).finish_non_exhaustive()
    }
}
