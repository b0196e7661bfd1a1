//! The threads that read beside the one that writes.
//!
//! There are two: one loads journals, the other makes lists. So a run is never opened behind a list that takes long,
//! with a lease that runs out meanwhile.

use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{self, Receiver, Sender};

/// How many reads wait for a reader before further ones wait to be queued.
const QUEUE: usize = 64;

/// What a reader is asked to do.
pub(crate) trait Job: Send + 'static {
    /// Whether it is a list, which may go through everything that is there.
    fn is_list(&self) -> bool;
}

/// The readers, as their writer sees them.
#[derive(Debug)]
pub(crate) struct Readers<J> {
    jobs: Jobs<J>,
    threads: [JoinHandle<()>; 2],
}

/// The way to the readers.
#[derive(Debug)]
pub(crate) struct Jobs<J> {
    loads: Sender<Queued<J>>,
    lists: Sender<Queued<J>>,
}

#[derive(Debug)]
enum Queued<J> {
    Job(J),
    Stop,
}

impl<J: Job> Readers<J> {
    /// Begins two threads whose names begin with `name`, each of which does jobs with one of `readers`.
    pub(crate) fn spawn<D>(name: &str, readers: [D; 2]) -> std::io::Result<Self>
    where
        D: FnMut(J) + Send + 'static,
    {
        let [loader, lister] = readers;
        let (loads, loader) = spawn(format!("{name}-loads"), loader)?;
        let (lists, lister) = spawn(format!("{name}-lists"), lister)?;
        Ok(Self { jobs: Jobs { loads, lists }, threads: [loader, lister] })
    }

    pub(crate) fn jobs(&self) -> Jobs<J> {
        self.jobs.clone()
    }

    /// Waits for the reads that are queued.
    pub(crate) fn stop(self) {
        let Self { jobs: Jobs { loads, lists }, threads } = self;
        // Where these fail a reader has ended already.
        drop((loads.blocking_send(Queued::Stop), lists.blocking_send(Queued::Stop)));
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn spawn<J: Job>(
    name: String,
    mut read: impl FnMut(J) + Send + 'static,
) -> std::io::Result<(Sender<Queued<J>>, JoinHandle<()>)> {
    let (jobs, mut queue): (_, Receiver<Queued<J>>) = mpsc::channel(QUEUE);
    let thread = thread::Builder::new().name(name).spawn(move || {
        while let Some(queued) = queue.blocking_recv() {
            match queued {
                Queued::Job(job) => read(job),
                Queued::Stop => queue.close(),
            }
        }
    })?;
    Ok((jobs, thread))
}

impl<J: Job> Jobs<J> {
    /// Waits for a place in the queue of the reader that does such jobs. `None`: it has ended.
    ///
    /// # Cancel safety
    /// Where the future is dropped before it is done, nothing is queued.
    pub(crate) async fn send(&self, job: J) -> Option<()> {
        let jobs = if job.is_list() { &self.lists } else { &self.loads };
        jobs.send(Queued::Job(job)).await.ok()
    }
}

impl<J> Clone for Jobs<J> {
    fn clone(&self) -> Self {
        Self { loads: self.loads.clone(), lists: self.lists.clone() }
    }
}
