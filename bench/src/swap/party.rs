//! The processes whose memory is swapped, from their parent's side.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use compcache::cgroup::Group;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::toucher::{Done, Phase};
use crate::interrupt;

/// A process; killed when this is dropped.
struct Member {
    child: Child,
    orders: ChildStdin,
    answers: ChildStdout,
    /// What was read and is not a whole line yet.
    rest: Vec<u8>,
}

/// Processes that do each phase together.
pub(crate) struct Party(Vec<Member>);

impl Party {
    /// Starts `processes` of them in a cgroup; they share `pages` and wait.
    ///
    /// # Errors
    /// Where they do not start.
    pub(crate) fn start(
        group: &Group,
        samples: &Path,
        processes: usize,
        pages: usize,
        seed: u64,
    ) -> Result<Party> {
        let mut party = Party(Vec::new());
        for number in 0..processes {
            let mut child = Command::new("/proc/self/exe")
                .arg("toucher")
                .arg("--samples")
                .arg(samples)
                .arg("--pages")
                .arg((pages / processes).to_string())
                .arg("--seed")
                .arg((seed * 1000 + number as u64).to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot start a process")?;
            let (orders, answers) = (child.stdin.take(), child.stdout.take());
            let (Some(orders), Some(answers)) = (orders, answers) else {
                bail!("a process has no pipes");
            };
            let pid = child.id();
            party.0.push(Member {
                child,
                orders,
                answers,
                rest: Vec::new(),
            });
            enter(&mut group.entrance()?, pid)?;
        }
        Ok(party)
    }

    /// Has all of them do a phase, and waits until they have.
    ///
    /// # Errors
    /// Where one of them finds a wrong page or is killed, or after Ctrl-C.
    pub(crate) fn work(&mut self, phase: Phase) -> Result<Vec<Done>> {
        let order = serde_json::to_string(&phase)? + "\n";
        for member in &mut self.0 {
            // One that has ended says why on standard error, and closes its end.
            let sent = member.orders.write_all(order.as_bytes());
            sent.or_else(|_| member.ended())?;
        }
        self.0
            .iter_mut()
            .map(|member| Ok(serde_json::from_slice(&member.line()?)?))
            .collect()
    }
}

/// Puts a process into a cgroup.
fn enter(entrance: &mut File, pid: u32) -> Result<()> {
    entrance
        .write_all(pid.to_string().as_bytes())
        .with_context(|| format!("cannot put process {pid} into the cgroup"))
}

impl Member {
    fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                return Ok(self.rest.drain(..=end).collect());
            }
            let signal = interrupt::descriptor();
            let mut wait = vec![PollFd::new(&self.answers, PollFlags::IN)];
            wait.extend(signal.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            match poll(&mut wait, None) {
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

impl Drop for Member {
    fn drop(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
