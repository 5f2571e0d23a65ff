//! A mount: made, looked at, and taken away.

mod aside;
mod ended;
mod ending;
mod flags;
mod kernel;
mod limits;
mod point;
mod readahead;
mod target;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use compcache_host::Background;
use fuser::{Config, Session, SessionACL};

use self::ended::Ended;
use self::flags::Flags;
use self::point::{Directory, Mounted};
use self::target::Target;
use crate::content::Contents;
use crate::descriptors::{Holder, MountPool, Pool};
use crate::error::FilesError;
use crate::fs::notices::{Notice, Notices, Watch};
use crate::fs::turns::Turns;
use crate::fs::{Parts, Passthrough, RequestHook, Service};
use crate::inode::place::Place;
use crate::inode::table::ROOT;
use crate::inode::{Inode, Source, Table};
use crate::options::{MountOptions, WritePolicy};
use crate::status::{MountStatus, Writes};

pub use self::ending::Ending;

/// What the owner of a mount wants to hear of it, and how it may be limited.
#[derive(Default)]
pub struct Hooks {
    /// Called once, from a thread of the mount, when it is gone: unmounted by
    /// [`Mount::unmount`] or by anybody else.
    pub on_end: Option<Box<dyn FnOnce() + Send>>,
    /// Called for each READ of the kernel, before it is served.
    pub on_request: Option<RequestHook>,
    /// About how many inodes the kernel may know at once, beyond those in use; `None` chooses:
    /// 200,000, or fewer if each costs a descriptor.
    pub most_inodes: Option<usize>,
    /// How many descriptors mounts reckon with; `None`: the limit of the process (`RLIMIT_NOFILE`),
    /// which is raised as far as it may be. All mounts of the process share it then.
    pub most_descriptors: Option<usize>,
    /// Ask the kernel by name to drop inodes, as kernels before 6.18 want it, even if it can
    /// be asked by number.
    pub drop_by_name: bool,
    /// The number of a mount at the mount point whose server is gone, as `/proc/self/mountinfo` has it. As root the new
    /// one is made beneath it, or on top of it before Linux 6.5, so that nobody sees the directory meanwhile; it is the
    /// caller's to remove.
    pub dead: Option<u64>,
    /// Mount on top of it, as kernels before 6.5 want it, even if it can be done beneath.
    pub on_top: bool,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("most_inodes", &self.most_inodes)
            .field("most_descriptors", &self.most_descriptors)
            .field("drop_by_name", &self.drop_by_name)
            .field("dead", &self.dead)
            .field("on_top", &self.on_top)
            .finish_non_exhaustive()
    }
}

/// A mounted directory.
pub struct Mount {
    options: MountOptions,
    fs: Arc<Passthrough>,
    target: Arc<Target>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("options", &self.options)
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}

