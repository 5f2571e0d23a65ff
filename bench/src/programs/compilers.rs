//! Compilers: each is stopped in the middle of a large file.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use compcache_engine::Page;
use compcache_host::proc;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::scripts;
use crate::process::Running;
use crate::{capture, interrupt};

/// How much memory a compiler has written when it is stopped, MiB.
const MIB: u64 = 64;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The pages of gcc's compiler proper for C.
pub(super) fn gcc(most: usize) -> Result<Vec<Page>> {
    compiler_proper("cc1", "large.c", &scripts::large_c(), most)
}

/// The pages of gcc's compiler proper for C++.
pub(super) fn gxx(most: usize) -> Result<Vec<Page>> {
    compiler_proper("cc1plus", "large.cc", &scripts::large_cpp(), most)
}

fn compiler_proper(program: &str, file: &str, text: &str, most: usize) -> Result<Vec<Page>> {
    let found = Command::new("gcc")
        .arg(format!("-print-prog-name={program}"))
        .output();
    let program = String::from_utf8(found.context("no gcc")?.stdout)?;
    let mut command = Command::new(program.trim());
    command.args(["-quiet", "-O2", "-o", "large.s"]);
    stopped(&mut command, file, text, most)
}

pub(super) fn rustc(most: usize) -> Result<Vec<Page>> {
    let mut command = Command::new("rustc");
    command.args(["--edition", "2021", "--crate-type", "lib", "-O"]);
    stopped(&mut command, "large.rs", &scripts::large_rust(), most)
}

/// The pages of a compiler of a file, in a directory of its own, once it has written [`MIB`] of
/// memory.
fn stopped(command: &mut Command, file: &str, text: &str, most: usize) -> Result<Vec<Page>> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join(file), text)?;
    command
        .arg(file)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut program = Running::start(command)?;
    let pid = Pid::from_child(&program.0);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    while !interrupt::wait(Some(ended.as_fd()), Some(LOOK_EVERY))? {
        if written_mib(program.0.id())? >= MIB {
            kill_process(pid, Signal::STOP)?;
            return capture::of_process(program.0.id(), most);
        }
    }
    let status = program.0.wait()?;
    bail!("it ended ({status}) before it had written {MIB} MiB")
}

/// Memory of a process that is no file's, in MiB.
fn written_mib(pid: u32) -> Result<u64> {
    let status = proc::read(Path::new(&format!("/proc/{pid}/status")))?;
    // One that is on its way out has no memory any more.
    Ok(proc::value(&status, "RssAnon").unwrap_or(0) >> 10)
}
