//! A process that does what it is asked for and replies, a line of JSON each.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::interrupt;
use crate::process::Running;

/// The process, from its parent's side; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Running,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(command: &mut Command) -> Result<Worker> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(command)?;
        let pipes = process.0.stdin.take().zip(process.0.stdout.take());
        let (requests, replies) = pipes.context("a process has no pipes")?;
        Ok(Worker {
            process,
            requests,
            replies: BufReader::new(replies),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Asks it for something, and waits until it has done that.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<T> {
        self.send(request)?;
        self.receive()
    }

    pub(crate) fn send(&mut self, request: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(request)? + "\n";
        // One that has ended says why on standard error, and closes its end.
        let sent = self.requests.write_all(line.as_bytes());
        sent.or_else(|_| self.ended())
    }

    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.receive_meanwhile(None, || Ok(()))
    }

    /// Waits for its next reply, and does something each time that a `period` is over.
    pub(crate) fn receive_meanwhile<T: DeserializeOwned>(
        &mut self,
        period: Option<Duration>,
        mut tick: impl FnMut() -> Result<()>,
    ) -> Result<T> {
        while !interrupt::wait(Some(self.replies.get_ref().as_fd()), period)? {
            tick()?;
        }
        // There is one reply to each request, and all of it comes at once.
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            self.ended()?;
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn ended(&mut self) -> Result<()> {
        interrupt::check()?;
        let status = self.process.0.wait()?;
        bail!("a process ended before its work was done ({status})")
    }
}

/// Is such a process: replies to each request on standard input.
pub(crate) fn serve<Q: DeserializeOwned, A: Serialize>(
    mut reply: impl FnMut(Q) -> Result<A>,
) -> Result<()> {
    // The bench may be killed; nobody else would end this process.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        serde_json::to_writer(&mut out, &reply(serde_json::from_str(&line?)?)?)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}
