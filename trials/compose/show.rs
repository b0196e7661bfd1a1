//! A case as text that reads like Rust.

use std::fmt::{self, Write};

use crate::case::{Accident, Case, Kind, Timetable};
use crate::part::{Ask, Child, Deed, Each, Ending, Fails, Form, Mail, Part, Reply, Sentry, Step, Undo, What};

/// The case, with its parts numbered from 1 if `numbers` is false, so that equal bodies read alike.
pub(crate) fn text(case: &Case) -> String {
    let mut out = Writer { text: String::new(), depth: 1 };
    // Writing into a string cannot fail.
    let _ = out.body(case);
    out.text
}

struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn body(&mut self, case: &Case) -> fmt::Result {
        self.parts(&case.body.parts, "run")?;
        match case.body.ending {
            Ending::Nothing => {}
            ending => self.line(format_args!("return Ok({ending:?})"))?,
        }
        if let Some(Timetable { times, late }) = case.timetable {
            let late = if late { ", and the workers come late" } else { "" };
            self.line(format_args!("// a schedule starts it at {times} times{late}"))?;
        }
        for accident in &case.accidents {
            self.line(format_args!("// {}", Shown(accident)))?;
        }
        Ok(())
    }

    fn line(&mut self, line: impl fmt::Display) -> fmt::Result {
        writeln!(self.text, "{:1$}{line}", "", self.depth * 4)
    }

    fn parts(&mut self, parts: &[Part], on: &str) -> fmt::Result {
        parts.iter().try_for_each(|part| self.part(part, on))
    }

    fn part(&mut self, part: &Part, on: &str) -> fmt::Result {
        let (id, end) = (part.id, if part.handled { ".await.ok();" } else { ".await?;" });
        match &part.what {
            What::Step(step) => self.step(id, step, None, "run", end),
            What::SagaStep(step, undo) => self.step(id, step, Some(undo), "saga", end),
            What::Parallel(deeds) => {
                self.deeds(format_args!("parallel!(run, \"p{id}\", {{"), deeds, None, end)
            }
            What::Race(deeds) => self.deeds(format_args!("race!(run, \"r{id}\", {{"), deeds, None, end),
            What::SagaParallel(deeds, undo) => {
                self.deeds(format_args!("parallel!(saga, \"p{id}\", {{"), deeds, Some(undo), end)
            }
            What::Each(each) => self.each(id, each, None, "run", end),
            What::SagaEach(each, undo) => self.each(id, each, Some(undo), "saga", end),
            What::Ask(Ask { reply, expires }) => {
                let expires = expires.map(|units| format!(".expires_in({units} units)")).unwrap_or_default();
                let reply = match reply {
                    Reply::Value(_) => "",
                    Reply::Rejected => " // rejected",
                    Reply::Never => " // nobody answers",
                };
                self.line(format_args!("run.wait_for(\"q{id}\"){expires}{end}{reply}"))
            }
            What::Sleep(units) => self.line(format_args!("run.sleep(\"n{id}\", {units} units){end}")),
            What::Resource(parts) => self.block("resource::scope(", parts, "run", end),
            What::Call(parts) => self.block(
                &format!("run.step(\"c{id}\", inner_workflow.run("),
                parts,
                "run",
                &format!("){end}"),
            ),
            What::Child(Child { parts, detached }) => {
                let detached = if *detached { ".detached()" } else { "" };
                self.block(&format!("run.child(\"k{id}\", "), parts, "run", &format!("{detached}{end}"))
            }
            What::Receive(Mail { count, within, comes, twice }) => {
                let within = within.map(|units| format!(".within({units} units)")).unwrap_or_default();
                let comes = match (comes, twice) {
                    (false, _) => ", nobody sends",
                    (true, true) => ", each sent twice",
                    (true, false) => "",
                };
                self.line(format_args!("run.receive(\"m{id}\"){within}{end} // {count} times{comes}"))
            }
            What::TooLate => self.line("run.too_late_to_cancel().await?;"),
            What::Saga(parts) => self.block("saga(run, ", parts, "saga", end),
            What::Nested(parts) => self.block(&format!("{on}.nested("), parts, "saga", end),
        }
    }

    fn block(&mut self, begin: &str, parts: &[Part], on: &str, end: &str) -> fmt::Result {
        self.line(format_args!("{begin}async |{on}| {{"))?;
        self.inside(parts, on)?;
        self.line(format_args!("}}){end}"))
    }

    fn inside(&mut self, parts: &[Part], on: &str) -> fmt::Result {
        self.depth += 1;
        let written = self.parts(parts, on);
        self.depth -= 1;
        written
    }

    fn step(&mut self, id: u16, step: &Step, undo: Option<&Undo>, on: &str, end: &str) -> fmt::Result {
        let mut options = String::new();
        if step.attempts > 1 {
            write!(options, ".retry({} attempts, {} units)", step.attempts, step.backoff)?;
        }
        match step.guard {
            None => {}
            Some(Sentry::Breaker) => options.push_str(".guard(breaker that opens at once)"),
            Some(Sentry::Slots) => options.push_str(".guard(one slot)"),
            Some(Sentry::Refuses(times)) => write!(options, ".guard(refuses {times} times)")?,
        }
        match step.form {
            Form::Plain => {}
            Form::When(condition) => write!(options, ".when({condition})")?,
            Form::OrValue => options.push_str(".or_value(51)"),
            Form::OrElse => options.push_str(".or_else(another step)"),
        }
        let gives = format!("effect({id}){} gives {:?}", fails(step.deed.fails), step.value);
        self.operation(&format!("{on}.step(\"s{id}\", "), &step.deed, &gives)?;
        self.undo(undo)?;
        self.line(format_args!("){options}{end}"))
    }

    fn operation(&mut self, begin: &str, deed: &Deed, effect: &str) -> fmt::Result {
        let ticks = if deed.ticks > 0 { format!("yields {} times, ", deed.ticks) } else { String::new() };
        if deed.inner.is_empty() {
            return self.line(format_args!("{begin}|| {ticks}{effect}"));
        }
        self.line(format_args!("{begin}|| {{ {ticks}"))?;
        self.inside(&deed.inner, "run")?;
        self.line(format_args!("  {effect} }}"))
    }

    fn undo(&mut self, undo: Option<&Undo>) -> fmt::Result {
        let Some(undo) = undo else { return Ok(()) };
        let retry = if undo.attempts > 1 { format!(", {} attempts", undo.attempts) } else { String::new() };
        self.line(format_args!("  compensate = undo{}{retry}", fails(undo.fails)))?;
        self.inside(&undo.inner, "run")
    }

    fn deeds(
        &mut self,
        begin: fmt::Arguments<'_>,
        deeds: &[Deed],
        undo: Option<&Undo>,
        end: &str,
    ) -> fmt::Result {
        self.line(begin)?;
        self.depth += 1;
        for (name, deed) in ["a", "b", "c"].iter().zip(deeds) {
            let effect = format!("effect{}", fails(deed.fails));
            self.operation(&format!("{name}: "), deed, &effect)?;
        }
        self.undo(undo)?;
        self.depth -= 1;
        self.line(format_args!("}}){end}"))
    }

    fn each(&mut self, id: u16, each: &Each, undo: Option<&Undo>, on: &str, end: &str) -> fmt::Result {
        let key_by = if each.key_by { ".key_by(name)" } else { "" };
        let settle = if each.settle { ".settle()" } else { "" };
        let options = format!("{key_by}.concurrency({}){settle}", each.concurrency);
        self.deeds(format_args!("{on}.each(\"e{id}\", {{"), &each.items, undo, &format!("{options}{end}"))
    }
}

