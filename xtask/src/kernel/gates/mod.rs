//! What must hold for the Rust objects and the module before a kernel is given them. Each gate
//! stands for something that went wrong in some module: a loader that refuses it, or worse, one
//! that does not.

mod code;
mod frames;
mod info;
mod instructions;
mod links;
mod violation;

use std::path::Path;

use anyhow::{Context as _, Result};

use code::Code;
use violation::Violation;

/// Which of the files is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// `rzcore.obj`: no vector register at all.
    Core,
    /// `rzsimd.obj`: vector registers in what [`instructions::VECTOR_ENTRIES`] call.
    Simd,
    /// `ramzswap.ko` for this release.
    Module(&'a str),
}

/// Looks at a file through all gates that are for its kind.
///
/// # Errors
///
/// The file cannot be read, or is no ELF file.
pub(crate) fn check(path: &Path, kind: Kind<'_>) -> Result<Vec<Violation>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let code = Code::read(&bytes).with_context(|| format!("in {}", path.display()))?;
    let mut found = Vec::new();
    found.extend(instructions::bare_returns(&code));
    found.extend(links::builtins(&code));
    match kind {
        Kind::Core => {
            found.extend(instructions::vector_registers(&code, &[]));
            found.extend(instructions::endbr(&code));
            found.extend(links::relocations(&code, &links::RELOCATIONS));
            found.extend(links::undefined(&code));
            found.extend(frames::check(&code));
        }
        Kind::Simd => {
            found.extend(instructions::vector_registers(
                &code,
                &instructions::VECTOR_ENTRIES,
            ));
            found.extend(instructions::realigned(&code));
            found.extend(instructions::endbr(&code));
            found.extend(links::relocations(&code, &links::RELOCATIONS));
            found.extend(links::undefined(&code));
            found.extend(frames::check(&code));
        }
        Kind::Module(release) => {
            found.extend(frames::check(&code));
            found.extend(links::relocations(&code, &links::MODULE_RELOCATIONS));
            found.extend(info::check(&code, release));
        }
    }
    Ok(found)
}
