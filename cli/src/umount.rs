//! `compcache umount` and `compcache sync`.

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

/// Writes dirty pages out.
///
/// # Errors
/// Those of the daemon.
pub(crate) fn sync(args: &SyncArgs, places: &Places) -> Result<(), CliError> {
    let mut mountpoints = Vec::new();
    for path in &args.mountpoints {
        mountpoints.push(Some(paths::mountpoint(path)?));
    }
    if mountpoints.is_empty() {
        mountpoints.push(None);
    }
    for mountpoint in mountpoints {
        let request = Request::Sync {
            mountpoint: mountpoint.clone(),
        };
        request_and_wait(request, mountpoint.as_deref(), "syncing", places)?;
    }
    Ok(())
}

/// Asks for what writes dirty pages of `path`, or of all mounts, and shows how many are left.
fn request_and_wait(
    request: Request,
    path: Option<&Path>,
    doing: &str,
    places: &Places,
) -> Result<(), CliError> {
    let mut client = places.connect_now()?;
    let remaining = || {
        let dirty: u64 = mounts(places)
            .ok()?
            .iter()
            .filter(|mount| path.is_none_or(|path| Path::new(&mount.mountpoint) == path))
            .map(|mount| mount.dirty_pages * PAGE)
            .sum();
        Some(format!("{doing}: {} left to write out", human(dirty)))
    };
    match progress::wait(move || client.request(&request), remaining)?? {
        Response::Done { warnings } => {
            warn("compcache", &warnings);
            Ok(())
        }
        _ => Err(CliError::Answer),
    }
}

/// The daemon's mounts.
fn mounts(places: &Places) -> Result<Vec<MountStatus>, CliError> {
    match places.connect_now()?.request(&Request::Mounts)? {
        Response::Mounts { mounts, .. } => Ok(mounts),
        _ => Err(CliError::Answer),
    }
}
