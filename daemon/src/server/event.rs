//! What the event loop of a server waits for.

use std::sync::mpsc::Sender;

use crate::protocol::Response;

/// Events of the event loop.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection ended.
    Disconnected,
    /// Somebody else has unmounted a mount.
    Unmounted,
    /// A swap area was added or has gone.
    SwapsChanged,
    /// It is time for another try to end.
    Retry,
    /// A signal came.
    Terminate { why: String },
    /// A client requested a shutdown.
    Shutdown {
        force: bool,
        answer: Sender<FinalAnswer>,
    },
}

/// The answer to a shutdown request. The daemon exits once `sent` is dropped.
pub(super) struct FinalAnswer {
    pub(super) response: Response,
    pub(super) _sent: Sender<()>,
}
