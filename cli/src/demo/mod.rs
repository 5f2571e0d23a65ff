//! `compcache demo`: shows on the user's machine what compressed swap does, and leaves no trace.

mod program;
mod screen;
mod summary;

use std::fs::File;
use std::process::ExitCode;

use compcache_device::ParamsUpdate;
use compcache_host::meminfo::Memory;
use compcached::size::{Size, human};

use crate::cgroup::{CgroupError, Group, Parent};
use crate::child;
use crate::env::{Places, memory, print, warn};
use crate::error::CliError;
use crate::lease::Lease;
use crate::signals::Signals;
use program::Ended;
use screen::Screen;
use summary::Summary;

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
compcache demo
compcache demo --size 2G --codec zstd
compcache demo --size 1G --limit 256M";

/// Memory of the program if the user does not say.
pub(crate) const DEFAULT_SIZE: u64 = 512 << 20;
/// The smallest program: one that is not lost in what a process needs anyway.
const MIN_SIZE: u64 = 32 << 20;
/// The smallest limit, for the same reason.
const MIN_LIMIT: u64 = 8 << 20;
/// What the program's content is made from.
const SEED: u64 = 2006;

/// Signals that end the demo, and SIGCHLD.
const SIGNALS: [i32; 5] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGCHLD,
];

/// Options of `compcache demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Memory that the program needs: bytes, or with K, M, G, T or % (of RAM), from 32M on
    /// [default: 512M, or half of the available memory if that is less]
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<Size>,

    /// Memory that it gets, from 8M on [default: half of --size]
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    limit: Option<Size>,

    /// Codec of the swap device: NAME or NAME:LEVEL [default: wks]
    #[arg(short, long, value_name = "CODEC")]
    codec: Option<String>,
}

/// How large things are, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Memory that the program needs.
    size: u64,
    /// Memory that it gets.
    limit: u64,
}

impl Plan {
    fn new(args: &DemoArgs, memory: Memory) -> Result<Self, CliError> {
        let size = match args.size {
            Some(size) => size.resolve(memory.total)?,
            None => DEFAULT_SIZE.min(memory.available / 2) & !4095,
        };
        let limit = match args.limit {
            Some(limit) => limit.resolve(memory.total)?,
            None => (size / 2) & !4095,
        };
        let refuse = |text: String| Err(CliError::Failed(text));
        let named =
            |given: Option<Size>, bytes| given.map_or_else(|| human(bytes), Size::with_unit);
        let (size_named, limit_named) = (named(args.size, size), named(args.limit, limit));
        if size < MIN_SIZE {
            return refuse(format!(
                "a program of {size_named} is too small to show anything: give --size of at least {}",
                human(MIN_SIZE)
            ));
        }
        if size > memory.available / 10 * 9 {
            return refuse(format!(
                "a program of {size_named} does not fit into the {} of memory that are available, \
                 and the demo runs it once without limit: give a smaller --size",
                human(memory.available)
            ));
        }
        if limit < MIN_LIMIT || limit >= size {
            return refuse(format!(
                "a limit of {limit_named} can't be used: give --limit from {} up to less than the \
                 program's size of {size_named}",
                human(MIN_LIMIT)
            ));
        }
        Ok(Plan { size, limit })
    }

    /// The device's size: what does not fit into the limit, and a quarter more.
    ///
    /// The kernel keeps the slot of a page that was swapped in for as long as less than half of
    /// all swap is used (`vm_swap_full` in mm/swap.h): on a large device those clean copies would
    /// take the memory that compression saves.
    fn device(self) -> u64 {
        ((self.size - self.limit) / 4 * 5 + (8 << 20)) & !4095
    }
}

/// Why the demo ended before its summary.
enum Stopped {
    Error(CliError),
    /// By a signal.
    Interrupted(i32),
}

impl From<CliError> for Stopped {
    fn from(error: CliError) -> Self {
        Stopped::Error(error)
    }
}

impl From<CgroupError> for Stopped {
    fn from(error: CgroupError) -> Self {
        Stopped::Error(error.into())
    }
}

/// Runs the demo. The exit status is 0 when every page was verified, 1 on failures and 128 + n
/// when stopped by signal n.
///
/// # Errors
/// No root, no cgroup, a daemon that refuses, a page that came back wrong.
pub(crate) fn main(args: &DemoArgs, places: &Places) -> Result<ExitCode, CliError> {
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::NotRoot("compcache demo"));
    }
    let plan = Plan::new(args, memory()?)?;
    let params = ParamsUpdate {
        disksize: Some(plan.device()),
        codec: args.codec.clone(),
        ..Default::default()
    };
    let parent = Parent::find()?;
    // The daemon must not inherit blocked signals, so these come after it. It comes before the
    // first run, so that whatever it refuses is known at once.
    let lease = Lease::take(places, "compcache demo", params, None)?;
    let signals =
        Signals::block(&SIGNALS).map_err(|e| CliError::io("cannot receive signals", e))?;
    let mut demo = Demo {
        plan,
        screen: Screen::new(),
        signals,
        lease,
    };
    let result = demo.run(&parent);
    let ended = demo.lease.end();
    match result {
        Ok(summary) => {
            print(&summary.to_string())?;
            ended?;
            Ok(ExitCode::SUCCESS)
        }
        Err(stopped) => {
            if let Err(error) = ended {
                warn("compcache", &[error]);
            }
            match stopped {
                Stopped::Error(error) => Err(error),
                Stopped::Interrupted(signal) => {
                    eprintln!("compcache: demo: stopped by {}", child::signal_name(signal));
                    Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)))
                }
            }
        }
    }
}

