//! A proxy between a store and its server, which cuts connections on request.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::wire::{Answers, Kind, Requests};

/// The way in which a connection that carries a write is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    /// The server has answered, the answer is discarded, and the connection is closed.
    Answered,
    /// The server has received the write, and the connection is closed before the answer.
    UnderWay,
    /// The server has answered, the answer is discarded, and the connection stays open without further data.
    Silent,
}

/// A proxy on a port of this machine.
pub(crate) struct Proxy {
    options: PgConnectOptions,
    port: u16,
    cutter: Arc<Cutter>,
}

#[derive(Default)]
struct Cutter(Mutex<Plan>);

#[derive(Default)]
struct Plan {
    next: Option<(Option<Kind>, Cut)>,
    done: HashMap<(Cut, Kind), usize>,
}

impl Proxy {
    pub(crate) async fn start(url: &str) -> Result<Self> {
        // What is encrypted could not be read here.
        let options: PgConnectOptions = url.parse::<PgConnectOptions>()?.ssl_mode(PgSslMode::Disable);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, cutter) = (listener.local_addr()?.port(), Arc::new(Cutter::default()));
        let (server, cuts) = ((options.get_host().to_owned(), options.get_port()), Arc::clone(&cutter));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, cutter) = (server.clone(), Arc::clone(&cuts));
                // Its end, whatever it is, is what both sides see.
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await?;
                    carry(client, server, &cutter).await
                });
            }
        });
        Ok(Self { options, port, cutter })
    }

    /// A pool whose connections all go through here.
    pub(crate) fn pool(&self, connections: u32) -> PgPool {
        let options = self.options.clone().host("127.0.0.1").port(self.port);
        PgPoolOptions::new().max_connections(connections).connect_lazy_with(options)
    }

    /// Cuts the next connection that carries a write of this kind, or any write.
    pub(crate) fn cut_next(&self, kind: Option<Kind>, cut: Cut) {
        self.cutter.plan(|plan| plan.next = Some((kind, cut)));
    }

    /// Whether the next cut is still to come.
    pub(crate) fn is_armed(&self) -> bool {
        self.cutter.plan(|plan| plan.next.is_some())
    }

    /// How often a connection was cut in this way, under each kind of write.
    pub(crate) fn cuts(&self, cut: Cut) -> Vec<(Kind, usize)> {
        self.cutter.plan(|plan| {
            let count = |kind| plan.done.get(&(cut, kind)).copied().unwrap_or(0);
            Kind::ALL.into_iter().map(|kind| (kind, count(kind))).collect()
        })
    }
}

impl Cutter {
    fn plan<T>(&self, act: impl FnOnce(&mut Plan) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, kind: Kind) -> Option<Cut> {
        self.plan(|plan| match plan.next {
            Some((wanted, cut)) if wanted.is_none_or(|wanted| wanted == kind) => {
                plan.next = None;
                Some(cut)
            }
            _ => None,
        })
    }

    fn done(&self, cut: Cut, kind: Kind) {
        self.plan(|plan| *plan.done.entry((cut, kind)).or_default() += 1);
    }
}

/// Carries bytes to and fro until one side closes or the connection is cut.
async fn carry(mut client: TcpStream, mut server: TcpStream, cutter: &Cutter) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut requests, mut answers) = (Requests::default(), Answers::default());
    let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut cutting = None;
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Some(bytes @ [_, ..]) = request.get(..read?) else { return Ok(()) };
                if let Some(kind) = requests.read(bytes) {
                    cutting = cutter.take(kind).map(|cut| (cut, kind));
                }
                to_server.write_all(bytes).await?;
                if let Some((Cut::UnderWay, kind)) = cutting {
                    cutter.done(Cut::UnderWay, kind);
                    return Ok(());
                }
            }
            read = from_server.read(&mut answer) => {
                let Some(bytes @ [_, ..]) = answer.get(..read?) else { return Ok(()) };
                let complete = answers.complete(bytes);
                match cutting {
                    None => to_client.write_all(bytes).await?,
                    Some(_) if !complete => {}
                    Some((cut, kind)) => {
                        cutter.done(cut, kind);
                        if cut == Cut::Silent {
                            return mute(from_client).await;
                        }
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Says nothing more, until the client gives up.
async fn mute(mut client: tokio::net::tcp::ReadHalf<'_>) -> io::Result<()> {
    let mut bytes = vec![0; 1024];
    while client.read(&mut bytes).await? > 0 {}
    Ok(())
}
