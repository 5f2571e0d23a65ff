//! `cargo xtask kernel check`: the gates, on the objects and on each module.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::gates::{self, Kind};
use super::objects::Objects;
use crate::debian::Release;

/// Prints what the gates find; the status says whether they found nothing.
///
/// # Errors
///
/// A file cannot be read.
pub(super) fn run(objects: &Objects, modules: &[(Release, PathBuf)]) -> Result<ExitCode> {
    let mut count = one(&objects.core, Kind::Core)? + one(&objects.simd, Kind::Simd)?;
    for (release, module) in modules {
        count += one(module, Kind::Module(&release.name))?;
    }
    println!("{} files checked, {count} violations", modules.len() + 2);
    Ok(if count == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn one(path: &Path, kind: Kind<'_>) -> Result<usize> {
    let violations = gates::check(path, kind)?;
    for violation in &violations {
        let name = path.display();
        println!(
            "{name}: {}: {} {}",
            violation.gate, violation.place, violation.what
        );
    }
    Ok(violations.len())
}
