//! `compcache run`: a program in a memory cgroup whose overflow goes to compressed swap.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use compcache_device::ParamsUpdate;
use compcache_host::printable::Printable;
use compcached::size::{Size, human};

use crate::cgroup::{Counted, Group, Parent};
use crate::child::{self, SpawnError};
use crate::env::{Places, complain, memory, warn};
use crate::error::CliError;
use crate::lease::{Lease, Sample};
use crate::signals::Signals;

/// Exit status if compcache itself failed, as env(1) and timeout(1) have it.
const FAILED: u8 = 125;
/// Exit status if the program is there and can't be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit status if there is no such program.
const NOT_FOUND: u8 = 127;

/// How often the device is asked what it holds.
const SAMPLING: Duration = Duration::from_millis(200);

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
compcache run --memory 512M -- make -j8
compcache run --memory 1G --codec zstd -- python3 train.py
compcache run --memory 25% --quiet -- qemu-system-x86_64 -m 4G -accel kvm disk.img";

/// Options of `compcache run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Memory that the program may have, page cache included: bytes, or with K, M, G, T or % (of RAM)
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Size,

    /// Size of the swap device before compression
    ///
    /// It limits how much more than --memory the program can have. Ignored, with a warning, if
    /// another `compcache run` has a device already: both share it.
    /// [default: 25% of RAM, or twice --memory if that is more]
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<Size>,

    /// Codec of the swap device: NAME or NAME:LEVEL [default: wks]
    #[arg(short, long, value_name = "CODEC")]
    codec: Option<String>,

    /// Do not print at the end what was saved
    #[arg(short, long)]
    quiet: bool,

    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

/// Runs the program and gives the exit status that stands for its end.
#[must_use]
pub(crate) fn main(args: &RunArgs, places: &Places) -> ExitCode {
    match run(args, places) {
        Ok(status) => ExitCode::from(child::exit_code(status)),
        Err(error) => {
            complain("compcache: run", &error);
            ExitCode::from(match error {
                CliError::Spawn(SpawnError::NotFound { .. }) => NOT_FOUND,
                CliError::Spawn(SpawnError::NotExecutable { .. }) => NOT_EXECUTABLE,
                _ => FAILED,
            })
        }
    }
}

fn run(args: &RunArgs, places: &Places) -> Result<ExitStatus, CliError> {
    let ram = memory()?.total;
    let limit = args.memory.resolve(ram)?;
    let params = ParamsUpdate {
        disksize: args.size.map(|size| size.exactly(ram)).transpose()?,
        codec: args.codec.clone(),
        ..Default::default()
    };
    let group = Group::create(&Parent::find()?, limit)?;
    let entrance = group.entrance()?;
    // A daemon that is started here must not inherit blocked signals, so these come after it.
    let mut lease = Lease::take(
        places,
        "compcache run",
        params,
        Some(default_size(ram, limit)),
    )?;
    let signals =
        Signals::block(&child::PASSED_ON).map_err(|e| CliError::io("cannot receive signals", e))?;

    let end = supervise(args, limit, entrance, &signals, &group, &mut lease);
    if let Ok(end) = &end {
        if !args.quiet {
            eprint!("{}", end.report());
        } else if end.usage.oom_kills > 0 {
            eprintln!("compcache: {}", end.oom_line());
        }
    }
    clean_up(group, lease);
    Ok(end?.status)
}

/// Runs the program in the group from its start to its end.
fn supervise(
    args: &RunArgs,
    limit: u64,
    entrance: File,
    signals: &Signals,
    group: &Group,
    lease: &mut Lease,
) -> Result<End, CliError> {
    let start = Instant::now();
    let child = child::spawn(&mut child::command(&args.command), Some(entrance), signals)?;
    let mut lost = None;
    let status = child::supervise(&child, signals, SAMPLING, || {
        if lost.is_none() {
            lost = lease.sample().err();
        }
    })
    .map_err(|e| CliError::io("cannot wait for the program", e))?;
    if let Some(error) = lost {
        let warning = format!("the device could not be watched to the end: {error}");
        warn("compcache", &[warning]);
    }
    Ok(End {
        program: args.command[0].to_string_lossy().into_owned(),
        status,
        took: start.elapsed(),
        limit,
        usage: group.usage(),
        written: lease.traffic().map_or(0, |(_, written)| written),
        peak: lease.peak().clone(),
        shared: lease.is_shared(),
    })
}

