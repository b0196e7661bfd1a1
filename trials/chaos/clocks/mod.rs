//! Workers whose clocks are wrong by an hour, one forward and one back.

mod worker;

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use awaitly::clock::ms;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

pub(crate) use self::worker::work;
use self::worker::{HOLD, LEASE, SLEEP};
use crate::process::{signal, worker};
use crate::schema::Schema;

/// The time that the start of a process may add to a measured time.
const SLACK: Duration = ms(700);

/// Each with the other one beside it.
const CLOCKS: [(&str, &str); 2] = [("+1h", "-1h"), ("-1h", "+1h")];

pub(crate) async fn execute(url: &str) -> Result<bool> {
    Schema::lend(url, async |schema| measure(schema).await).await
}

async fn measure(schema: &Schema) -> Result<bool> {
    let mut holds = true;
    let mut figures = Vec::new();
    for (clock, other) in CLOCKS {
        let slept = from_to(schema, ("sleep", clock), ("wake", other), &format!("sleep{clock}")).await?;
        let expired = from_to(schema, ("ask", clock), ("expire", other), &format!("ask{clock}")).await?;
        for took in [slept, expired] {
            holds &= (SLEEP - ms(5)..SLEEP + SLACK).contains(&took);
        }
        figures.push(format!(
            "begun at {clock}, ended at {other}: sleep {}, expiry {}",
            shown(slept),
            shown(expired)
        ));
    }
    for (clock, other) in CLOCKS {
        let (kept, freed) = leases(schema, clock, other).await?;
        holds &= kept && (LEASE - ms(400)..LEASE + SLACK).contains(&freed);
        let kept = if kept { "kept" } else { "lost" };
        figures.push(format!("lease {kept} at {clock} from {other}, free {} after a kill", shown(freed)));
    }
    println!("{}", figures.join(" · "));
    Ok(holds)
}

fn shown(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// Returns the time between the ends of the actions of two workers.
async fn from_to(
    schema: &Schema,
    (begin, clock): (&str, &str),
    (end, other): (&str, &str),
    run: &str,
) -> Result<Duration> {
    Worker::start(schema, begin, run, clock)?.says("done").await?;
    let began = Instant::now();
    Worker::start(schema, end, run, other)?.says("done").await?;
    Ok(began.elapsed())
}

/// Whether a lease that is renewed stays with its holder, and how long one lasts whose holder was killed.
async fn leases(schema: &Schema, clock: &str, other: &str) -> Result<(bool, Duration)> {
    let kept = format!("kept{clock}");
    let mut holder = Worker::start(schema, "hold", &kept, clock)?;
    holder.says("held").await?;
    let began = Instant::now();
    let mut taker = Worker::start(schema, "take", &kept, other)?;
    taker.says("asking").await?;
    // Who gets it while it is held says `done` at once; else the run has ended first.
    let said = taker.line().await?;
    let is_kept = said == "ended" && began.elapsed() + ms(200) > HOLD;
    holder.says("done").await?;

    let killed = format!("killed{clock}");
    let mut holder = Worker::start(schema, "hold", &killed, clock)?;
    holder.says("held").await?;
    let mut taker = Worker::start(schema, "take", &killed, other)?;
    taker.says("asking").await?;
    // Renewed by now, so that a part of the lease is over.
    tokio::time::sleep(LEASE).await;
    signal(&holder.child, "KILL").await?;
    let began = Instant::now();
    taker.says("done").await?;
    Ok((is_kept, began.elapsed()))
}

/// A process with a wrong clock. Dropping it kills the process.
struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(schema: &Schema, action: &str, run: &str, clock: &str) -> Result<Self> {
        let library = std::env::var("AWAITLY_FAKETIME").context(
            "name libfaketime.so.1 in AWAITLY_FAKETIME (Debian's package is libfaketime), or call `cargo xtask chaos`",
        )?;
        let mut command = worker(["clocks", &schema.name, action, run])?;
        command.env("LD_PRELOAD", library).env("FAKETIME", clock);
        // Clocks that are wrong go wrong by their date; how fast time passes they all know.
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("a worker says nothing")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(HOLD * 5, self.lines.next_line()).await;
        match line.context("a worker with a wrong clock takes too long")?? {
            Some(line) => Ok(line),
            None => bail!("a worker with a wrong clock ended with {}", self.child.wait().await?),
        }
    }

    async fn says(&mut self, word: &str) -> Result<()> {
        let line = self.line().await?;
        ensure!(line == word, "a worker with a wrong clock said `{line}` where `{word}` was to come");
        Ok(())
    }
}