/// What both runs of the program share.
struct Demo {
    plan: Plan,
    screen: Screen,
    signals: Signals,
    lease: Lease,
}

impl Demo {
    fn run(&mut self, parent: &Parent) -> Result<Summary, Stopped> {
        let Plan { size, limit } = self.plan;
        self.screen.start(&format!(
            "A program that needs {}, with enough memory:",
            human(size)
        ));
        let (_, enough) = self.program(None, None)?;

        self.screen.start(&format!(
            "The same with {} of memory, the rest on {}:",
            human(limit),
            self.lease.node().display()
        ));
        let group = Group::create(parent, limit)?;
        let (read_before, written_before) = self.lease.traffic()?;
        let result = self.program(Some(group.entrance()?), Some(&group));
        let usage = group.usage();
        let removed = group.remove();
        let (pages, limited) = result.map_err(|stopped| explain_oom(stopped, usage.oom_kills))?;
        removed?;
        let (read, written) = self.lease.traffic()?;
        Ok(Summary {
            size,
            limit,
            pages,
            enough,
            limited,
            usage,
            peak: self.lease.peak().clone(),
            read: read - read_before,
            written: written - written_before,
        })
    }

    /// Runs the program to its end. Gives the pages it verified and the seconds it took.
    fn program(
        &mut self,
        entrance: Option<File>,
        group: Option<&Group>,
    ) -> Result<(u64, f64), Stopped> {
        let Demo {
            plan,
            screen,
            signals,
            lease,
        } = self;
        let mut lost = None;
        let ended = program::run(plan.size, SEED, entrance, signals, &mut |report| {
            screen.progress(report);
            let Some(group) = group else { return };
            match lease.sample() {
                Ok(sample) => screen.device(&sample, group.usage().memory, plan.size - plan.limit),
                Err(error) => lost = Some(error),
            }
        });
        screen.finish();
        let ended = ended?;
        if let Some(error) = lost {
            return Err(error.into());
        }
        match ended {
            Ended::Verified { pages, seconds } => match signals.last() {
                Ok(None) => Ok((pages, seconds)),
                // The program was through before the signal reached it.
                Ok(Some(signal)) => Err(Stopped::Interrupted(signal)),
                Err(error) => Err(CliError::io("cannot receive signals", error).into()),
            },
            Ended::Bad { page } => Err(CliError::Failed(format!(
                "page {page} came back from swap with wrong content: please report this with the \
                 output of `compcache status --verbose` and the daemon's log"
            ))
            .into()),
            Ended::Interrupted(signal) => Err(Stopped::Interrupted(signal)),
            Ended::Died(how) => {
                Err(CliError::Failed(format!("the program ended early: {how}")).into())
            }
        }
    }
}

/// Adds to a failure that the kernel killed the program for lack of memory.
fn explain_oom(stopped: Stopped, oom_kills: u64) -> Stopped {
    match stopped {
        Stopped::Error(error) if oom_kills > 0 => Stopped::Error(CliError::Failed(format!(
            "{error}: the kernel killed it for lack of memory; try a larger --limit"
        ))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn plan(size: Option<&str>, limit: Option<&str>, available: u64) -> Result<Plan, String> {
        let parse = |text: &str| text.parse().unwrap();
        let args = DemoArgs {
            size: size.map(parse),
            limit: limit.map(parse),
            codec: None,
        };
        let memory = Memory {
            total: 8192 * MIB,
            available: available * MIB,
        };
        Plan::new(&args, memory).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_fit_the_machine() {
        assert_eq!(
            plan(None, None, 4096),
            Ok(Plan {
                size: 512 * MIB,
                limit: 256 * MIB
            })
        );
        assert_eq!(
            plan(None, None, 400),
            Ok(Plan {
                size: 200 * MIB,
                limit: 100 * MIB
            })
        );
        let chosen = plan(Some("1G"), Some("100M"), 4096);
        assert_eq!(
            chosen,
            Ok(Plan {
                size: 1024 * MIB,
                limit: 100 * MIB
            })
        );
    }

    #[test]
    fn sizes_that_show_nothing_are_refused() {
        let error = |size, limit, available| plan(size, limit, available).unwrap_err();
        assert!(error(None, None, 50).contains("25M is too small"));
        assert!(error(Some("2G"), None, 2048).contains("does not fit into the 2G"));
        assert!(error(Some("64M"), Some("64M"), 4096).contains("less than the program's size"));
        assert!(error(Some("64M"), Some("4M"), 4096).contains("from 8M"));
    }
}