impl Mount {
    /// Mounts, and serves from threads of its own until it is unmounted. Needs root, or
    /// `fusermount3` for a mount of one's own. No part of the two paths may be a symbolic link.
    ///
    /// # Errors
    /// If SOURCE or the mount point can't be used, a flag is unknown, there is no memory, or
    /// the system refuses the mount. Nothing is left then.
    pub fn start(options: MountOptions, hooks: Hooks) -> Result<Self, FilesError> {
        let root = rustix::process::geteuid().is_root();
        let directory = Directory::open("use the mount point", &options.mountpoint)?;
        let mountpoint = directory.path();
        let (source, name) = match &options.source {
            Some(path) => {
                let shown = Directory::open("use the directory", path)?;
                let path = shown.path();
                if !root && mountpoint != path && mountpoint.starts_with(path) {
                    return Err(FilesError::Invalid(format!(
                        "the mount point {} lies in the directory {} that is to be shown there: \
                         without root the mount would contain itself; mount it elsewhere",
                        mountpoint.display(),
                        path.display()
                    )));
                }
                let source = Source::open(shown.fd(), root)
                    .map_err(|e| FilesError::system("open", path, e, None))?;
                (source, path.as_os_str().to_owned())
            }
            None => {
                let source = Source::in_memory(root).map_err(|e| {
                    let remedy = "it keeps the names of files in memory";
                    FilesError::system("make a tmpfs for", mountpoint, e, remedy)
                })?;
                // As /etc/fstab names it, so that mount -a knows it again.
                (source, "ram".into())
            }
        };
        let flags = Flags::new(
            &options.flags,
            options.source.is_some().then_some(&source),
            root,
        )?;
        let contents = Contents::new(&options)?;
        let pool = hooks
            .most_descriptors
            .map_or_else(Pool::of_this_process, Pool::of);
        let workers = options.workers.unwrap_or_else(limits::workers).max(1);
        let most = limits::most_inodes(hooks.most_inodes, source.by_handle, pool.most());
        let descriptors = MountPool::new(pool);
        let own = descriptors.take(Holder::Own, limits::descriptors(workers));
        let own = own.map_err(|e| {
            let remedy = "the limit of descriptors (ulimit -n, LimitNOFILE=) is used up: raise it, \
                          unmount something or close files in mounts";
            FilesError::system("mount", mountpoint, e, remedy)
        })?;
        let (notices, heard) = Notices::new();
        let parts = Parts {
            table: Table::new(
                Inode::new(source.key, ROOT, libc::S_IFDIR, Place::Root),
                most,
            ),
            source,
            contents: Arc::clone(&contents),
            notices,
            descriptors,
            own,
            turns: Turns::new(workers),
            on_request: hooks.on_request,
        };
        let fs = Arc::new(Passthrough::new(parts, &options, root));

        let mut config = Config::default();
        config.acl = if options.allow_other {
            SessionACL::All
        } else {
            SessionACL::Owner
        };
        config.n_threads = Some(workers);
        config.clone_fd = true;
        let service = Service(Arc::clone(&fs));
        let (session, mounted) = if root {
            let is_on = hooks.dead.map(|dead| directory.is_on(dead)).transpose()?;
            let beneath = is_on.unwrap_or(false) && !hooks.on_top;
            kernel::mount(service, &directory, &name, flags, config, beneath)?
        } else {
            kernel::fusermount(service, &directory, &name, flags, config)?
        };
        let mounted = Arc::new(mounted);
        let undo = |e| {
            kernel::abandon(&mounted, root);
            FilesError::system("serve", mountpoint, e, None)
        };
        let device = session.as_fd().try_clone_to_owned().map_err(undo)?;
        let waiting = fs.waiting.start().map_err(undo)?;
        let ended = Arc::new(Ended::default());
        let serving = Serving {
            session,
            device,
            heard,
            waiting,
            fs: Arc::clone(&fs),
            options: options.clone(),
            mounted: Arc::clone(&mounted),
            ended: ended::OnDrop(Arc::clone(&ended)),
            on_end: hooks.on_end,
            drop_by_name: hooks.drop_by_name,
        };
        if root && options.source.is_some() {
            readahead::follow(&mounted, fs.source.key.dev);
        }
        // It ends when the mount does, and a lazy unmount does not wait for that.
        Background::start("files/session", move || serving.run(), || ())
            .map_err(undo)?
            .detach();
        let target = Arc::new(Target {
            mounted,
            contents,
            ended,
            root,
        });
        Ok(Mount {
            options,
            fs,
            target,
        })
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &MountOptions {
        &self.options
    }

    /// The pages of its files.
    #[must_use]
    pub fn contents(&self) -> &Arc<Contents> {
        &self.target.contents
    }

    /// What it has done and holds.
    #[must_use]
    pub fn status(&self) -> MountStatus {
        let write = match (&self.options.source, self.options.write) {
            (None, _) => Writes::Ram,
            (Some(_), WritePolicy::Through) => Writes::Through,
            (Some(_), WritePolicy::Back) => Writes::Back,
        };
        let source = self.options.source.as_deref().unwrap_or(Path::new(""));
        let mut status = MountStatus {
            source: source.display().to_string(),
            mountpoint: self.target.mounted.path().display().to_string(),
            write,
            codec: self.options.codec.to_string(),
            inodes: self.fs.table.len() as u64,
            ..MountStatus::default()
        };
        self.target.contents.status(&mut status);
        status
    }

    /// Writes all dirty pages out to SOURCE.
    ///
    /// # Errors
    /// The first failure; the pages stay dirty.
    pub fn sync(&self) -> Result<(), FilesError> {
        self.target.sync()
    }

    /// Whether it is gone, by [`Mount::unmount`] or by somebody else's umount(8).
    #[must_use]
    pub fn ended(&self) -> bool {
        self.target.ended.is_set()
    }

    /// Writes dirty pages out and unmounts. If `lazy`, the mount disappears even if it is in
    /// use, and ends when it is not any more; otherwise it has ended when this returns. No error
    /// if it was unmounted already.
    ///
    /// # Errors
    /// [`FilesError::Busy`] if it is in use; if dirty pages can't be written out, it stays. While SOURCE
    /// does not answer, neither does this: see [`Mount::end`].
    pub fn unmount(&self, lazy: bool) -> Result<(), FilesError> {
        if self.ended() {
            return Ok(());
        }
        self.sync()?;
        self.target.take_out(lazy)?;
        if !lazy {
            // Not for `on_end`, which may wait for our caller.
            self.target.ended.wait();
        }
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.ended() {
            // What is given up is in the log.
            let _ = self.end();
        }
    }
}

/// What the thread of a mount needs.
struct Serving {
    session: Session<Service>,
    device: OwnedFd,
    heard: std::sync::mpsc::Receiver<Notice>,
    waiting: Background,
    fs: Arc<Passthrough>,
    options: MountOptions,
    mounted: Arc<Mounted>,
    ended: ended::OnDrop,
    on_end: Option<Box<dyn FnOnce() + Send>>,
    drop_by_name: bool,
}

impl Serving {
    /// Serves until the mount is gone.
    fn run(self) {
        let Serving {
            session,
            device,
            heard,
            waiting,
            fs,
            options,
            mounted,
            ended,
            on_end,
            drop_by_name,
        } = self;
        fs.notices
            .connect(session.notifier(), &device, drop_by_name);
        let speak = {
            let fs = Arc::clone(&fs);
            move || {
                let watch = Watch {
                    period: fs.freshness.most(),
                    revalidate: &|| fs.revalidate_open_files(),
                };
                fs.notices.run(&heard, &device, &fs.table, &watch);
            }
        };
        let server = Arc::clone(&fs);
        let speaking = Background::start("files/notices", speak, move || server.notices.stop());
        if let Err(e) = &speaking {
            tracing::error!("no thread that tells the kernel what is stale: {e}");
        }
        if let Err(e) = session.run() {
            tracing::error!("serving {}: {e}", mounted.path().display());
            kernel::abandon(&mounted, fs.root);
        }
        drop(waiting);
        drop(speaking);
        fs.contents.finish(&options, mounted.path());
        drop(ended);
        if let Some(on_end) = on_end {
            on_end();
        }
    }
}
