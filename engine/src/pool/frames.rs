//! Frames that belong to no arena: those ready for use, and those that the host holds.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::fallible::{NoMemory, collect};

/// No frame, or no arena.
pub(super) const NONE: u32 = u32::MAX;

/// What the pool knows of a frame, beside the bitmap in the frame itself.
///
/// 1. `next` and `depth` belong to the [`Stack`] that the frame is on.
/// 2. `arena` and `used` are written under the lock of the arena that has the frame, takes it or gives it
///    away. Others may read them: the evacuator looks for sparse frames, and looks again under the lock.
/// 3. `arena` does not change while there is a chunk in the frame, whose owner finds it so, nor while the frame
///    is closed.
/// 4. While that lock is free, `used` without its topmost bit counts the granules that the frame's bitmap marks,
///    less the bitmap's own; in a frame of no arena it is 0.
#[derive(Debug)]
pub(super) struct FrameInfo {
    /// Next frame on the stack.
    pub(super) next: AtomicU32,
    /// Frames on the stack from this one down.
    pub(super) depth: AtomicU32,
    /// The arena that the frame belongs to, or [`NONE`].
    pub(super) arena: AtomicU32,
    /// Granules in use by chunks; the topmost bit is set while the frame is closed.
    pub(super) used: AtomicU32,
}

/// Makes the table of frames, all on no list.
pub(super) fn frame_infos(capacity: u32) -> Result<Box<[FrameInfo]>, NoMemory> {
    collect(capacity as usize, |_| FrameInfo {
        next: AtomicU32::new(NONE),
        depth: AtomicU32::new(0),
        arena: AtomicU32::new(NONE),
        used: AtomicU32::new(0),
    })
}

/// A stack of frames without a lock (Treiber 1986); the upper half of the head counts
/// changes, so that a frame popped and pushed again meanwhile is noticed. Each frame says how deep
/// the stack is below it: that costs no locked operation, as a counter would.
#[derive(Debug)]
pub(super) struct Stack {
    head: AtomicU64,
}

impl Stack {
    pub(super) const fn new() -> Self {
        Stack {
            head: AtomicU64::new(NONE as u64),
        }
    }

    /// Frames on the stack, as it was a moment ago.
    pub(super) fn count(&self, infos: &[FrameInfo]) -> u32 {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let depth = depth_of(infos, head as u32);
            // The frame was on top for all that time if the head has not changed since.
            let now = self.head.load(Ordering::Relaxed);
            if now == head {
                return depth;
            }
            head = now;
        }
    }

    pub(super) fn push(&self, infos: &[FrameInfo], frame: u32) {
        let mut head = self.head.load(Ordering::Acquire);
        let info = &infos[frame as usize];
        loop {
            info.next.store(head as u32, Ordering::Relaxed);
            let depth = depth_of(infos, head as u32) + 1;
            info.depth.store(depth, Ordering::Relaxed);
            let new = (head >> 32).wrapping_add(1) << 32 | u64::from(frame);
            match self
                .head
                .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
    }

    pub(super) fn pop(&self, infos: &[FrameInfo]) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let frame = head as u32;
            if frame == NONE {
                return None;
            }
            let next = infos[frame as usize].next.load(Ordering::Relaxed);
            let new = (head >> 32).wrapping_add(1) << 32 | u64::from(next);
            match self
                .head
                .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        Some(head as u32)
    }
}

/// How many frames a stack has whose topmost is this one, while it is.
fn depth_of(infos: &[FrameInfo], frame: u32) -> u32 {
    match infos.get(frame as usize) {
        // Before whatever is read next.
        Some(info) => info.depth.load(Ordering::Acquire),
        None => 0,
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn frames_are_neither_lost_nor_doubled() {
        const FRAMES: u32 = 64;
        let infos = frame_infos(FRAMES).unwrap();
        let stack = Stack::new();
        (0..FRAMES).for_each(|f| stack.push(&infos, f));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        let held: Vec<_> = (0..3).filter_map(|_| stack.pop(&infos)).collect();
                        assert!(stack.count(&infos) <= FRAMES);
                        held.iter().for_each(|f| stack.push(&infos, *f));
                    }
                });
            }
        });
        assert_eq!(stack.count(&infos), FRAMES);
        let mut seen: Vec<_> = core::iter::from_fn(|| stack.pop(&infos)).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..FRAMES));
    }
}
