//! The Rust objects of the module: built once, for every kernel.
//!
//! The crate `kernel/core` is compiled for a machine without an operating system, and
//! `kernel/simd`, which uses vector registers, for Linux; both with the flags of the kernel's
//! code: no red zone, its code model, thunks for returns and indirect jumps, ENDBR at functions
//! whose address is taken. The standard library's `core` and `alloc` are built with them, with
//! the same flags. Of what comes out, the crate's own object is taken; compiler_builtins would
//! bring a `memcpy` of its own beside the kernel's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::debian::State;
use crate::{command, workspace};

/// The objects as the module's Kbuild takes them.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) core: PathBuf,
    pub(crate) simd: PathBuf,
}

const FLAGS: &str = "-Crelocation-model=static -Ccode-model=kernel -Cno-redzone=y \
    -Cforce-unwind-tables=n -Ctarget-cpu=x86-64 -Cjump-tables=n -Crelro-level=off -Zplt=yes \
    -Zfunction-return=thunk-extern -Zretpoline-external-thunk -Zcf-protection=branch";

/// Loops that clear or copy stay loops, of vectors: the kernel's `memset` and `memcpy` have none.
const VECTOR_FLAGS: &str = "-Ctarget-feature=+avx2,+bmi1,+bmi2,+popcnt,+lzcnt \
    -Cllvm-args=-disable-loop-idiom-memset -Cllvm-args=-disable-loop-idiom-memcpy";

/// Every access to memory calls the checker of a kernel with KASAN. Its offset is x86's
/// (`CONFIG_KASAN_SHADOW_OFFSET`).
const KASAN_FLAGS: &str = "-Zsanitizer=kernel-address -Zsanitizer-recover=kernel-address \
    -Cllvm-args=-asan-mapping-offset=0xdffffc0000000000 \
    -Cllvm-args=-asan-instrumentation-with-call-threshold=0 -Cllvm-args=-asan-stack=0 \
    -Cllvm-args=-asan-globals=0";

/// Sections of no use to the kernel.
const REMOVED: [&str; 6] = [
    ".llvmbc",
    ".llvmcmd",
    ".comment",
    ".eh_frame",
    ".rela.eh_frame",
    ".note.GNU-stack",
];

/// The version of Debian's Rust package with the sources of its standard library.
const RUST_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "libstd-rust-web-dev"];

struct Object {
    /// What it is called where it is built.
    name: &'static str,
    /// The directory beneath `kernel/`.
    part: &'static str,
    target: &'static str,
    flags: &'static str,
    /// The functions that stay visible, as a pattern; all if `None`.
    visible: Option<&'static str>,
}

const CORE: Object = Object {
    name: "core",
    part: "core",
    target: "x86_64-unknown-none",
    flags: "",
    visible: None,
};
const CORE_KASAN: Object = Object {
    name: "core-kasan",
    flags: KASAN_FLAGS,
    ..CORE
};
const SIMD: Object = Object {
    name: "simd",
    part: "simd",
    target: "x86_64-unknown-linux-gnu",
    flags: VECTOR_FLAGS,
    visible: Some("ks_*"),
};

/// Builds both.
///
/// # Errors
///
/// The compiler cannot be fetched, or the crates do not compile.
pub(crate) fn build(state: &State) -> Result<Objects> {
    let rustc = compiler(state)?;
    Ok(Objects {
        core: build_one(&CORE, &rustc)?,
        simd: build_one(&SIMD, &rustc)?,
    })
}

/// Builds both for a kernel with KASAN, which then sees the accesses of the core. The vector object
/// stays as it is: the compiler has no such checks for its target.
///
/// # Errors
///
/// As [`build`].
pub(super) fn build_for_kasan(state: &State) -> Result<Objects> {
    let rustc = compiler(state)?;
    Ok(Objects {
        core: build_one(&CORE_KASAN, &rustc)?,
        simd: build_one(&SIMD, &rustc)?,
    })
}

