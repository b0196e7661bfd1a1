//! What awaitly costs, beside the floor and the rivals, in one run.
//!
//! `cargo xtask bench` calls it. Every row is a figure of this machine at this moment; what moves little
//! from machine to machine is the ratio to the floor, which is measured in the same run, turn by turn.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod beside;
mod crash_cases;
mod durable;
mod engine;
mod measure;
mod memory;
mod peers;
mod postgres;
mod redis;
mod resume;
mod row;
mod step;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use row::Row;

/// Measures, and prints a table.
#[derive(Parser)]
struct Options {
    /// Writes one JSON object per row to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What the rivals did, as `benches/peers` prints it.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// The output of `benches/peers/queues`: the rates of other job queues.
    #[arg(long)]
    queues: Option<PathBuf>,
    /// Rows that were measured elsewhere, as JSON objects. May be given several times.
    #[arg(long)]
    rows: Vec<PathBuf>,
    /// The groups to measure: step, memory, crash-cases, durable, resume, engine, postgres, redis, peers, queues. All
    /// unless named.
    groups: Vec<String>,
}

impl Options {
    fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut rows = Vec::new();
    let mut add = |measured: Vec<Row>| {
        measured.iter().for_each(Row::print);
        rows.extend(measured);
    };
    row::print_head();
    if options.wants("step") {
        add(step::measure());
    }
    if options.wants("memory") {
        add(memory::measure());
    }
    if options.wants("crash-cases") {
        add(crash_cases::measure());
    }
    if options.wants("durable") {
        add(durable::measure()?);
    }
    if options.wants("resume") {
        add(resume::measure()?);
    }
    if options.wants("engine") {
        add(engine::measure()?);
    }
    if options.wants("postgres") {
        add(postgres::measure()?);
    }
    if options.wants("redis") {
        add(redis::measure()?);
    }
    if let Some(file) = options.peers.as_ref().filter(|_| options.wants("peers")) {
        add(peers::compare(file)?);
    }
    if let Some(file) = options.queues.as_ref().filter(|_| options.wants("queues")) {
        add(engine::compare(file)?);
    }
    for file in &options.rows {
        add(row::read(file)?);
    }
    if let Some(file) = &options.json {
        row::write(file, &rows)?;
    }
    let missed = rows.iter().filter(|row| !row.holds).count();
    println!("\n{} rows, {} bars missed", rows.len(), missed);
    Ok(())
}
