//! `compcache mount`.

pub(crate) mod helper;
mod options;

use std::path::{Path, PathBuf};

use compcache_host::printable::Printable;
use compcached::ClientError;
use compcached::mounts::paths;
use compcached::mounts::plan::{
    DEFAULT_DIRTY_AFTER, DEFAULT_GIVE_UP_AFTER, DEFAULT_REVALIDATE, DIRTY_AFTER, GIVE_UP_AFTER,
    REVALIDATE,
};
use compcached::protocol::{MountSpec, Request, Response};
use compcached::size::{Size, human};
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

    /// Size of a mount with --ram, before compression: bytes, or with K, M, G, T or % (of RAM)
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        requires = "ram"
    )]
    size: Option<Size>,

    /// Most memory for its pages: bytes, or with K, M, G, T or % (of the RAM that the daemon can
    /// have) [default: 50%]
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        requires = "paths"
    )]
    cache: Option<Size>,

    /// Codec for pages: NAME or NAME:LEVEL, for example zstd:3, lz4 (larger, but less work)
    /// [default: zstd:1]
    #[arg(short, long, value_name = "CODEC", requires = "paths")]
    codec: Option<String>,

    /// Keep writes in memory and write them out later: on fsync, on close, after --dirty-after
    /// and at --dirty-limit
    #[arg(long, requires = "paths", conflicts_with = "write_through")]
    write_back: bool,

    /// Write to SOURCE before a write returns; this is the default
    #[arg(long, requires = "paths")]
    write_through: bool,

    #[arg(
        long,
        help = format!(
            "With --write-back: write pages out after so many seconds, from {DIRTY_AFTER} \
             [default: {DEFAULT_DIRTY_AFTER}]"
        ),
        value_name = "SECONDS",
        requires = "write_back",
        allow_hyphen_values = true,
        value_parser = DIRTY_AFTER.parser::<u32>()
    )]
    dirty_after: Option<u32>,

    /// With --write-back: most bytes that are not written out yet, before compression; % are of
    /// the cache [default: 25%]
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        requires = "write_back"
    )]
    dirty_limit: Option<Size>,

    /// Check SOURCE each time a file is used, for sources that others change all the time
    #[arg(long, requires = "paths")]
    strict: bool,

    #[arg(
        long,
        help = format!(
            "Longest time in seconds for which names and attributes are used without checking \
             SOURCE, from {REVALIDATE}; it is a tenth of the time since the file last changed, but at \
             least 1 second and at most this [default: {DEFAULT_REVALIDATE}]"
        ),
        value_name = "SECONDS",
        requires = "paths",
        allow_hyphen_values = true,
        value_parser = REVALIDATE.parser::<u32>()
    )]
    revalidate: Option<u32>,

    #[arg(
        long,
        help = format!(
            "At shutdown or after umount(8): discard dirty pages once SOURCE has accepted none for \
             this long, in seconds, from {GIVE_UP_AFTER} [default: {DEFAULT_GIVE_UP_AFTER}]"
        ),
        value_name = "SECONDS",
        requires = "paths",
        allow_hyphen_values = true,
        value_parser = GIVE_UP_AFTER.parser::<u32>()
    )]
    give_up_after: Option<u32>,

    /// Allow other users, subject to the files' permissions; the default for root. Other users
    /// need user_allow_other in /etc/fuse.conf for this option
    #[arg(long, requires = "paths", conflicts_with = "no_allow_other")]
    allow_other: bool,

    /// Allow no other user, not even root if the mount is not root's
    #[arg(long, requires = "paths")]
    no_allow_other: bool,

    /// Options as in /etc/fstab, with commas between them: ro, nosuid, nodev, noexec, noatime,
    /// and all of the above, as in cache=1G; see mount.compcache(8)
    #[arg(short = 'o', value_name = "OPTIONS", requires = "paths")]
    options: Vec<Options>,

    /// List the mounts as JSON; its keys are described in compcache-status(1)
    #[arg(short, long, conflicts_with = "paths")]
    json: bool,
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
    let mut options = Options::default();
    for more in &args.options {
        options.extend(more.clone());
    }
    if args.ram && args.size.is_none() && !options.has_size() {
        return Err(usage("--ram needs --size, for example --size 1G"));
    }
    let command_line = MountSpec {
        size: args.size,
        cache: args.cache,
        codec: args.codec.clone(),
        write_back: args.write_back,
        dirty_after: args.dirty_after,
        dirty_limit: args.dirty_limit,
        strict: args.strict,
        revalidate: args.revalidate,
        give_up_after: args.give_up_after,
        allow_other: match (args.allow_other, args.no_allow_other) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        ..MountSpec::default()
    };
    let spec = options.below(command_line, args.write_through);
    let (mount, warnings) = mount(spec, source, mountpoint, places)?;
    warn("compcache", &warnings);
    print(&report(&mount))
}

/// Has the daemon make a mount; starts one if none is running.
///
/// # Errors
/// Paths that can't be used, and those of the daemon.
fn mount(
    spec: MountSpec,
    source: Option<&Path>,
    mountpoint: &Path,
    places: &Places,
) -> Result<(MountStatus, Vec<String>), CliError> {
    let (source, mountpoint) = paths::resolve(source, mountpoint)?;
    let text = mountpoint.display().to_string();
    let spec = MountSpec {
        source,
        mountpoint,
        ..spec
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
}
