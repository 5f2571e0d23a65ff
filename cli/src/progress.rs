//! Progress of what may take long, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use compcache_host::Background;
use compcache_host::printable::Printable;

use crate::error::CliError;

/// How long something may take before progress is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(250);
/// If it is not a terminal, every so many looks give a line.
const LOOKS: u32 = 20;

/// Runs `task` in a thread of its own and waits for it. When that takes more than two seconds,
/// `look` is asked how far it is, again and again.
///
/// # Errors
/// [`CliError::Answer`] if the task ends without a result, [`CliError::Io`] if the system has
/// no thread left.
pub(crate) fn wait<T: Send + 'static>(
    task: impl FnOnce() -> T + Send + 'static,
    mut look: impl FnMut() -> Option<String>,
) -> Result<T, CliError> {
    let (send, result) = channel();
    let run = move || {
        // The receiver waits until this is sent.
        let _ = send.send(task());
    };
    let _thread = Background::start("compcache/task", run, || ())
        .map_err(|e| CliError::io("start a thread", e))?;
    let mut line = Line::default();
    let mut wait = PATIENCE;
    let result = loop {
        match result.recv_timeout(wait) {
            Ok(result) => break Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(text) = look() {
                    line.show(&text);
                }
                wait = PERIOD;
            }
            Err(RecvTimeoutError::Disconnected) => break Err(CliError::Answer),
        }
    };
    line.end();
    result
}

/// A line that is written over on a terminal; elsewhere one line now and then.
#[derive(Default)]
struct Line {
    shown: u32,
}

impl Line {
    fn show(&mut self, text: &str) {
        let text = Printable(text);
        let terminal = std::io::stderr().is_terminal();
        let mut out = std::io::stderr().lock();
        // Progress that can't be shown is no reason to stop.
        let _ = if terminal {
            write!(out, "\r\x1b[Kcompcache: {text}")
        } else if self.shown.is_multiple_of(LOOKS) {
            writeln!(out, "compcache: {text}")
        } else {
            Ok(())
        };
        self.shown += 1;
    }

    fn end(&self) {
        if self.shown > 0 && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quick_is_not_looked_at() {
        let result = wait(|| 7, || panic!("looked at"));
        assert_eq!(result.unwrap(), 7);
    }

    #[test]
    fn what_takes_long_is_looked_at_until_it_is_done() {
        let (done, wait_for) = channel();
        let mut looks = 0;
        let result = wait(
            move || wait_for.recv().unwrap(),
            || {
                looks += 1;
                if looks == 2 {
                    done.send("done").unwrap();
                }
                None
            },
        );
        assert_eq!(result.unwrap(), "done");
        assert!(looks >= 2);
    }
}
