//! Other programs: shown as a person would type them, then started. No shell stands between.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::url::without_password;

/// Shows the command, runs it, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    eprintln!("\n$ {text}");
    let status = command.status().with_context(|| not_started(&text))?;
    ensure!(status.success(), "`{text}` ended with {status}");
    Ok(())
}

/// What the command prints. It is not shown: it asks, and changes nothing.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let text = text(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| not_started(&text))?;
    ensure!(output.status.success(), "`{text}` ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{text}` printed something that is not UTF-8"))
}

/// Whether the command is there and succeeds, asked without a word on the terminal.
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
    fn a_command_reads_as_one_would_type_it() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]);
        assert_eq!(text(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_password_in_a_setting_is_not_shown() {
        let mut command = Command::new("cargo");
        command.env("AWAITLY_POSTGRES_URL", "postgres://me:secret@db/app").arg("test");
        assert_eq!(text(&command), "AWAITLY_POSTGRES_URL=postgres://me:***@db/app cargo test");
    }

    #[test]
    fn a_program_that_is_not_there_does_not_succeed() {
        let mut missing = Command::new("/nowhere/program");
        assert!(!succeeds(&mut missing));
        let error = run(&mut missing).map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err("`program` could not be started: install the program, or put it on PATH".to_owned())
        );
    }
}
