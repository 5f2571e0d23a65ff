//! Lines of the kernel's log. Each names its device.

use core::fmt::{Arguments, Write};

use crate::sys;
use crate::text::Writer;

/// Longest line; what is longer is cut. On the stack: nothing that prints is deep.
const LINE: usize = 400;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Level {
    /// A request failed.
    Error = 0,
    /// It happened, and may not be what was wanted.
    Warning = 1,
    /// It happened.
    Info = 2,
    /// A page could not be read. Many may: the kernel prints some of them.
    FailedRead = 3,
    /// A page could not be stored. As above, and however many of these there are, failed reads are
    /// printed.
    FailedStore = 4,
    /// A call was refused that any user may make, as often as he likes: the kernel prints some.
    Refused = 5,
}

/// Prints a line about device `number`, or about the module.
#[cold]
#[inline(never)]
pub(crate) fn print(level: Level, number: Option<u32>, what: Arguments<'_>) {
    let mut room = [0; LINE];
    let mut line = Writer::new(&mut room);
    // The writer never fails.
    let _ = match number {
        Some(number) => write!(line, "ramzswap{number}: {what}"),
        None => write!(line, "ramzswap: {what}"),
    };
    let bytes = line.bytes();
    // SAFETY: the text has this length.
    unsafe { sys::rzk_print(level as u32, bytes.as_ptr(), bytes.len()) }
}
