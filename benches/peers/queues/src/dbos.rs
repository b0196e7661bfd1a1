//! dbos: workflows without steps, enqueued by a client and run from a queue.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use dbos::{Client, ClientConfig, Config, DBOS, EngineOnly, QueueConflict, QueueOptions, WorkflowHandle};

use crate::peer::{CLIENTS, Peer, Session, Submit};
use crate::tally::Tally;

const WORKFLOW: &str = "empty";
const APP: &str = "queues";
/// A queue first polls once per second, and takes a tenth off this interval at every poll until it reaches its own.
/// With the second after which the engine first sees the queue, this takes about eleven seconds.
const SETTLED: Duration = Duration::from_secs(12);

/// One choice of the queues' options.
#[derive(Clone, Copy)]
pub struct Dbos {
    queues: usize,
    polling_interval: Duration,
    connections: u32,
}

impl Dbos {
    /// Several queues, because one queue starts its workflows one after the other. The number was not tuned further.
    pub fn tuned() -> Self {
        Self { queues: 4, polling_interval: Duration::from_millis(1), connections: 20 }
    }
}

#[derive(Clone)]
pub struct Opened {
    dbos: Arc<DBOS>,
    client: Arc<Client>,
    names: Arc<[String]>,
    options: QueueOptions,
}

impl Peer for Dbos {
    type Session = Opened;

    fn name(&self) -> &'static str {
        "dbos 0.5.0"
    }

    fn settings(&self) -> String {
        let Self { queues, polling_interval, connections } = self;
        format!(
            "{queues} queues, poll {} ms, worker concurrency unlimited, pools of {connections} and {CLIENTS}",
            polling_interval.as_millis()
        )
    }

    fn has_bulk(&self) -> bool {
        false
    }

    fn jobs(&self, _: Submit) -> u64 {
        4_000
    }

    async fn open(&self, url: &str, tally: Arc<Tally>) -> Result<Opened> {
        let config = Config {
            app_version: Some("1".to_owned()),
            max_connections: self.connections,
            ..Config::new(APP, url)
        };
        let dbos = DBOS::new(config);
        dbos.register_workflow::<u64, (), EngineOnly, _, _>(WORKFLOW, move |job| {
            tally.enter(job);
            async { dbos::Result::Ok(()) }
        })?;
        let options = QueueOptions { polling_interval: self.polling_interval, ..QueueOptions::default() };
        dbos.launch().await?;
        let client = Client::connect(ClientConfig {
            app_name: Some(APP.to_owned()),
            max_connections: CLIENTS,
            ..ClientConfig::new(url)
        })
        .await?;
        let names = (0..self.queues).map(|index| format!("queue-{index}")).collect();
        Ok(Opened { dbos: Arc::new(dbos), client: Arc::new(client), names, options })
    }
}

impl Session for Opened {
    const UNFINISHED: &'static str = "SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'";

    async fn start(&self) -> Result<()> {
        for name in self.names.iter() {
            self.dbos.register_queue(name, self.options.clone(), QueueConflict::AlwaysUpdate).await?;
        }
        tokio::time::sleep(SETTLED).await;
        Ok(())
    }

    async fn submit(&self, job: u64) -> Result<()> {
        let index = usize::try_from(job)? % self.names.len();
        let queue = self.names.get(index).map_or("", String::as_str);
        let _: WorkflowHandle<(), EngineOnly> = self.client.enqueue(WORKFLOW, queue, job).await?;
        Ok(())
    }

    async fn submit_many(&self, _: Range<u64>) -> Result<()> {
        bail!("dbos has no call that enqueues several workflows")
    }

    async fn close(self) -> Result<()> {
        self.client.close().await;
        self.dbos.shutdown().await;
        Ok(())
    }
}
