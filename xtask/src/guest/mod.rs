//! Guests: a kernel of Debian's booted in QEMU with an initramfs of our making, a script in it,
//! and what it says on its console.

mod console;
mod filesystems;
mod initramfs;
mod modules;
mod newc;
mod programs;
mod qemu;
mod script;
mod tsc;

pub(crate) use console::{Outcome, Verdict, end_of};
pub(crate) use initramfs::{Image, Ours, base, with_script};
pub(crate) use qemu::{Counting, Machine, Qemu};
pub(crate) use script::Script;
