//! Dead slots: noticing at once which swap slots the kernel frees.
//!
//! A loop device learns of freed slots only by discards, which the kernel sends for
//! whole clusters of 512 slots. If the kernel can be traced by BPF programs and describes its
//! own types (BTF), this module attaches a small program (`program`) to the function (`hook`) that frees
//! slots, which notes them in a bitmap (`bits`) that it shares with us; a thread (`watcher`) frees
//! their pages some milliseconds later. The kernel detaches the program when the last file
//! descriptor is closed, so that a killed process leaves nothing. All this is optional: without
//! it, dead slots are freed by cluster.
//!
//! # Why no page is lost
//!
//! A slot that the kernel has freed may at once be given to another page and be written, while
//! its bit is still set. Therefore:
//!
//! 1. Whoever writes a page clears its bit (`DeadBits::clear`) after the request was
//!    received and before anything of it is committed to a slot.
//! 2. The thread holds the page's slot when it takes the bit (`DeadBits::take`), and empties
//!    the slot only if the bit was set (`slot::empty_if` of the engine).
//!
//! Let W be a write of page P, and D the thread's look at P.
//!
//! *The bit that D takes was set before W.* A bit set before W's request was made is seen by
//! W's step 1: the kernel sets the bit before the slot can be allocated (`hook`, rule 2), the
//! allocation comes before the request, and the request is handed over to us by a system call;
//! so setting the bit happens before step 1, which is an atomic operation on the same word. Say
//! W commits before D locks the slot. The commit is a release and D's lock an acquire of the same
//! word, so W's step 1 happens before D takes the bit, which is therefore gone: D does
//! nothing. Say W commits after D has locked the slot. The commit has to wait until D unlocks
//! it, and replaces whatever D left there. Either way the slot names what W wrote.
//!
//! *The bit that D takes was set after W's request.* Then the kernel has freed the slot again: it
//! does not do so while the page is under writeback, so W has completed, and what it wrote is
//! no longer needed. If yet another write of P follows, the first case holds for that.
//!
//! A write that goes to the backing swap holds the slot during the transfer; D waits for it. The
//! protocol is model-checked in `engine/tests/slot_protocol.rs`.
//!
//! # What else may happen
//!
//! - *Read-ahead* of a slot: the slot is in the swap cache until the read is done, so it is not
//!   freed meanwhile.
//! - *A discard* of a dead page empties the slot too; the bit then finds nothing, or a page
//!   written later, for which the above holds.
//! - *Swapoff and swapon*: swapoff frees all slots, whose bits may be set still when the next
//!   swapon writes to them; the above holds. Bits of slots that are not written are those of
//!   content that nobody refers to.
//! - *Other uses of the disk* (`mkfs`, `dd`) report nothing, since no swap area is given by our
//!   node then, not even one in a file on a file system on our disk (`program`); what they
//!   write clears bits as any write does.
//! - *Zero pages and zswap*: the kernel may free slots that it never wrote. They hold nothing.
//! - *Hibernation* writes slots that it allocates as others, and frees them by the same function.
//! - *The block device's number* is ours from before the program is attached until after the
//!   loop device was detached, then the program goes too. Should the number be given to
//!   another device in between, only pages of a disk that is no longer reachable are freed.
//! - *Bits that get lost* (the program does not run within itself, the ring is full) only make
//!   pages stay until their cluster is discarded, or their slot written.

mod asm;
pub(crate) mod bits;
pub mod btf;
mod error;
mod hook;
mod program;
mod sys;
mod watcher;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use compcache_host::Background;
use serde::{Deserialize, Serialize};

pub(crate) use bits::DeadBits;
pub use error::FreedError;

use bits::Layout;
use btf::Btf;
use hook::Hook;
use sys::{Array, Ring};

/// When the dead slots of a device are freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freeing {
    /// When the kernel frees the slot.
    #[serde(rename = "at once")]
    AtOnce,
    /// When the kernel discards a whole cluster of freed slots.
    #[serde(rename = "by cluster")]
    ByCluster,
}

impl fmt::Display for Freeing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Freeing::AtOnce => "at once",
            Freeing::ByCluster => "by cluster",
        })
    }
}

