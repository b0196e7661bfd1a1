//! Orders that survive `kill -9`.
//!
//! Reads orders from a file, and runs each as a durable workflow in a process of its own: reserve the
//! stock, charge the card (the bank does not always answer, so with retry), ship each line, confirm. Every
//! call to the outside world is written into a ledger on disk by the one who is called.
//!
//! In the middle of the work the process is killed with SIGKILL, more than once, and started again. At the
//! end the ledger is compared with the journals in the store:
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
        ["worker", folder, orders] => worker::work(folder.as_ref(), orders.as_ref()),
        options => supervisor::supervise(options),
    }
}
