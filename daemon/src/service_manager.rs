//! What the daemon tells the service manager that has started it (sd_notify(3)).

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use compcache_host::Background;
use compcache_host::keeper::Wake;
use sd_notify::NotifyState;

/// Where the service manager listens, if there is one.
const SOCKET: &str = "NOTIFY_SOCKET";

/// What is asked for at a time.
const MORE: Duration = Duration::from_secs(60);

/// Time between two requests: one that is late does no harm.
const PERIOD: Duration = Duration::from_secs(20);

/// Asks the service manager for time to end for as long as what is returned lives: pages of programs come
/// back into memory when there is room. `None` if there is no service manager.
///
/// After that the unit's own `TimeoutStopSec=` counts again. So a thread that the kernel cannot end, since it
/// waits for a SOURCE that does not answer, keeps the process for as long, but nobody who waits for the
/// service.
///
/// # Errors
/// If the system has no thread left.
pub(crate) fn ask_for_time() -> io::Result<Option<Background>> {
    if std::env::var_os(SOCKET).is_none() {
        return Ok(None);
    }
    let more = u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX);
    let ask = move |wake: &Wake| {
        while !wake.is_stopped() {
            if let Err(e) = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(more)]) {
                tracing::warn!("cannot ask the service manager for time to end: {e}");
            }
            thread::park_timeout(PERIOD);
        }
    };
    Arc::new(Wake::default()).spawn("time", ask).map(Some)
}
