//! Programs that are run to their end in a cage.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::cage::Cage;
use crate::interrupt;

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// From its start to its end, in seconds.
    pub(crate) seconds: f64,
    /// What it wrote to standard output.
    pub(crate) output: Vec<u8>,
}

/// A program that runs; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program in a cage.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(command: &mut Command, cage: &Cage) -> Result<Running> {
        cage.hold(command)?;
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Running(child))
    }

    /// The process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program in a cage to its end. Its standard input is what the command says, or empty.
///
/// # Errors
/// Where it does not start or fails; then with what it wrote to standard error. Or after Ctrl-C.
pub(crate) fn run(command: &mut Command, cage: &Cage) -> Result<Ended> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut running = Running::start(command, cage)?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    read_both(&mut running.0, &mut output, &mut errors)?;
    let status = running.0.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!(
            "{:?} ended with {status}: {}",
            command.get_program(),
            String::from_utf8_lossy(&errors).trim()
        );
    }
    Ok(Ended { seconds, output })
}

/// Reads what a process writes until it closes both ends.
fn read_both(child: &mut Child, output: &mut Vec<u8>, errors: &mut Vec<u8>) -> Result<()> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0; 64 << 10];
    while stdout.is_some() || stderr.is_some() {
        let signal = interrupt::descriptor();
        let mut wait: Vec<PollFd<'_>> = Vec::new();
        wait.extend(stdout.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        wait.extend(stderr.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        wait.extend(signal.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut wait, None) {
            Ok(_) | Err(Errno::INTR) => interrupt::check()?,
            Err(error) => return Err(error.into()),
        }
        let mut ready = wait.iter().map(|fd| !fd.revents().is_empty());
        let output_ready = stdout.is_some() && ready.next() == Some(true);
        let errors_ready = stderr.is_some() && ready.next() == Some(true);
        drop(wait);
        if output_ready && let Some(pipe) = &mut stdout {
            match pipe.read(&mut buffer)? {
                0 => stdout = None,
                length => output.extend_from_slice(&buffer[..length]),
            }
        }
        if errors_ready && let Some(pipe) = &mut stderr {
            match pipe.read(&mut buffer)? {
                0 => stderr = None,
                length => errors.extend_from_slice(&buffer[..length]),
            }
        }
    }
    Ok(())
}
