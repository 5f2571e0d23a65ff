//! Where in the kernel swap slots are freed.
//!
//! A function is taken only if all of this holds, in every kernel that has it in this form:
//!
//! 1. It is called with slots that are free when it returns: it frees them itself or finishes
//!    what its caller has begun, it has no way to fail, and it frees all slots that it was
//!    given.
//! 2. From its entry on, none of these slots can be given to another page before the function
//!    has returned: the slots' cluster, or the whole swap area, is locked, or the slots' last
//!    mark (`SWAP_HAS_CACHE`) is still set. So what our program notes at its entry is noted
//!    before anything can be written to a reused slot.
//!
//! The kernel notifies drivers of freed slots (`swap_slot_free_notify`, which zram listens to) in
//! one place, `swap_range_free`; each function below either is that or calls it, without a
//! condition, for exactly the slots that it was given.
//!
//! | function | kernels | why |
//! |---|---|---|
//! | `swap_range_free(si, offset, nr_entries)` | 4.14 on, if the compiler did not inline it | the notification itself. Callers have set the slots' `swap_map` to 0 and hold the area's lock (up to 6.13) or the cluster's (later), which allocation needs too |
//! | `swap_entries_free(si, ci, entry, nr_pages)`, later with `offset` in the place of `entry` | from 6.16 | "drop the last reference", under the cluster's lock; sets `swap_map` to 0 and calls `swap_range_free` |
//! | `swap_entry_range_free(si, [ci,] entry, nr_pages)` | from 6.10 | "drop the last `SWAP_HAS_CACHE`", by callers that took the slots out of the swap cache or found them only there; then as above |
//!
//! Not taken: `swap_free`, `swap_entry_put` and others that count references down, of which only
//! the last frees; `free_swap_slot`, which puts slots into a cache first; `swap_entry_free`,
//! whose name meant such a countdown before 4.13; and `__swap_cluster_free_entries` of later
//! kernels (7.3 has it), from whose parameters the slot can be computed only with a number (slots
//! in a cluster) that depends on the kernel's configuration. If the compiler inlined all of them
//! into their callers, or their parameters are others, there is no hook, and slots are freed by
//! cluster.
//!
//! Functions are known by the names and types of their parameters, not by the kernel's version.
//! A compiler may change how a `static` function takes its parameters. gcc then changes the
//! symbol's name too (`.isra`, `.constprop`, `.part`), so that the kernel finds nothing to attach
//! to. clang does not: a `static` function of a kernel that was not built by gcc is refused.
//! If the compiler inlined a function into some callers only, calls from there are not seen,
//! and their slots are freed by cluster.

use std::io::{self, BufRead, BufReader};

use compcache_host::proc;

use super::btf::{Btf, Function, Type};
use super::error::FreedError;

/// How the kernel says which slot is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A `swp_entry_t`: the slot in its lower bits, the area in the upper ones.
    Entry,
    /// The slot.
    Offset,
}

/// A function that frees slots, and how to read its parameters. Parameters are found by their
/// number; each of them takes 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    /// The function's name.
    pub(super) name: &'static str,
    /// The number of its type.
    pub(super) function: u32,
    /// The parameter with the first slot, and its form.
    pub(super) place: (u8, Place),
    /// The parameter with the number of slots.
    pub(super) count: u8,
    /// Offset of `swap_file` in `struct swap_info_struct`, to which parameter 0 points.
    pub(super) swap_file: i16,
    /// Offset of `f_inode` in `struct file`.
    pub(super) inode: i16,
    /// Offset of `i_rdev` in `struct inode`.
    pub(super) rdev: i16,
}

/// The functions in the order in which they are tried.
const FUNCTIONS: [&str; 3] = [
    "swap_range_free",
    "swap_entries_free",
    "swap_entry_range_free",
];

impl Hook {
    /// The functions that this kernel's types have, best first. Whether one can be attached to
    /// shows when it is tried: it may have been inlined.
    pub(super) fn all(btf: &Btf<'_>) -> Vec<Hook> {
        FUNCTIONS
            .into_iter()
            .filter_map(|name| Hook::of(btf, name, &btf.function(name)?))
            .collect()
    }

