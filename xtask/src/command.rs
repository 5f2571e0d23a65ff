//! Starting other programs: their failure is an error that names the program, its arguments
//! and its output.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The last lines of a program's output that an error shows.
const LINES_SHOWN: usize = 40;

/// Runs a program to its end with its output where ours goes.
///
/// # Errors
///
/// It cannot be started, or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", line(command));
    }
    Ok(())
}

/// Runs a program to its end and returns what it wrote to its standard output.
///
/// # Errors
///
/// As [`run`]; the error has the last lines that the program wrote.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&bytes(command)?).into_owned())
}

/// As [`output`], for output that is no text.
///
/// # Errors
///
/// As [`output`].
pub(crate) fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    Ok(finish(command)?.stdout)
}

/// Runs a program to its end and keeps all that it writes in a file.
///
/// # Errors
///
/// As [`run`]; the error has the last lines that the program wrote.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file =
        std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let both = file.try_clone()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        let text = std::fs::read(log).unwrap_or_default();
        bail!(
            "{} failed: {status}\n{}\n(all of it: {})",
            line(command),
            tail(&text),
            log.display()
        );
    }
    Ok(())
}

fn finish(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed: {}\n{}",
            line(command),
            output.status,
            tail(&output.stderr)
        );
    }
    Ok(output)
}

/// The last lines of what a program wrote.
pub(crate) fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// The first places of a command line, as a user would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut line: String = words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    if line.len() > 300 {
        let cut = line
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|&at| at <= 300)
            .last();
        line.truncate(cut.unwrap_or(0));
        line.push('…');
    }
    line
}

/// Where the machine has a program, if it has it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_says_what_failed_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo reason >&2; exit 3"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("sh -c") && text.contains("reason") && text.contains('3'),
            "{text}"
        );
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