/// The machine's rustc if it has the sources of its standard library; else Debian's.
fn compiler(state: &State) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    let sysroot = command::output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib/src/rust/library/core")
        .exists()
    {
        return Ok(rustc);
    }
    let rustc = state.unpacked_program(12, "rustc", &RUST_PACKAGES)?;
    let script = workspace::kernel_target().join("rustc");
    let sysroot = rustc
        .parent()
        .and_then(Path::parent)
        .context("rustc is in usr/bin")?;
    let text = format!(
        "#!/bin/sh\nexec '{}' --sysroot '{}' \"$@\"\n",
        rustc.display(),
        sysroot.display()
    );
    write_script(&script, &text)?;
    Ok(script)
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // Cargo compiles all again when its compiler's time changes.
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().context("a script is in a directory")?)?;
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn build_one(object: &Object, rustc: &Path) -> Result<PathBuf> {
    let manifest = workspace::root()
        .join("kernel")
        .join(object.part)
        .join("Cargo.toml");
    let out = workspace::kernel_target().join("rust").join(object.name);
    eprintln!("building {}", manifest.display());
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--quiet", "--release", "--target", object.target])
        .arg("-Zbuild-std=core,alloc,compiler_builtins")
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&out)
        .env("RUSTC", rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false")
        .env("CARGO_ENCODED_RUSTFLAGS", encoded(&[FLAGS, object.flags]))
        .env_remove("RUSTFLAGS");
    command::run(&mut cargo)?;
    let built = out.join(object.target).join("release");
    extract(object, &archive_in(&built)?)
}

fn encoded(flags: &[&str]) -> String {
    flags
        .iter()
        .flat_map(|flags| flags.split_whitespace())
        .collect::<Vec<_>>()
        .join("\x1f")
}

/// The one static library that cargo left.
fn archive_in(directory: &Path) -> Result<PathBuf> {
    let files = directory.read_dir()?.flatten().map(|entry| entry.path());
    let archives: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|e| e == "a"))
        .collect();
    match archives.as_slice() {
        [one] => Ok(one.clone()),
        _ => bail!(
            "{} should have one static library, has {archives:?}",
            directory.display()
        ),
    }
}

/// Links the crate's own members of the static library into one object.
fn extract(object: &Object, archive: &Path) -> Result<PathBuf> {
    let name = archive.file_stem().unwrap_or_default().to_string_lossy();
    let own = format!("{}-", name.trim_start_matches("lib"));
    let members = command::output(Command::new("ar").arg("t").arg(archive))?;
    let members: Vec<&str> = members
        .lines()
        .filter(|member| member.starts_with(&own))
        .collect();
    if members.is_empty() {
        bail!("{} has no member {own}*", archive.display());
    }
    let parts = workspace::kernel_target()
        .join("rust")
        .join(format!("{}.parts", object.name));
    let _ = fs::remove_dir_all(&parts);
    fs::create_dir_all(&parts)?;
    command::output(
        Command::new("ar")
            .arg("x")
            .arg(archive)
            .args(&members)
            .current_dir(&parts),
    )?;
    command::output(
        Command::new("ld")
            .args(["-r", "-o", "all.o"])
            .args(&members)
            .current_dir(&parts),
    )?;
    let result = workspace::kernel_target()
        .join("rust")
        .join(format!("rz{}.obj", object.name));
    let mut copy = Command::new("objcopy");
    copy.current_dir(&parts);
    for section in REMOVED {
        copy.arg("-R").arg(section);
    }
    if let Some(pattern) = object.visible {
        copy.arg("-w")
            .arg(format!("--keep-global-symbol={pattern}"));
    }
    command::output(copy.arg("all.o").arg("out.o"))?;
    replace(&parts.join("out.o"), &result)?;
    Ok(result)
}

/// Puts a file in another's place if their contents differ, so that what is made from it is
/// made again only then.
fn replace(new: &Path, old: &Path) -> Result<()> {
    if fs::read(new)? != fs::read(old).unwrap_or_default() {
        fs::copy(new, old)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_passed_one_by_one() {
        assert_eq!(encoded(&["-a=1  -b", "", "-c"]), "-a=1\x1f-b\x1f-c");
    }

    #[test]
    fn only_a_single_library_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        assert!(archive_in(directory.path()).is_err());
        fs::write(directory.path().join("liba.a"), "").unwrap();
        assert!(archive_in(directory.path()).unwrap().ends_with("liba.a"));
        fs::write(directory.path().join("libb.a"), "").unwrap();
        assert!(archive_in(directory.path()).is_err());
    }

    #[test]
    fn an_equal_file_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        fs::write(&new, "a").unwrap();
        replace(&new, &old).unwrap();
        let time = fs::metadata(&old).unwrap().modified().unwrap();
        replace(&new, &old).unwrap();
        assert_eq!(fs::metadata(&old).unwrap().modified().unwrap(), time);
    }
}