    fn of(btf: &Btf<'_>, name: &'static str, function: &Function<'_>) -> Option<Hook> {
        let pointer_to = |kind: Type<'_>, structure: &str| match kind {
            Type::Pointer(to) => match btf.kind(to) {
                Type::Struct { name, .. } if name == structure => Some(to),
                _ => None,
            },
            _ => None,
        };
        let [info, rest @ ..] = &function.parameters[..] else {
            return None;
        };
        let info = pointer_to(info.kind, "swap_info_struct")?;
        let (skipped, rest) = match rest {
            [cluster, rest @ ..] if pointer_to(cluster.kind, "swap_cluster_info").is_some() => {
                (2, rest)
            }
            _ => (1, rest),
        };
        let [place, count] = rest else { return None };
        let form = match (place.name, place.kind) {
            ("entry", Type::Struct { size: 8, .. }) => Place::Entry,
            ("offset", Type::Int(8)) => Place::Offset,
            _ => return None,
        };
        let counts = matches!(count.name, "nr_entries" | "nr_pages") && count.kind == Type::Int(4);
        if !counts || function.returns != Type::Void {
            return None;
        }
        let (swap_file, file) = btf.member(info, "swap_file")?;
        let (inode, of_inode) = btf.member(pointer_to(btf.kind(file), "file")?, "f_inode")?;
        let (rdev, dev) = btf.member(pointer_to(btf.kind(of_inode), "inode")?, "i_rdev")?;
        if btf.kind(dev) != Type::Int(4) {
            return None;
        }
        Some(Hook {
            name,
            function: function.number,
            place: (skipped, form),
            count: skipped + 1,
            swap_file: i16::try_from(swap_file).ok()?,
            inode: i16::try_from(inode).ok()?,
            rdev: i16::try_from(rdev).ok()?,
        })
    }

    /// Refuses a function of which the compiler may have changed the parameters unseen.
    pub(super) fn check_compiler(&self) -> Result<(), FreedError> {
        let failed = |path| {
            move |source| FreedError::Read {
                path,
                source,
                remedy: "mount /proc",
            }
        };
        let version = std::fs::read("/proc/version").map_err(failed("/proc/version"))?;
        if is_gcc(&version) {
            return Ok(());
        }
        let symbols = std::fs::File::open("/proc/kallsyms").map_err(failed("/proc/kallsyms"))?;
        if is_global(BufReader::new(symbols), self.name).map_err(failed("/proc/kallsyms"))? {
            Ok(())
        } else {
            Err(FreedError::Compiler(self.name))
        }
    }
}

/// Whether gcc built the kernel, by its line in `/proc/version`.
fn is_gcc(version: &[u8]) -> bool {
    let names = |compiler: &[u8]| version.windows(compiler.len()).any(|part| part == compiler);
    names(b"gcc") && !names(b"clang")
}

/// Whether a symbol of `/proc/kallsyms` is there and visible to all of the kernel (`T`).
fn is_global(symbols: impl BufRead, name: &str) -> io::Result<bool> {
    for line in symbols.split(b'\n') {
        let line = line?;
        let mut fields = proc::words(&line).skip(1);
        if let (Some(kind), Some(symbol), None) = (fields.next(), fields.next(), fields.next())
            && symbol == name.as_bytes()
        {
            return Ok(kind == b"T");
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_told_by_the_kernels_version() {
        assert!(is_gcc(
            b"Linux version 6.12.48 (x@y) (x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld)"
        ));
        assert!(!is_gcc(
            b"Linux version 6.12.1 (x@y) (Ubuntu clang version 18.1.3, LLD 18.1.3)"
        ));
        assert!(!is_gcc(
            b"Linux version 6.12.1 (gcc@y) (clang version 18.1.3)"
        ));
    }

    #[test]
    fn only_global_symbols_count() {
        let symbols = "0000000000000000 t swap_range_free\n\
                       0000000000000000 T swap_entries_free\n\
                       0000000000000000 T swap_entry_range_free\t[module]\n";
        let global = |name| is_global(symbols.as_bytes(), name).unwrap();
        assert!(global("swap_entries_free"));
        assert!(!global("swap_range_free"));
        assert!(!global("swap_entry_range_free"), "not of the kernel itself");
        assert!(!global("swap_free"));
    }
}
