//! Trying again and again what may fail or never return, for as long as there is progress.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use compcache_host::Background;
use parking_lot::{Condvar, Mutex};

/// Time between two tries.
const RETRY: Duration = Duration::from_secs(1);

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum Exhausted<E> {
    /// The last try had failed.
    Failed(E),
    /// The first try has not returned.
    Silent,
}

/// What the tries and who waits for them share.
struct Tries<T, E> {
    /// Not held over a try, which may never return; who waits asks for `progress` under it.
    state: Mutex<State<T, E>>,
    changed: Condvar,
}

struct State<T, E> {
    done: Option<T>,
    error: Option<E>,
    given_up: bool,
}

/// Has `attempt` called, by a thread, until it works, and gives what it gave. Returns without it once
/// `patience` has passed since this was called and since the last `progress`; a call that has not
/// returned by then is left to itself, and nobody waits for its thread. If the system has no thread left,
/// the caller tries, and waits for as long as a call takes.
///
/// # Errors
/// Why nothing came of it.
pub(crate) fn retry_while_progressing<T: Send + 'static, E: Send + 'static>(
    patience: Duration,
    progress: impl Fn() -> Option<Instant>,
    attempt: impl FnMut() -> Result<T, E> + Send + 'static,
) -> Result<T, Exhausted<E>> {
    let begun = Instant::now();
    let left = || {
        let since = progress().map_or(begun, |last| last.max(begun));
        patience.saturating_sub(since.elapsed())
    };
    // Held over each call, outside of all other locks. Nobody waits for it: either the thread tries or, if there
    // is none, the caller.
    let attempt = Arc::new(Mutex::new(attempt));
    let tries = Arc::new(Tries {
        state: Mutex::new(State {
            done: None,
            error: None,
            given_up: false,
        }),
        changed: Condvar::new(),
    });
    let (own, of_thread) = (Arc::clone(&tries), Arc::clone(&attempt));
    let run = move || {
        loop {
            let result = (of_thread.lock())();
            let mut state = own.state.lock();
            match result {
                Ok(done) => {
                    state.done = Some(done);
                    own.changed.notify_all();
                    return;
                }
                Err(error) => state.error = Some(error),
            }
            own.changed
                .wait_while_for(&mut state, |state| !state.given_up, RETRY);
            if state.given_up {
                return;
            }
        }
    };
    let Ok(thread) = Background::start("files/end", run, || ()) else {
        loop {
            match ((attempt.lock())(), left()) {
                (Ok(done), _) => return Ok(done),
                (Err(error), Duration::ZERO) => return Err(Exhausted::Failed(error)),
                (Err(_), left) => thread::sleep(RETRY.min(left)),
            }
        }
    };
    let mut state = tries.state.lock();
    loop {
        if let Some(done) = state.done.take() {
            return Ok(done);
        }
        let left = left();
        if left.is_zero() {
            break;
        }
        tries
            .changed
            .wait_while_for(&mut state, |state| state.done.is_none(), left);
    }
    state.given_up = true;
    tries.changed.notify_all();
    thread.detach();
    Err(state
        .error
        .take()
        .map_or(Exhausted::Silent, Exhausted::Failed))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn it_is_tried_until_it_works() {
        let mut tries = 0;
        let third = move || {
            tries += 1;
            if tries == 3 { Ok(tries) } else { Err(()) }
        };
        assert_eq!(retry_while_progressing(LONG, || None, third).unwrap(), 3);
    }

    #[test]
    fn what_fails_is_given_up_with_the_last_error() {
        let tried = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&tried);
        let fails = move || {
            own.store(true, Relaxed);
            Err::<(), _>("full")
        };
        // However late the thread is.
        let progress = || (!tried.load(Relaxed)).then(Instant::now);
        let failed = retry_while_progressing(SHORT, progress, fails);
        assert!(matches!(failed, Err(Exhausted::Failed("full"))));
    }

    #[test]
    fn what_never_returns_is_given_up() {
        let (_open, never) = channel::<()>();
        let hangs = move || never.recv();
        assert!(matches!(
            retry_while_progressing(SHORT, || None, hangs),
            Err(Exhausted::Silent)
        ));
    }

    /// What made progress until a moment ago is not given up yet.
    #[test]
    fn progress_is_waited_for() {
        let (open, gate) = channel::<()>();
        let looks = Mutex::new((0, Some(open)));
        let progress = || {
            let mut looks = looks.lock();
            looks.0 += 1;
            if looks.0 == 4 {
                // Lets the try return.
                looks.1.take();
            }
            Some(Instant::now())
        };
        let slow = move || match gate.recv() {
            Err(_) => Ok::<_, ()>("done"),
            Ok(()) => Err(()),
        };
        assert_eq!(
            retry_while_progressing(SHORT, progress, slow).unwrap(),
            "done"
        );
    }
}
