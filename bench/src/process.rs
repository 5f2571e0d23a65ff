//! Programs that are run.

use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::interrupt;

/// A program that runs; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
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

#[derive(Debug)]
pub(crate) struct Ended {
    /// From its start to its end, in seconds.
    pub(crate) seconds: f64,
    pub(crate) output: Vec<u8>,
}

/// Runs a program that is measured to its end.
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
    let mut text = Vec::new();
    errors.rewind()?;
    errors.read_to_end(&mut text)?;
    succeeded(command, status, &text)?;
    Ok(Ended { seconds, output })
}

/// Runs a program that sets something up or takes it down to its end, also after Ctrl-C, and gives what
/// it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let done = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    succeeded(command, done.status, &done.stderr)?;
    Ok(done.stdout)
}

fn succeeded(command: &Command, status: ExitStatus, errors: &[u8]) -> Result<()> {
    ensure!(
        status.success(),
        "{:?} ended with {status}: {}",
        command.get_program(),
        String::from_utf8_lossy(errors).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gives_its_output_or_says_why_it_failed() {
        let ended = run(Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!(ended.output, b"out\n");
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut failing = [shell("echo why >&2; exit 3"), shell("echo why >&2; exit 3")];
        for error in [
            run(&mut failing[0]).map(drop),
            output(&mut failing[1]).map(drop),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.ends_with("exit status: 3: why"), "{error}");
        }
        let mut none = Command::new("/no/such/program");
        assert!(run(&mut none).is_err() && output(&mut none).is_err());
    }
}
