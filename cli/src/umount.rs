//! `compcache umount` and `compcache sync`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use compcache_engine::disk::PAGE;
use compcache_host::printable;
use compcached::ClientError;
use compcached::mounts::{dead, order, paths};
use compcached::protocol::{ErrorCode, Request, Response};
use compcached::size::human;
use compcached::types::MountStatus;

use crate::env::{Places, complain, print, warn};
use crate::error::CliError;
use crate::progress;

/// What to try with `umount`.
pub(crate) const UMOUNT_EXAMPLES: &str = "\
compcache umount /mnt/fast
compcache umount --lazy /mnt/fast
compcache umount --all";

/// What to try with `sync`.
pub(crate) const SYNC_EXAMPLES: &str = "compcache sync\ncompcache sync /mnt/data";

/// Options of `compcache umount`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["mountpoints", "all"]))]
pub(crate) struct UmountArgs {
    /// Where it is mounted
    #[arg(value_name = "MOUNTPOINT")]
    mountpoints: Vec<PathBuf>,

    /// Unmount all mounts of the daemon
    #[arg(short, long)]
    all: bool,

    /// Also a mount in use: take it out of the tree at once, and end it when its last file is
    /// closed
    #[arg(short, long)]
    lazy: bool,
}

/// Options of `compcache sync`.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    /// Where it is mounted [default: all mounts]
    #[arg(value_name = "MOUNTPOINT")]
    mountpoints: Vec<PathBuf>,
}

/// Unmounts. Of several mounts all that can be are unmounted.
///
/// # Errors
/// The first failure; the others are on standard error.
pub(crate) fn umount(args: &UmountArgs, places: &Places) -> Result<(), CliError> {
    let mountpoints = if args.all {
        let mounts = mounts(places)?;
        if mounts.is_empty() {
            return print("nothing is mounted\n");
        }
        order::take_down_order(mounts, |mount| mount.into())
            .into_iter()
            .map(|m| m.mountpoint.into())
            .collect()
    } else {
        args.mountpoints.clone()
    };
    let mut results = mountpoints
        .iter()
        .map(|path| umount_one(path, args.lazy, places));
    let mut first = Ok(());
    for result in &mut results {
        match (&first, result) {
            (Ok(()), result) => first = result,
            (Err(_), Err(error)) => complain("compcache", &error),
            (Err(_), Ok(())) => {}
        }
    }
    first
}

fn umount_one(path: &Path, lazy: bool, places: &Places) -> Result<(), CliError> {
    let path = paths::mountpoint(path)?;
    let request = Request::Unmount {
        mountpoint: path.clone(),
        lazy,
    };
    let refused = match request_and_wait(request, Some(&path), "unmounting", places) {
        Ok(()) => return print(&format!("{}: unmounted\n", printable::path(&path))),
        Err(error) => error,
    };
    let unknown = match &refused {
        CliError::Client(ClientError::NoDaemon(_)) => true,
        CliError::Client(ClientError::Refused(refusal)) => refusal.code == ErrorCode::Enoent,
        _ => false,
    };
    if !unknown {
        return Err(refused);
    }
    let failed = |e| CliError::io(format!("{}", path.display()), e);
    if dead::clean(&path).map_err(failed)? {
        return print(&format!(
            "{}: unmounted; its daemon was gone\n",
            printable::path(&path)
        ));
    }
    if dead::is_mounted(&path).map_err(failed)? {
        return Err(CliError::Failed(format!(
            "{} is a mount of another daemon than that of {}: name its directory with \
             --runtime-dir, or be the user who made it",
            path.display(),
            places.runtime_dir.display()
        )));
    }
    Err(CliError::Failed(format!(
        "{path:?} is not a compcache mount: `compcache mount` lists those that are"
    )))
}

/// Writes dirty pages out, those first that programs have changed through shared mappings and that only the kernel knows.
///
/// # Errors
/// Those of the daemon, and [`CliError::Io`] if the kernel cannot write to a mount.
pub(crate) fn sync(args: &SyncArgs, places: &Places) -> Result<(), CliError> {
    if args.mountpoints.is_empty() {
        for mount in mounts(places)? {
            take_mapped(Path::new(&mount.mountpoint), places)?;
        }
        return sync_one(None, places);
    }
    for path in &args.mountpoints {
        let path = paths::mountpoint(path)?;
        take_mapped(&path, places)?;
        sync_one(Some(path), places)?;
    }
    Ok(())
}

fn sync_one(mountpoint: Option<PathBuf>, places: &Places) -> Result<(), CliError> {
    let path = mountpoint.clone();
    request_and_wait(
        Request::Sync { mountpoint },
        path.as_deref(),
        "syncing",
        places,
    )
}

/// Has the kernel write to a mount what programs have stored through shared mappings of its files.
fn take_mapped(path: &Path, places: &Places) -> Result<(), CliError> {
    let failed = |e| {
        let doing = format!(
            "have the kernel write mapped pages to {}",
            printable::path(path)
        );
        CliError::io(doing, e)
    };
    if !dead::is_mounted(path).map_err(failed)? {
        return Ok(());
    }
    let directory = match File::open(path) {
        Ok(directory) => directory,
        // The daemon says so, or makes it again.
        Err(e) if e.raw_os_error() == Some(libc::ENOTCONN) => return Ok(()),
        // Another user's mount is not even for root.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            warn("compcache", &[failed(e)]);
            return Ok(());
        }
        Err(e) => return Err(failed(e)),
    };
    let sync = move || rustix::fs::syncfs(directory);
    progress::wait(sync, || left_to_write("syncing", Some(path), places))?
        .map_err(|e| failed(e.into()))
}

/// Asks for what writes dirty pages of `path`, or of all mounts, and shows how many are left.
fn request_and_wait(
    request: Request,
    path: Option<&Path>,
    doing: &str,
    places: &Places,
) -> Result<(), CliError> {
    let mut client = places.connect_now()?;
    let remaining = || left_to_write(doing, path, places);
    match progress::wait(move || client.request(&request), remaining)?? {
        Response::Done { warnings } => {
            warn("compcache", &warnings);
            Ok(())
        }
        _ => Err(CliError::Answer),
    }
}

/// How much of `path`, or of all mounts, is left to write out.
fn left_to_write(doing: &str, path: Option<&Path>, places: &Places) -> Option<String> {
    let dirty: u64 = mounts(places)
        .ok()?
        .iter()
        .filter(|mount| path.is_none_or(|path| Path::new(&mount.mountpoint) == path))
        .map(|mount| mount.dirty_pages * PAGE)
        .sum();
    Some(format!("{doing}: {} left to write out", human(dirty)))
}

/// The daemon's mounts.
fn mounts(places: &Places) -> Result<Vec<MountStatus>, CliError> {
    match places.connect_now()?.request(&Request::Mounts)? {
        Response::Mounts { mounts, .. } => Ok(mounts),
        _ => Err(CliError::Answer),
    }
}
