//! Prints commands as a person would type them, and runs them without a shell.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::url::without_password;

/// Prints the command and runs it.
///
/// # Errors
/// Returns an error if the command does not start or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    eprintln!("\n$ {text}");
    let status = command.status().with_context(|| not_started(&text))?;
    ensure!(status.success(), "`{text}` ended with {status}");
    Ok(())
}

/// Prints the command, runs it, forwards its output at once, and calls `line` with each complete line.
///
/// Both output streams share one pipe, so their lines keep the order in which the command wrote them.
///
/// # Errors
/// Returns an error if the command does not start or fails, or if its output cannot be forwarded.
pub(crate) fn watch(mut command: Command, line: impl FnMut(&str)) -> Result<()> {
    let text = text(&command);
    eprintln!("\n$ {text}");
    let (printed, writer) = io::pipe().context("a pipe cannot be created")?;
    command.stdout(writer.try_clone().context("a pipe cannot be created")?).stderr(writer);
    let mut child = command.spawn().with_context(|| not_started(&text))?;
    // `command` holds the write end of the pipe; until it is dropped, the read end never reaches its end.
    drop(command);
    let passed = pass_on(printed, io::stdout(), line);
    let status = child.wait().with_context(|| format!("`{text}` cannot be waited for"))?;
    ensure!(status.success(), "`{text}` ended with {status}");
    passed.with_context(|| format!("the output of `{text}` cannot be forwarded"))
}

// Forwards bytes as they arrive, so that incomplete lines are visible too.
fn pass_on(from: impl Read, mut to: impl Write, mut seen: impl FnMut(&str)) -> io::Result<()> {
    let (mut from, mut line) = (BufReader::new(from), Vec::new());
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        to.write_all(bytes)?;
        to.flush()?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                seen(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        let read = bytes.len();
        from.consume(read);
    }
}

/// Prints the command, runs it, and returns its standard output. Its standard error goes to the terminal.
pub(crate) fn run_and_read(command: &mut Command) -> Result<String> {
    eprintln!("\n$ {}", text(command));
    read(command)
}

/// Runs a command that only reads, without printing it, and returns its standard output.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let text = text(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| not_started(&text))?;
    ensure!(output.status.success(), "`{text}` ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{text}` is not UTF-8"))
}

/// Returns whether the command starts and succeeds. Its output is discarded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn not_started(text: &str) -> String {
    format!("`{text}` could not be started: install the program, or put it on PATH")
}

fn text(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_stem().unwrap_or(program.as_os_str());
    let settings = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| {
            format!("{}={}", name.display(), quoted(&without_password(&value.to_string_lossy())))
        })
    });
    let arguments = command.get_args().map(|argument| quoted(&argument.to_string_lossy()));
    settings.chain([name.display().to_string()]).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) { format!("'{word}'") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_printed_as_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]);
        assert_eq!(text(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn password_in_a_variable_is_hidden() {
        let mut command = Command::new("cargo");
        command.env("AWAITLY_POSTGRES_URL", "postgres://me:secret@db/app").arg("test");
        assert_eq!(text(&command), "AWAITLY_POSTGRES_URL=postgres://me:***@db/app cargo test");
    }

    #[test]
    fn output_is_forwarded_and_split_into_lines() -> io::Result<()> {
        // One byte at a time, like a slow command.
        let text = "one\ntw\u{f6}\n\nunfinished";
        let slow = text
            .as_bytes()
            .chunks(1)
            .fold(Box::new(io::empty()) as Box<dyn Read>, |so_far, byte| Box::new(so_far.chain(byte)));
        let (mut passed, mut lines) = (Vec::new(), Vec::new());
        pass_on(slow, &mut passed, |line| lines.push(line.to_owned()))?;
        assert_eq!(passed, text.as_bytes());
        assert_eq!(lines, ["one\n", "tw\u{f6}\n", "\n"]);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn watched_streams_keep_their_order_and_failure_is_returned() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let mut lines = Vec::new();
        let ended = watch(command, |line| lines.push(line.to_owned())).map_err(|error| error.to_string());
        assert_eq!(lines, ["one\n", "two\n", "three\n"]);
        let expected = "`sh -c 'echo one; echo two >&2; echo three; exit 3'` ended with exit status: 3";
        assert_eq!(ended, Err(expected.to_owned()));
    }

    #[test]
    fn missing_program_does_not_succeed() {
        let mut missing = Command::new("/nowhere/program");
        assert!(!succeeds(&mut missing));
        let error = run(&mut missing).map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err("`program` could not be started: install the program, or put it on PATH".to_owned())
        );
    }
}
