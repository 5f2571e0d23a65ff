//! `compcache mount`.

pub(crate) mod helper;
mod options;

use std::path::{Path, PathBuf};

use compcache_host::printable::Printable;
use compcached::ClientError;
use compcached::mounts::paths;
use compcached::protocol::{MountSettings, MountSpec, Request, Response};
use compcached::size::human;
use compcached::types::MountStatus;

use crate::env::{Places, print, warn};
use crate::error::CliError;
use crate::progress;
use crate::status::{mounts, print_json};
use options::Options;

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
compcache mount /mnt/nas /mnt/fast
compcache mount --cache 25% --codec zstd:1 --write-back /srv/data /mnt/data
compcache mount --ram --size 4G /mnt/build
compcache mount";

/// Options of `compcache mount`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "compcache mount [OPTIONS] SOURCE MOUNTPOINT\n       \
                            compcache mount [OPTIONS] --ram --size SIZE MOUNTPOINT\n       \
                            compcache mount [--json]"
)]
pub(crate) struct MountArgs {
    /// The directory to show (not with --ram), then the directory to mount it at; neither: list
    /// the mounts
    #[arg(value_name = "PATH", num_args = 0..=2)]
    paths: Vec<PathBuf>,

    /// Keep files in compressed memory only, like a compressed tmpfs; they are gone when it is
    /// unmounted
    #[arg(long, requires = "paths",
          conflicts_with_all = ["write_back", "write_through", "strict", "revalidate",
                                "give_up_after"])]
    ram: bool,

    #[command(flatten)]
    settings: MountSettings,

    /// Allow no other user, not even root if the mount is not root's
    #[arg(long, requires = "paths")]
    no_allow_other: bool,

    /// Write to SOURCE before a write returns; this is the default
    #[arg(long, requires = "paths")]
    write_through: bool,

    /// Options as in /etc/fstab, with commas between them: ro, nosuid, nodev, noexec, noatime,
    /// and all of the above, as in cache=1G; see mount.compcache(8)
    #[arg(short = 'o', value_name = "OPTIONS", requires = "paths")]
    options: Vec<Options>,

    /// List the mounts as JSON; its keys are described in compcache-status(1)
    #[arg(short, long, conflicts_with = "paths")]
    json: bool,
}

impl MountArgs {
    /// What they set; options of their own win over those after `-o`.
    fn settings(&self) -> MountSettings {
        let mut options = Options::default();
        for more in &self.options {
            options.extend(more.clone());
        }
        let off = MountSettings {
            write_back: self.write_through.then_some(false),
            allow_other: self.no_allow_other.then_some(false),
            ..MountSettings::default()
        };
        self.settings.clone().or(off).or(options.settings())
    }
}

/// Mounts, or lists the mounts.
///
/// # Errors
/// Paths that can't be used, and those of the daemon.
pub(crate) fn main(args: &MountArgs, places: &Places) -> Result<(), CliError> {
    let (source, mountpoint) = match args.paths.as_slice() {
        [] => return list(args.json, places),
        [mountpoint] if args.ram => (None, mountpoint),
        [source, mountpoint] if !args.ram => (Some(source.as_path()), mountpoint),
        [_] => return Err(usage("a MOUNTPOINT is missing behind SOURCE")),
        _ => {
            return Err(usage(
                "with --ram there is no SOURCE: give a MOUNTPOINT only",
            ));
        }
    };
    let settings = args.settings();
    if args.ram && settings.size.is_none() {
        return Err(usage("--ram needs --size, for example --size 1G"));
    }
    let (mount, warnings) = mount(settings, source, mountpoint, places)?;
    warn("compcache", &warnings);
    print(&report(&mount))
}

/// Has the daemon make a mount; starts one if none is running.
///
/// # Errors
/// Paths that can't be used, and those of the daemon.
fn mount(
    settings: MountSettings,
    source: Option<&Path>,
    mountpoint: &Path,
    places: &Places,
) -> Result<(MountStatus, Vec<String>), CliError> {
    let (source, mountpoint) = paths::resolve(source, mountpoint)?;
    let text = mountpoint.display().to_string();
    let spec = MountSpec {
        source,
        mountpoint,
        settings,
    };
    let mut client = places.connect_or_spawn_as_user()?;
    let request = move || client.request(&Request::Mount { spec });
    match progress::wait(request, || Some(format!("mounting {text}")))?? {
        Response::Mounted { mount, warnings } => Ok((mount, warnings)),
        _ => Err(CliError::Answer),
    }
}

