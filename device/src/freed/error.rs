//! Why slots cannot be watched.

use std::io;

use super::btf::{self, BtfError};

/// Why slots cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum FreedError {
    /// The machine is not one that it is made for.
    #[error("it is made for little-endian machines of 64 bits with pages of 4096 bytes")]
    Machine,
    /// A file can't be read.
    #[error("cannot read {path}: {source}; {remedy}")]
    Read {
        /// The file.
        path: &'static str,
        /// The system's error.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The kernel's types can't be read.
    #[error("cannot read the types in {path}: {0}", path = btf::VMLINUX)]
    Btf(#[from] BtfError),
    /// The kernel has no function that is known to free slots.
    #[error(
        "this kernel has no function that frees swap slots in a form that is known, or it was \
         inlined"
    )]
    NoFunction,
    /// The function may not take the parameters that its type says.
    #[error("the kernel was not built by gcc: how {0} takes its parameters is not certain")]
    Compiler(&'static str),
    /// The bitmap takes too much memory.
    #[error("the disk is so large that the bitmap of dead slots would take {0} kB")]
    TooLarge(u64),
    /// The kernel refuses.
    #[error(
        "cannot {action}: {source}{}; it takes root (CAP_BPF and CAP_PERFMON) and a kernel of \
         version 5.12 or later with BPF tracing", in_parentheses(.verifier.as_deref())
    )]
    System {
        /// What it was for.
        action: String,
        /// The system's error.
        source: io::Error,
        /// The last line of the kernel's verifier.
        verifier: Option<String>,
    },
}

impl FreedError {
    pub(super) fn system(action: &str, source: io::Error) -> Self {
        FreedError::System {
            action: action.to_owned(),
            source,
            verifier: None,
        }
    }
}

fn in_parentheses(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" ({text})"))
}
