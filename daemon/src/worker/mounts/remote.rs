//! A mount of another process, for whoever has made it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::{End, Phase, Record};
use super::{CallError, Supervisor};
use crate::backend::Mounted;
use crate::protocol::{ErrorCode, Refusal};
use crate::types::{Ending, Loss, MountStatus};
use crate::worker::message::{Answer, Order};
use crate::worker::process::Worker;

/// How long it may take until the end of a process that was killed is known.
const REAPED: Duration = Duration::from_secs(15);

/// How many seconds an answer may take once the mount is over.
const ROUNDS: u32 = 3;
/// Time between two tries to ask one that has no descriptor or thread for it.
const RETRY: Duration = Duration::from_secs(1);

/// A mount that another process serves.
pub(super) struct Remote {
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) record: Arc<Record>,
}

impl Mounted for Remote {
    fn status(&self) -> MountStatus {
        let mount = self.record.id;
        if let Phase::On(worker) = self.record.phase()
            && let Ok(Answer::Status { status }) = worker.quick(&Order::Status { mount })
        {
            self.record.note(&status);
            return *status;
        }
        self.record.last()
    }

    fn sync(&self) -> Result<(), Refusal> {
        let mount = self.record.id;
        match self.ask(&Order::Sync { mount })? {
            Answer::Refused(refusal) => Err(refusal),
            Answer::Gone => match self.record.phase() {
                Phase::Ended(End {
                    unwritten: Some(refusal),
                    ..
                }) => Err(refusal),
                Phase::Ended(End {
                    loss: Some(loss), ..
                }) => Err(Refusal::new(ErrorCode::Eio, loss.to_string())),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn unmount(&self, lazy: bool) -> Result<(), Refusal> {
        let record = &self.record;
        let mount = record.id;
        record.wait_while(None, Phase::is_passing);
        if let Phase::Waiting { .. } = record.phase() {
            let end = End {
                explained: true,
                ..End::default()
            };
            self.supervisor.finish(record, end);
            return Ok(());
        }
        match self.ask(&Order::Unmount { mount, lazy })? {
            Answer::Refused(refusal) => return Err(refusal),
            // Its end is reported when nobody uses it any more.
            Answer::Done if lazy => record.detach(),
            _ => self.supervisor.finish(record, End::default()),
        }
        Ok(())
    }

    fn end(&self) -> Ending {
        let record = &self.record;
        record.must_end();
        let patience = record.options.give_up_after;
        let begun = Instant::now();
        loop {
            match record.phase() {
                Phase::Ended(End {
                    loss: Some(loss), ..
                }) => return Ending::GivenUp(loss),
                Phase::Ended(_) => return Ending::Unmounted,
                Phase::Waiting { .. } => {
                    let end = End {
                        explained: true,
                        ..End::default()
                    };
                    self.supervisor.finish(record, end);
                }
                Phase::Making | Phase::Orphaned => {
                    record.wait_while(Some(patience), Phase::is_passing);
                    if matches!(record.phase(), Phase::Making)
                        && let Some(worker) = self.supervisor.current()
                    {
                        worker.kill();
                    }
                    record.wait_while(Some(REAPED), Phase::is_passing);
                    if record.phase().is_passing() {
                        self.supervisor.abandon(record);
                    }
                }
                Phase::On(worker) => {
                    if let Some(ending) = self.end_on(&worker, begun) {
                        return ending;
                    }
                }
            }
        }
    }

    fn loss(&self) -> Option<Arc<Loss>> {
        match self.record.phase() {
            Phase::Ended(End { loss, .. }) => loss,
            _ => None,
        }
    }

    fn is_explained(&self) -> bool {
        match self.record.phase() {
            Phase::Ended(end) => end.explained,
            _ => false,
        }
    }
}

impl Remote {
    /// Asks the process that serves it.
    fn ask(&self, order: &Order) -> Result<Answer, Refusal> {
        let record = &self.record;
        record.wait_while(None, Phase::is_passing);
        let refuse = |why: String| {
            let path = record.options.mountpoint.display();
            Err(Refusal::new(ErrorCode::Eio, format!("{path}: {why}")))
        };
        match record.phase() {
            Phase::On(worker) => {
                let _asking = self.supervisor.asking();
                let mut rounds = 0;
                // The answer to whoever has ended it comes soon after the news that it is over; one that waits for
                // a source which was given up never does.
                let answered = worker.ask_while(order, |_| {
                    rounds += u32::from(matches!(record.phase(), Phase::Ended(_)));
                    rounds < ROUNDS
                });
                match (answered, record.phase()) {
                    (Ok(answer), _) => Ok(answer),
                    (Err(_), Phase::Ended(_)) => Ok(Answer::Gone),
                    (Err(why), _) => refuse(format!(
                        "the mount process (pid {}): {why}; try again",
                        worker.pid()
                    )),
                }
            }
            Phase::Ended(_) => Ok(Answer::Gone),
            _ => refuse(
                "its process has died, and it is about to be mounted again; try again".into(),
            ),
        }
    }

    /// Has the process end it, which takes as long as its source takes pages; one that answers nothing for as long
    /// as a source may is killed. `None` if it has died, whereupon the mount's phase says what has become of it, or
    /// is to be asked again.
    fn end_on(&self, worker: &Arc<Worker>, begun: Instant) -> Option<Ending> {
        let record = &self.record;
        let patience = record.options.give_up_after;
        let is_on = |phase: &Phase| matches!(phase, Phase::On(by) if Arc::ptr_eq(by, worker));
        let _asking = self.supervisor.asking();
        let mount = record.id;
        let asked = worker.ask_or_kill(&Order::End { mount }, &Order::Ping, patience);
        match asked {
            Ok(Answer::Ended { ending }) => {
                match &ending {
                    Ending::Detached => record.detach(),
                    Ending::Unmounted => self.supervisor.finish(record, End::default()),
                    Ending::GivenUp(loss) => self.supervisor.finish(
                        record,
                        End {
                            loss: Some(Arc::clone(loss)),
                            ..End::default()
                        },
                    ),
                }
                return Some(ending);
            }
            // Its end is being reported.
            Ok(_) => {}
            Err(CallError::Silent) => tracing::error!(
                "the mount process (pid {}) has not answered for {} s, and was killed",
                worker.pid(),
                patience.as_secs()
            ),
            Err(why) => {
                tracing::debug!("the mount process (pid {}): {why}", worker.pid());
                record.wait_while(Some(RETRY), is_on);
                if begun.elapsed() < patience {
                    return None;
                }
                worker.kill();
            }
        }
        record.wait_while(Some(REAPED), is_on);
        if is_on(&record.phase()) {
            self.supervisor.abandon(record);
        }
        None
    }
}