fn report(mount: &MountStatus) -> String {
    let what = if mount.source.is_empty() {
        "files in memory".to_owned()
    } else {
        format!("shows {}", Printable(&mount.source))
    };
    format!(
        "{}: {what}; cache of {}, {}, {}\n",
        Printable(&mount.mountpoint),
        human(mount.limit),
        mount.codec,
        mounts::write_policy(mount)
    )
}

fn list(json: bool, places: &Places) -> Result<(), CliError> {
    let mounts = match places.connect_now() {
        Ok(mut client) => match client.request(&Request::Mounts)? {
            Response::Mounts { mounts, .. } => mounts,
            _ => return Err(CliError::Answer),
        },
        // If no daemon runs there are no mounts.
        Err(CliError::Client(ClientError::NoDaemon(_))) => Vec::new(),
        Err(error) => return Err(error),
    };
    match (json, mounts.is_empty()) {
        (true, _) => print_json(&serde_json::json!({ "mounts": mounts })),
        (false, true) => print("nothing is mounted\n"),
        (false, false) => print(&mounts::rows(&mounts)),
    }
}

fn usage(message: &str) -> CliError {
    CliError::Usage(format!("{message}; for more, try `compcache mount --help`"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use compcached::size::Size;
    use compcached::types::Writes;

    use super::*;

    #[test]
    fn names_of_mounts_are_printable() {
        let mount = MountStatus {
            source: "/a\x1b[2J".into(),
            mountpoint: "/b\nc".into(),
            ..MountStatus::default()
        };
        for text in [report(&mount), mounts::details(&mount)] {
            assert!(
                text.contains("/b\\x0ac") && text.contains("/a\\x1b[2J"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_report_says_what_was_mounted() {
        let mut mount = MountStatus {
            source: "/a".into(),
            mountpoint: "/b".into(),
            write: Writes::Back,
            codec: "lz4".into(),
            limit: 1 << 30,
            ..MountStatus::default()
        };
        let expected = "/b: shows /a; cache of 1G, lz4, write-back\n";
        assert_eq!(report(&mount), expected);
        mount.source.clear();
        mount.write = Writes::Ram;
        assert_eq!(
            report(&mount),
            "/b: files in memory; cache of 1G, lz4, ram\n"
        );
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        mount: MountArgs,
    }

    fn settings(line: &str) -> MountSettings {
        let words = ["mount", "/source", "/mountpoint"].into_iter();
        let cli = Cli::try_parse_from(words.chain(line.split_whitespace()));
        cli.unwrap_or_else(|e| panic!("{line}: {e}"))
            .mount
            .settings()
    }

    #[test]
    fn the_command_line_wins() {
        let of_list = "-o cache=1G,write-back,allow-other,ro";
        let list = settings(of_list);
        assert_eq!(list.cache, Some(Size::Bytes(1 << 30)));
        assert_eq!(
            (list.write_back, list.allow_other),
            (Some(true), Some(true))
        );
        let both = settings(&format!(
            "{of_list} --cache 10% --write-through --no-allow-other"
        ));
        let expected = MountSettings {
            cache: Some(Size::Percent(10)),
            write_back: Some(false),
            allow_other: Some(false),
            ..list
        };
        assert_eq!(both, expected);
    }

    #[test]
    fn switches_take_no_value_and_say_nothing_if_they_are_not_there() {
        assert_eq!(settings(""), MountSettings::default());
        let set = settings("--write-back --strict --allow-other");
        let expected = MountSettings {
            write_back: Some(true),
            strict: Some(true),
            allow_other: Some(true),
            ..MountSettings::default()
        };
        assert_eq!(set, expected);
        for line in [
            "--strict=true",
            "--write-back=no",
            "--write-back --write-through",
        ] {
            assert!(
                Cli::try_parse_from(["mount", "/s", "/m"].into_iter().chain(line.split(' ')))
                    .is_err(),
                "{line}"
            );
        }
    }
}
