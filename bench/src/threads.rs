//! Threads that work at once.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

/// Has a thread do each of some works, all from the same moment on. Gives what came of them, and the
/// seconds from the start of the first one to the end of the last one.
pub(crate) fn at_once<W: Send, T: Send>(
    works: Vec<W>,
    work: impl Fn(W) -> Result<T> + Sync,
) -> Result<(Vec<T>, f64)> {
    let start_line = Barrier::new(works.len());
    let timed = |own| {
        start_line.wait();
        let start = Instant::now();
        let done = work(own)?;
        Ok((done, start, Instant::now()))
    };
    let ended: Vec<_> = thread::scope(|scope| {
        let timed = &timed;
        let begin = |own| scope.spawn(move || timed(own));
        let threads: Vec<_> = works.into_iter().map(begin).collect();
        // All are waited for, also if one has failed.
        let ended = threads.into_iter().map(|thread| thread.join());
        let panicked = |_| Err(anyhow!("a thread panicked"));
        let ended = ended.map(|ended| ended.unwrap_or_else(panicked));
        ended.collect::<Vec<Result<_>>>()
    })
    .into_iter()
    .collect::<Result<_>>()?;
    let first = ended.iter().map(|(_, start, _)| *start).min();
    let last = ended.iter().map(|(_, _, end)| *end).max();
    let (first, last) = first.zip(last).context("no thread worked")?;
    let done = ended.into_iter().map(|(done, ..)| done).collect();
    Ok((done, (last - first).as_secs_f64()))
}
