//! The load generator: a process of this program that touches memory, or reads and writes files, as it
//! is told to, and knows what it must find there.

pub(crate) mod choice;
pub(crate) mod files;
pub(crate) mod memory;
pub(crate) mod stamp;
mod work;
mod writer;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use compcache_host::proc;
use rustix::time::{ClockId, clock_gettime};

use crate::histogram::Histogram;
use crate::worker;
use work::Load;

pub(crate) use work::Reply;

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The seed of all that is random in it
    #[arg(long)]
    seed: u64,
    #[command(subcommand)]
    on: On,
}

#[derive(Debug, Subcommand)]
enum On {
    /// Touches pages of its own
    Memory(memory::MemoryArgs),
    /// Reads and writes files
    Files(files::FilesArgs),
}

/// The command of such a process; what it works on, and with what, is to be added.
pub(crate) fn command(seed: u64) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["load", "--seed", &seed.to_string()]);
    command
}

/// Does what is asked for on standard input, and replies on standard output.
pub(crate) fn run(args: &LoadArgs) -> Result<()> {
    match &args.on {
        On::Memory(memory) => serve(memory::Memory::new(memory, args.seed)?),
        On::Files(files) => serve(files::Files::new(files, args.seed)?),
    }
}

fn serve<L: Load>(mut load: L) -> Result<()> {
    worker::serve(|request: L::Request| {
        load.prepare(&request)?;
        let mut times = Histogram::new();
        let (major_faults, cpu_ns, start) = (self::major_faults()?, cpu_ns(), Instant::now());
        load.work(&request, &mut times)?;
        Ok(Reply {
            seconds: start.elapsed().as_secs_f64(),
            cpu_ns: self::cpu_ns() - cpu_ns,
            major_faults: self::major_faults()? - major_faults,
            times,
            written: load.written(),
        })
    })
}

fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Major faults of this process so far: the tenth field behind the name in `/proc/self/stat`.
fn major_faults() -> Result<u64> {
    let stat = proc::read(Path::new("/proc/self/stat"))?;
    proc::stat_fields(&stat)
        .and_then(|mut fields| proc::number(fields.nth(9)?))
        .context("no major faults in /proc/self/stat")
}