/// Removes the group and gives the device back. The program has ended and its exit status is what
/// counts, so only failures are reported.
fn clean_up(group: Group, lease: Lease) {
    match group.remove() {
        Ok(0) => {}
        Ok(ended) => eprintln!(
            "compcache: warning: ended {ended} process(es) that the program had left running"
        ),
        Err(error) => warn("compcache", &[error]),
    }
    if let Err(error) = lease.end() {
        warn("compcache", &[error]);
    }
}

/// A quarter of the RAM as in the original, or what lets a program have three times its limit.
fn default_size(ram: u64, limit: u64) -> u64 {
    let quarter = ram / 4;
    quarter.max(limit.saturating_mul(2).min(ram)) & !4095
}

/// How a run ended.
struct End {
    program: String,
    status: ExitStatus,
    took: Duration,
    limit: u64,
    usage: Counted,
    /// Pages that were written to the device.
    written: u64,
    peak: Sample,
    /// Other programs have used the device, too.
    shared: bool,
}

impl End {
    fn report(&self) -> String {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("killed by {}", child::signal_name(signal.unwrap_or(0))),
        };
        let mut lines = vec![format!(
            "{}: {how} after {:.1} s",
            Printable(&self.program),
            self.took.as_secs_f64()
        )];
        if self.usage.oom_kills > 0 {
            lines.push(self.oom_line());
        }
        let memory = self.usage.memory_peak.map_or_else(|| "?".to_owned(), human);
        // What the kernel counts for the program: the device sees nothing of what zswap has taken.
        let swap_peak = self.usage.swap_peak.filter(|swap| *swap > 0);
        let zswapped = self.usage.zswapped.filter(|bytes| *bytes > 0);
        let swap =
            swap_peak.map_or_else(String::new, |swap| format!(" and {} of swap", human(swap)));
        let zswap = zswapped.map_or_else(String::new, |bytes| {
            format!(", {} went to zswap, in front of the device", human(bytes))
        });
        let used = format!(
            "memory: at most {memory} of {} used{swap}",
            human(self.limit)
        );
        if self.written == 0 {
            lines.push(match (swap_peak, zswapped) {
                (None, None) => format!("{used}, nothing was swapped"),
                _ => format!("{used}; nothing was written to the device{zswap}"),
            });
        } else {
            let written = human(self.written * 4096);
            lines.push(if self.shared {
                format!("{used}{zswap}")
            } else {
                format!("{used}; {written} swapped out in all{zswap}")
            });
            if let Some(ratio) = self.peak.ratio() {
                let device = if self.shared {
                    format!("device, shared with other programs: {written} swapped out in all;")
                } else {
                    "device:".to_owned()
                };
                lines.push(format!(
                    "{device} at most {} of pages, compressed to {} (ratio {ratio:.2}), in {} of \
                     memory: {}",
                    human(self.peak.original()),
                    human(self.peak.compressed),
                    human(self.peak.memory),
                    self.saved(),
                ));
            }
        }
        lines
            .iter()
            .map(|line| format!("compcache: {line}\n"))
            .collect()
    }

    /// How much larger the program's swap was than the memory that it took on the device, which also holds
    /// copies of pages that are back in memory. A lower bound in cgroup version 1. Of a device that was shared,
    /// the program's part is that of its swap.
    fn saved(&self) -> String {
        let (original, memory) = (self.peak.original(), self.peak.memory);
        match self.usage.swap_peak {
            Some(swap) if self.shared && swap < original => {
                let part = u128::from(memory) * u128::from(swap) / u128::from(original);
                let part = u64::try_from(part).unwrap_or(memory);
                format!(
                    "about {} saved for {}",
                    human(swap.saturating_sub(part)),
                    self.program
                )
            }
            None if self.shared => format!(
                "{} saved for all of them",
                human(original.saturating_sub(memory))
            ),
            swap => format!(
                "{} saved",
                human(swap.unwrap_or(original).saturating_sub(memory))
            ),
        }
    }

    fn oom_line(&self) -> String {
        let killed = format!(
            "out of memory: the kernel killed {} of its processes",
            self.usage.oom_kills
        );
        if self.usage.ooms == Some(0) {
            return format!(
                "{killed}, since the machine, or a cgroup above, had none left: add swap, or run less at once"
            );
        }
        let limit = human(self.limit);
        match self.usage.swap_peak {
            Some(swap) if swap > 0 => format!(
                "{killed}, since its memory ({limit}) was full and no more than {} of it could be swapped \
                 out; give it more with --memory, or the device with --size",
                human(swap)
            ),
            Some(_) => format!(
                "{killed}, since its memory ({limit}) was full and nothing of it could be swapped out; give \
                 it more with --memory"
            ),
            None => format!(
                "{killed}, since its memory ({limit}) was full and no more of it could be swapped out; give \
                 it more with --memory, or the device with --size"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn end(raw_status: i32) -> End {
        End {
            program: "make".into(),
            status: ExitStatus::from_raw(raw_status),
            took: Duration::from_millis(12_340),
            limit: 128 * MIB,
            usage: Counted {
                memory_peak: Some(128 * MIB),
                swap_peak: Some(64 * MIB),
                ..Counted::default()
            },
            written: 25_600,
            peak: Sample {
                pages: 16_384,
                compressed: 16 * MIB,
                memory: 17 * MIB,
            },
            shared: false,
        }
    }

    #[test]
    fn report_of_a_run_that_swapped() {
        assert_eq!(
            end(3 << 8).report(),
            "compcache: make: exit status 3 after 12.3 s\n\
             compcache: memory: at most 128M of 128M used and 64M of swap; 100M swapped out in all\n\
             compcache: device: at most 64M of pages, compressed to 16M (ratio 4.00), in 17M of \
             memory: 47M saved\n"
        );
    }

    #[test]
    fn report_of_a_run_that_shared_its_device() {
        let mut end = end(0);
        end.shared = true;
        end.peak = Sample {
            pages: 65_536,
            compressed: 64 * MIB,
            memory: 68 * MIB,
        };
        assert_eq!(
            end.report(),
            "compcache: make: exit status 0 after 12.3 s\n\
             compcache: memory: at most 128M of 128M used and 64M of swap\n\
             compcache: device, shared with other programs: 100M swapped out in all; at most 256M of \
             pages, compressed to 64M (ratio 4.00), in 68M of memory: about 47M saved for make\n"
        );
        end.usage.swap_peak = None;
        assert!(end.report().ends_with(": 188M saved for all of them\n"));
    }

    #[test]
    fn report_of_a_run_that_was_killed_without_swapping() {
        let mut end = end(9);
        end.written = 0;
        end.usage.swap_peak = Some(0);
        end.usage.oom_kills = 1;
        assert_eq!(
            end.report(),
            "compcache: make: killed by SIGKILL after 12.3 s\n\
             compcache: out of memory: the kernel killed 1 of its processes, since its memory \
             (128M) was full and nothing of it could be swapped out; give it more with --memory\n\
             compcache: memory: at most 128M of 128M used, nothing was swapped\n"
        );
    }

    #[test]
    fn what_was_full_when_a_program_was_killed() {
        let mut end = end(9);
        end.usage.oom_kills = 2;
        let line = "out of memory: the kernel killed 2 of its processes, since ";
        end.usage.ooms = Some(1);
        let limit = format!(
            "{line}its memory (128M) was full and no more than 64M of it could be swapped out; give it more \
             with --memory, or the device with --size"
        );
        assert_eq!(end.oom_line(), limit);
        // Its limit was not reached.
        end.usage.ooms = Some(0);
        let machine = format!(
            "{line}the machine, or a cgroup above, had none left: add swap, or run less at once"
        );
        assert_eq!(end.oom_line(), machine);
    }

    #[test]
    fn report_of_a_run_whose_pages_zswap_took() {
        let line = |end: &End| end.report().lines().nth(1).map(str::to_owned);
        let mut end = end(0);
        end.usage.zswapped = Some(90 * MIB);
        assert_eq!(
            line(&end).unwrap(),
            "compcache: memory: at most 128M of 128M used and 64M of swap; 100M swapped out in all, \
             90M went to zswap, in front of the device"
        );
        end.written = 0;
        assert_eq!(
            line(&end).unwrap(),
            "compcache: memory: at most 128M of 128M used and 64M of swap; nothing was written to the \
             device, 90M went to zswap, in front of the device"
        );
        end.usage.zswapped = None;
        assert!(
            line(&end)
                .unwrap()
                .ends_with("nothing was written to the device")
        );
    }

    #[test]
    fn default_sizes() {
        assert_eq!(default_size(16 << 30, 512 * MIB), 4 << 30);
        assert_eq!(default_size(1 << 30, 256 * MIB), 512 * MIB);
        assert_eq!(default_size(1 << 30, 900 * MIB), 1 << 30);
    }
}
