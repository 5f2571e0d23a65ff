//! The guest of the virtual machine tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::outcome::Outcome;

/// Compiles `guest/guest.c`: writes nearly all its memory, checks it twice, tells on the serial
/// port.
///
/// # Panics
/// If gcc fails.
#[must_use]
pub fn guest(directory: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let kernel = directory.join("guest.elf");
    Outcome::of(
        Command::new("gcc")
            .args(["-m32", "-O2", "-Wall", "-Wextra", "-ffreestanding"])
            .args(["-fno-pie", "-fno-stack-protector", "-mgeneral-regs-only"])
            .args(["-fno-asynchronous-unwind-tables", "-nostdlib", "-static"])
            .args(["-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-T"])
            .args([sources.join("link.ld"), "-o".into(), kernel.clone()])
            .arg(sources.join("guest.c")),
    )
    .success();
    kernel
}
