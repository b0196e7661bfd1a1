//! A way to the server that can be disturbed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::clock::fast;

/// Longer than any store waits before it tries again.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the proxy does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It hands everything on.
    Open,
    /// It hands on the next thing that is asked and holds this text, swallows the answer, hangs up, and is open.
    LosesTheAnswerTo(&'static str),
    /// The same, and then it is closed.
    LosesTheAnswerAndCloses(&'static str),
    /// It keeps the next thing that is asked to itself, hangs up on who asked, and is open.
    HoldsARequest,
    /// It hangs up on whoever asks something that holds this text, and on nobody else.
    HangsUpOn(&'static str),
    /// It falls silent on the connection that next asks something that holds this text, and is open.
    FallsSilentAt(&'static str),
    /// It hangs up on everybody.
    Closed,
}

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    held: mpsc::UnboundedReceiver<Held>,
}

struct Shared {
    target: String,
    way: watch::Sender<Way>,
    calls: watch::Sender<usize>,
    /// How many connections clients have.
    open: watch::Sender<usize>,
    /// How many of the calls, from the first one on, it carries nothing for any more.
    silent: watch::Sender<usize>,
    held: mpsc::UnboundedSender<Held>,
}

/// What was asked and did not arrive yet.
pub(crate) struct Held {
    request: Vec<u8>,
    server: TcpStream,
}

impl Proxy {
    /// A way to the server at that host and port.
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (keep, held) = mpsc::unbounded_channel();
        let (way, calls) = (watch::Sender::new(Way::Open), watch::Sender::new(0));
        let (silent, open) = (watch::Sender::new(0), watch::Sender::new(0));
        let shared = Arc::new(Shared { target, way, calls, open, silent, held: keep });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                shared.open.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    serve(Arc::clone(&shared), client).await;
                    shared.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { shared, port, held }
    }

    /// Where it listens, on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, way: Way) {
        self.shared.way.send_replace(way);
    }

    pub(crate) fn way(&self) -> Way {
        *self.shared.way.borrow()
    }

    /// Carries nothing more on the connections that exist now, and closes none of them. New ones work.
    pub(crate) fn silence(&self) {
        self.shared.silent.send_replace(self.calls());
    }

    /// How often somebody has called.
    pub(crate) fn calls(&self) -> usize {
        *self.shared.calls.borrow()
    }

    /// How many connections clients have.
    pub(crate) fn open(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Waits until clients have closed all connections. The proxy hears of that a moment after they have.
    pub(crate) async fn all_closed(&self) {
        let mut open = self.shared.open.subscribe();
        let closed = tokio::time::timeout(Duration::from_secs(10), open.wait_for(|open| *open == 0)).await;
        assert!(closed.is_ok(), "{} connections are open", self.open());
    }

    /// Waits until somebody has called that often, and lets the pauses between the calls be over soon.
    pub(crate) async fn called(&self, times: usize) {
        let mut calls = self.shared.calls.subscribe();
        let called = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| *calls >= times));
        fast(called).await.expect("nobody calls again").unwrap();
    }

    /// Waits until it has that way, which it may come to by itself.
    pub(crate) async fn until(&self, way: Way) {
        self.shared.way.subscribe().wait_for(|now| *now == way).await.unwrap();
    }

    /// Waits until somebody who lost the connection has called again.
    pub(crate) async fn next_call(&self) {
        self.called(self.calls() + 1).await;
    }

    /// Is open from now on, and somebody who waits for that has called.
    pub(crate) async fn reopen(&self) {
        self.set(Way::Open);
        self.next_call().await;
    }

    pub(crate) async fn held(&mut self) -> Held {
        self.held.recv().await.unwrap()
    }
}

impl Held {
    /// Lets the request arrive after all. Whether the server has answered it.
    pub(crate) async fn arrive(mut self) -> bool {
        if self.server.write_all(&self.request).await.is_err() {
            return false;
        }
        let mut answer = [0; 1024];
        matches!(self.server.read(&mut answer).await, Ok(1..))
    }
}

async fn serve(shared: Arc<Shared>, mut client: TcpStream) {
    let mut changed = shared.way.subscribe();
    let way = *changed.borrow_and_update();
    let mut silent = shared.silent.subscribe();
    // Not before: who waits for a call may give way to the next one then.
    let mut call = 0;
    shared.calls.send_modify(|calls| {
        *calls += 1;
        call = *calls;
    });
    if way == Way::Closed {
        return;
    }
    let mut server = TcpStream::connect(&shared.target).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut loses = false;
    loop {
        tokio::select! {
            biased;
            true = async { silent.wait_for(|silent| *silent >= call).await.is_ok() } => {
                return say_nothing(client, server).await;
            },
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let request = &asked[..length];
                let falls_silent = shared.next_way(|way| match way {
                    Way::FallsSilentAt(text) if String::from_utf8_lossy(request).contains(text) => Some(Way::Open),
                    _ => None,
                });
                if falls_silent {
                    return say_nothing(client, server).await;
                }
                if shared.next_way(|way| (way == Way::HoldsARequest).then_some(Way::Open)) {
                    drop(shared.held.send(Held { request: request.to_vec(), server }));
                    return;
                }
                let way = *shared.way.borrow();
                if let Way::HangsUpOn(text) = way && String::from_utf8_lossy(request).contains(text) {
                    return;
                }
                if let Way::LosesTheAnswerTo(text) | Way::LosesTheAnswerAndCloses(text) = way {
                    loses = String::from_utf8_lossy(request).contains(text);
                }
                if server.write_all(request).await.is_err() {
                    return;
                }
            },
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                let lost = loses && shared.next_way(|way| match way {
                    Way::LosesTheAnswerTo(_) => Some(Way::Open),
                    Way::LosesTheAnswerAndCloses(_) => Some(Way::Closed),
                    _ => None,
                });
                if lost || client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            },
            Ok(()) = changed.changed() => if *changed.borrow_and_update() == Way::Closed {
                return;
            },
        }
    }
}

/// Swallows requests. Neither side learns that the other one has gone.
async fn say_nothing(mut client: TcpStream, _server: TcpStream) {
    let mut asked = vec![0; 1 << 16];
    while matches!(client.read(&mut asked).await, Ok(1..)) {}
    std::future::pending().await
}

impl Shared {
    /// Whether there is a next way, which is taken then.
    fn next_way(&self, next: impl Fn(Way) -> Option<Way>) -> bool {
        self.way.send_if_modified(|way| match next(*way) {
            Some(next) => {
                *way = next;
                true
            }
            None => false,
        })
    }
}
