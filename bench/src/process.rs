//! Programs that are run.

use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::interrupt;

/// A program that runs; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts a program.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start(command: &mut Command) -> Result<Running> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Running(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// From its start to its end, in seconds.
    pub(crate) seconds: f64,
    /// What it wrote to standard output.
    pub(crate) output: Vec<u8>,
}

/// Runs a program to its end.
///
/// # Errors
/// If it does not start or fails; then with what it wrote to standard error. Or after Ctrl-C.
pub(crate) fn run(command: &mut Command) -> Result<Ended> {
    let mut errors = tempfile::tempfile()?;
    command.stdout(Stdio::piped()).stderr(errors.try_clone()?);
    let start = Instant::now();
    let mut running = Running::start(command)?;
    let mut output = Vec::new();
    if let Some(mut pipe) = running.0.stdout.take() {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if interrupt::wait(Some(pipe.as_fd()), None)? {
                match pipe.read(&mut buffer)? {
                    0 => break,
                    length => output.extend_from_slice(&buffer[..length]),
                }
            }
        }
    }
    let status = running.0.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        let mut text = Vec::new();
        errors.rewind()?;
        errors.read_to_end(&mut text)?;
        bail!(
            "{:?} ended with {status}: {}",
            command.get_program(),
            String::from_utf8_lossy(&text).trim()
        );
    }
    Ok(Ended { seconds, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gives_its_output_or_says_why_it_failed() {
        let ended = run(Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!(ended.output, b"out\n");
        let failed = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(
            failed.to_string().ends_with("exit status: 3: why"),
            "{failed}"
        );
        assert!(run(&mut Command::new("/no/such/program")).is_err());
    }
}