/// The slots of a block device are watched as long as this lives.
///
/// The fields are dropped in this order: the program is detached first.
pub(crate) struct Watch {
    _link: OwnedFd,
    _watcher: Background,
}

impl Watch {
    /// Watches the slots of `block_device`, whose disk has so many pages. `share` is given the
    /// bitmap before the first bit can be set in it: from then on whoever writes must take bits
    /// back ([`DeadBits::clear`]). `free` is called for dead pages by a thread of its own, named
    /// after `name`; it must take the bit under the slot's lock ([`DeadBits::take`]).
    ///
    /// # Errors
    /// [`FreedError`]; nothing is watched then. `share` may have been called anyway.
    pub(crate) fn start<F: FnMut(u64) + Send + 'static>(
        name: &str,
        block_device: &Path,
        pages: u64,
        most_bytes: u64,
        share: impl FnOnce(&Arc<DeadBits>) -> F,
    ) -> Result<Self, FreedError> {
        let fits = cfg!(all(target_pointer_width = "64", target_endian = "little"))
            && rustix::param::page_size() == 4096;
        let layout = Layout::new(pages)
            .filter(|_| fits)
            .ok_or(FreedError::Machine)?;
        if layout.bytes() > most_bytes {
            return Err(FreedError::TooLarge(layout.bytes() / 1024));
        }
        let device =
            number(block_device).map_err(|e| FreedError::system("look at the block device", e))?;
        let hooks = hooks()?;
        let array = Array::new(layout.total())
            .map_err(|e| FreedError::system("make a BPF map for dead slots", e))?;
        let ring = Ring::new().map_err(|e| FreedError::system("make a BPF ring buffer", e))?;
        let program = |hook: &Hook| {
            hook.check_compiler()?;
            let code = program::freed(hook, device, &layout, array.fd(), raw(&ring));
            let failed = |action: &str, source: io::Error, verifier| FreedError::System {
                action: format!("{action} a BPF program for {}", hook.name),
                source,
                verifier,
            };
            let program =
                sys::load(&code, hook.function).map_err(|(e, log)| failed("load", e, log))?;
            // For a trial: before it stays, writes must take bits back.
            sys::attach(program.as_fd()).map_err(|e| failed("attach", e, None))?;
            Ok(program)
        };
        let program = first(&hooks, program)?;
        let bits = Arc::new(DeadBits::new(Box::new(array), layout));
        let free = share(&bits);
        let watcher = watcher::start(name, ring, bits, free)
            .map_err(|e| FreedError::system("start a thread", e))?;
        let link = sys::attach(program.as_fd())
            .map_err(|e| FreedError::system("attach a BPF program", e))?;
        Ok(Watch {
            _link: link,
            _watcher: watcher,
        })
    }
}

/// The first success, or the first failure.
fn first<T>(
    hooks: &[Hook],
    mut attempt: impl FnMut(&Hook) -> Result<T, FreedError>,
) -> Result<T, FreedError> {
    let mut failure = None;
    for hook in hooks {
        match attempt(hook) {
            Ok(done) => return Ok(done),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or(FreedError::NoFunction))
}

/// The functions of this kernel that can be watched.
fn hooks() -> Result<Vec<Hook>, FreedError> {
    let types = std::fs::read(btf::VMLINUX).map_err(|source| FreedError::Read {
        path: btf::VMLINUX,
        source,
        remedy: "the kernel must be built with CONFIG_DEBUG_INFO_BTF, and /sys mounted",
    })?;
    Ok(Hook::all(&Btf::parse(&types)?))
}

/// Whether this kernel has a function that can be watched; whether this process may do so is
/// another question.
#[must_use]
pub fn is_supported() -> bool {
    hooks().is_ok_and(|hooks| !hooks.is_empty())
}

fn raw(ring: &Ring) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(&ring.fd())
}

/// The number of a block device in the kernel's form (`MKDEV` in `include/linux/kdev_t.h`).
fn number(block_device: &Path) -> io::Result<u32> {
    let dev = rustix::fs::stat(block_device)?.st_rdev;
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    Ok(major << 20 | minor)
}

#[cfg(test)]
mod tests;
