//! The parts that only a worker executes: children and mail.

use std::pin::Pin;

use awaitly::DurableRun;
use awaitly::engine::RunExt;

use super::{Process, parts};
use crate::fault::{Ended, Fault, Fruit};
use crate::part::{Body, Child, Ending, Mail, Part, What};
use crate::value::mix;

/// A future that may stand in a compensation, which has to be `Send`.
type Waiting<'a> = Pin<Box<dyn Future<Output = Result<u64, Fault>> + Send + 'a>>;

/// Performs a child or a receive.
pub(super) fn perform<'a>(process: &'a Process, run: &'a DurableRun, part: &'a Part) -> Waiting<'a> {
    match &part.what {
        What::Child(child) => Box::pin(wait_for(process, run, part, child)),
        What::Receive(mail) => Box::pin(receive(process, run, part.id, *mail)),
        _ => unreachable!("a worker is not needed for the others"),
    }
}

async fn wait_for(process: &Process, run: &DurableRun, part: &Part, child: &Child) -> Result<u64, Fault> {
    let started = run.child(process.children, process.name(part), &part.id);
    let started = if child.detached { started.detached() } else { started };
    let ended = started.await.map(|fruit| fruit.digest).map_err(Fault::from);
    process.saw((part.id, 0), &ended);
    ended
}

async fn receive(process: &Process, run: &DurableRun, id: u16, mail: Mail) -> Result<u64, Fault> {
    let mut digest = 0;
    for number in 0..mail.count {
        let mut receive = run.receive::<u64>(format!("m{id}"));
        if let Some(units) = mail.within {
            receive = receive.within(process.unit * u32::from(units));
        }
        let received = receive.await.map_err(Fault::from);
        process.saw((id, number), &received);
        digest = mix(digest, received?);
    }
    Ok(digest)
}

/// The content of a message.
pub(crate) fn message(id: u16, number: u8) -> u64 {
    u64::from(id) * 10 + u64::from(number)
}

/// Performs the body of a child.
pub(crate) async fn child(process: &Process, run: &DurableRun, body: &Body, id: u16) -> Ended {
    if !process.life.is_replaced() {
        process.world.books().forget_sagas(id);
    }
    let inner = body.child(id).unwrap_or_else(|| unreachable!("the body starts only its own children"));
    Ok(Fruit::new(parts(process, run, inner).await?, Ending::Nothing))
}