fn fails(fails: Fails) -> String {
    match fails {
        Fails::Never => String::new(),
        Fails::Always => " fails".to_owned(),
        Fails::First(times) => format!(" fails {times} times"),
    }
}

struct Shown<'a>(&'a Accident);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accident { execution, boundary, kind } = self.0;
        match kind {
            Kind::Death => f.write_str("the process dies"),
            Kind::StoreFails => f.write_str("the store fails"),
            Kind::Cancel => f.write_str("Operate::cancel"),
            Kind::Token => f.write_str("the token is cancelled"),
            Kind::Rival => f.write_str("another worker tries"),
            Kind::Freeze => f.write_str("the worker is frozen, another one takes over"),
            Kind::Undo => f.write_str("Workflow::cancel"),
            Kind::Deadline(units) => write!(f, "the run has {units} units of time"),
            Kind::Rename(id) => write!(f, "part {id} is renamed"),
            Kind::Again => return f.write_str("Workflow::retry once it has failed"),
            Kind::Mail(id) => write!(f, "all messages of m{id} are sent"),
            Kind::Early => f.write_str("answers come before the questions"),
            Kind::Double => return f.write_str("each answer comes twice, and after its time"),
        }?;
        match boundary {
            0 => write!(f, ", before execution {execution}"),
            _ => write!(f, ", in execution {execution} at boundary {boundary}"),
        }
    }
}
