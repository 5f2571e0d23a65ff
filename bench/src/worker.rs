//! A process that takes orders and answers each, a line of JSON each.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::interrupt;

/// A process; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: ChildStdout,
    /// What was read and is not a whole line yet.
    rest: Vec<u8>,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(command: &mut Command) -> Result<Worker> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process")?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(orders), Some(answers)) = (orders, answers) else {
            bail!("a process has no pipes");
        };
        Ok(Worker {
            child,
            orders,
            answers,
            rest: Vec::new(),
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives it an order.
    ///
    /// # Errors
    /// Where it has ended.
    pub(crate) fn order(&mut self, order: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(order)? + "\n";
        // One that has ended says why on standard error, and closes its end.
        let sent = self.orders.write_all(line.as_bytes());
        sent.or_else(|_| self.ended())
    }

    /// Waits for its next answer.
    ///
    /// # Errors
    /// Where it ends before, or after Ctrl-C.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.answer_meanwhile(None, || Ok(()))
    }

    /// Waits for its next answer, and does something each time that a `period` is over.
    ///
    /// # Errors
    /// Where it ends before, where `tick` fails, or after Ctrl-C.
    pub(crate) fn answer_meanwhile<T: DeserializeOwned>(
        &mut self,
        period: Option<Duration>,
        mut tick: impl FnMut() -> Result<()>,
    ) -> Result<T> {
        let period = period.map(Timespec::try_from).transpose()?;
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            let signal = interrupt::descriptor();
            let mut wait = vec![PollFd::new(&self.answers, PollFlags::IN)];
            wait.extend(signal.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            match poll(&mut wait, period.as_ref()) {
                Ok(0) => tick()?,
                Ok(_) | Err(Errno::INTR) => interrupt::check()?,
                Err(error) => return Err(error.into()),
            }
            if wait[0].revents().is_empty() {
                continue;
            }
            let mut bytes = [0; 4096];
            match self.answers.read(&mut bytes)? {
                0 => self.ended()?,
                length => self.rest.extend_from_slice(&bytes[..length]),
            }
        }
    }

    fn ended(&mut self) -> Result<()> {
        interrupt::check()?;
        let status = self.child.wait()?;
        bail!("a process ended before its work was done ({status})")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
