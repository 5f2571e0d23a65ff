//! `mount.compcache`: how mount(8), /etc/fstab and systemd mount.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use compcached::ClientError;
use compcached::protocol::ErrorCode;

use super::options::{OptionError, Options};
use crate::env::{Places, complain, warn};
use crate::error::CliError;

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
mount -t compcache /mnt/nas /mnt/fast -o cache=1G,codec=zstd:1
mount -t compcache ram /mnt/build -o size=4G
mount.compcache /srv/data /mnt/data -o write-back,nosuid";

/// The file names under which this program is the helper: of the types `compcache` and
/// `fuse.compcache`.
const NAMES: [&str; 2] = ["mount.compcache", "mount.fuse.compcache"];
/// Sources that are none: files in memory.
const RAM: [&str; 2] = ["ram", "none"];

/// Exit statuses of mount(8).
const USAGE: u8 = 1;
const SYSTEM: u8 = 2;
const FAILURE: u8 = 32;

/// Mounts a directory with a compressed page cache, for mount(8)
///
/// mount(8) calls this program for file systems of the types compcache and fuse.compcache, by
/// hand, from /etc/fstab or from a systemd unit. It asks the daemon, and starts one if none
/// runs.
#[derive(Debug, Parser)]
#[command(name = "mount.compcache", version, after_help = crate::examples(EXAMPLES))]
struct Args {
    /// The directory to show, or `ram` for files in compressed memory, which needs -o size=SIZE
    #[arg(value_name = "SOURCE")]
    source: PathBuf,

    /// Where to mount it
    #[arg(value_name = "MOUNTPOINT")]
    mountpoint: PathBuf,

    /// Options with commas between them
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,

    /// Pass over options that are not known
    #[arg(short = 's')]
    sloppy: bool,

    /// Check everything, but do not mount
    #[arg(short = 'f')]
    fake: bool,

    /// Do not write to /etc/mtab, which is never done
    #[arg(short = 'n')]
    no_mtab: bool,

    /// Say what was done
    #[arg(short = 'v')]
    verbose: bool,

    /// Mount in another namespace, which is refused: the daemon can't
    #[arg(short = 'N', value_name = "NAMESPACE")]
    namespace: Option<PathBuf>,

    /// Type of the file system: compcache or fuse.compcache
    #[arg(short = 't', value_name = "TYPE")]
    kind: Option<String>,
}

/// Why nothing was mounted.
#[derive(Debug, thiserror::Error)]
enum HelperError {
    #[error(transparent)]
    Option(#[from] OptionError),
    #[error("type {0} is not ours: give compcache or fuse.compcache")]
    Type(String),
    #[error(
        "the namespace {} cannot be mounted in: the daemon lives in its own; run this program in \
         that namespace (nsenter) with a daemon there", .0.display()
    )]
    Namespace(PathBuf),
    #[error("source {0} is for files in memory, which need a size: add the option size=SIZE")]
    NoSize(String),
    #[error("size= is for files in memory: give `ram` in place of {}, or cache= instead", .0.display())]
    Size(PathBuf),
    #[error(transparent)]
    Cli(#[from] CliError),
}

/// Whether a program that was started by this name is the helper.
pub(crate) fn is_helper(program: Option<&OsStr>) -> bool {
    program
        .map(Path::new)
        .and_then(Path::file_name)
        .is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// The command line, from which the man page is made.
pub(crate) fn command() -> clap::Command {
    Args::command()
}

/// The program `mount.compcache`.
pub(crate) fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => {
            // If standard error is closed, nobody can read it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let program = "mount.compcache";
            let mountpoint = args.mountpoint.display();
            complain(program, &format_args!("{mountpoint}: {error}"));
            ExitCode::from(error.status())
        }
    }
}

