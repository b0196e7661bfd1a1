//! Orders that survive `kill -9`.
//!
//! The supervisor reads orders from a file, and starts a durable run for each. A worker process executes the runs: reserve
//! the stock, charge the card (with retry, because the bank does not always answer), ship each line, and confirm. The
//! called services write each effect to a ledger on disk.
//!
//! The supervisor kills the worker with SIGKILL several times in the middle of the work, and starts it again. At the end
//! it compares the ledger with the journals in the store:
//!
//! ```text
//! orders 160 · effects 813 · repeated 28 · recorded twice 0 · lost 0
//! ```
//!
//! `cargo run --example checkout`, or with `-- --orders FILE --kills N --keep FOLDER`.

#[cfg(test)]
mod crash;
mod ledger;
mod order;
mod proof;
mod supervisor;
mod worker;
mod workflow;

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["worker", folder, orders] => {
            worker::work(folder.as_ref(), orders.as_ref())?;
            Ok(ExitCode::SUCCESS)
        }
        options => supervisor::supervise(options),
    }
}