fn run(args: &Args) -> Result<(), HelperError> {
    if let Some(kind) = args.kind.as_ref().filter(|kind| {
        !NAMES
            .iter()
            .any(|name| name.strip_prefix("mount.") == Some(kind))
    }) {
        return Err(HelperError::Type(kind.clone()));
    }
    if let Some(namespace) = &args.namespace {
        return Err(HelperError::Namespace(namespace.clone()));
    }
    let options = options(&args.options.join(","), args.sloppy)?;
    let source = source(&args.source, &options)?;
    if args.fake {
        compcached::mounts::paths::check(source, &args.mountpoint).map_err(CliError::from)?;
        return Ok(());
    }
    let places = Places::new(None, None).of_user();
    let (mount, warnings) = super::mount(options.settings(), source, &args.mountpoint, &places)?;
    warn("mount.compcache", &warnings);
    if args.verbose {
        print!("{}", super::report(&mount));
    }
    Ok(())
}

fn options(list: &str, sloppy: bool) -> Result<Options, OptionError> {
    if !sloppy {
        return list.parse();
    }
    let (options, unknown) = Options::tolerant(list)?;
    for option in unknown {
        let warning = format!("option {option} is unknown and ignored");
        warn("mount.compcache", &[warning]);
    }
    Ok(options)
}

/// The directory to show; `None` for files in memory.
fn source<'a>(source: &'a Path, options: &Options) -> Result<Option<&'a Path>, HelperError> {
    let ram = RAM.iter().find(|name| source == Path::new(name));
    match (ram, options.has_size()) {
        (Some(_), true) => Ok(None),
        (Some(name), false) => Err(HelperError::NoSize((*name).to_owned())),
        (None, true) => Err(HelperError::Size(source.to_owned())),
        (None, false) => Ok(Some(source)),
    }
}

impl HelperError {
    /// The exit status, as mount(8) has them.
    fn status(&self) -> u8 {
        match self {
            HelperError::Cli(CliError::Client(error)) => match error {
                ClientError::NotAllowed(_) => USAGE,
                ClientError::Refused(refusal) => match refusal.code {
                    ErrorCode::Eperm => USAGE,
                    ErrorCode::Enomem => SYSTEM,
                    _ => FAILURE,
                },
                _ => SYSTEM,
            },
            HelperError::Cli(_) => FAILURE,
            _ => USAGE,
        }
    }
}

#[cfg(test)]
mod tests {
    use compcached::protocol::Refusal;

    use super::*;

    #[test]
    fn the_helper_is_known_by_its_name() {
        for name in ["/sbin/mount.compcache", "mount.fuse.compcache"] {
            assert!(is_helper(Some(OsStr::new(name))), "{name}");
        }
        for name in ["/usr/bin/compcache", "/proc/self/exe", "mount", ""] {
            assert!(!is_helper(Some(OsStr::new(name))), "{name}");
        }
        assert!(!is_helper(None));
    }

    #[test]
    fn the_calling_convention_of_mount() {
        command().debug_assert();
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).unwrap();
        let args = parse("mount.compcache /a /b -sfnv -o rw,cache=1G -t fuse.compcache");
        assert!(args.sloppy && args.fake && args.no_mtab && args.verbose);
        assert_eq!(args.options, ["rw,cache=1G"]);
        let args = parse("mount.compcache /a /b -n -o rw -N /proc/7/ns/mnt");
        assert!(matches!(run(&args), Err(HelperError::Namespace(_))));
        let args = parse("mount.compcache /a /b -t ext4");
        assert!(matches!(run(&args), Err(HelperError::Type(_))));
    }

    #[test]
    fn files_in_memory_need_a_size_and_directories_take_none() {
        let with: Options = "size=1G".parse().unwrap();
        let without = Options::default();
        for name in RAM {
            assert!(source(Path::new(name), &with).unwrap().is_none());
            assert!(source(Path::new(name), &without).is_err());
        }
        let path = Path::new("/a");
        assert_eq!(source(path, &without).unwrap(), Some(path));
        assert!(source(path, &with).is_err());
    }

    #[test]
    fn exit_statuses_are_those_of_mount() {
        let refused = |code| {
            let refusal = Refusal::new(code, "no");
            HelperError::Cli(CliError::Client(refusal.into())).status()
        };
        assert_eq!(refused(ErrorCode::Eperm), 1);
        assert_eq!(refused(ErrorCode::Enomem), 2);
        assert_eq!(refused(ErrorCode::Ebusy), 32);
        assert_eq!(HelperError::Type("ext4".into()).status(), 1);
        assert_eq!(HelperError::Cli(CliError::Answer).status(), 32);
    }
}
