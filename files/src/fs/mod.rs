//! The file system that the kernel talks to: SOURCE passed through, its data by way of the cache.
//!
//! Each file tells one group of requests; [`dispatch`] is the table of all of them. The kernel
//! checks permissions (`default_permissions`), applies locks, and keeps names, attributes and
//! pages for as long as [`freshness`] tells it to.
//!
//! Not passed on: locks, which hold within the mount; ioctls; `O_TMPFILE`, which `fuser` 0.18 does
//! not know; sync(2), which Linux does not hand to such file systems (fsync it does).

mod attributes;
mod caller;
mod directories;
mod dispatch;
mod files;
pub(crate) mod freshness;
mod handles;
mod names;
pub(crate) mod notices;
pub(crate) mod turns;
pub(crate) mod waiting;
mod xattrs;

use std::sync::Arc;

use self::directories::OpenDirectory;
use self::files::OpenFile;
use self::freshness::Freshness;
use self::handles::Handles;
use self::notices::Notices;
use self::turns::Turns;
use self::waiting::Waiting;
use crate::content::Contents;
use crate::descriptors::{Charge, MountPool};
use crate::inode::known::SentBack;
use crate::inode::{Source, Table};
use crate::options::WritePolicy;

pub(crate) use self::dispatch::Service;

/// Something to be called for each READ.
pub type RequestHook = Arc<dyn Fn() + Send + Sync>;

/// SOURCE, passed through.
pub(crate) struct Passthrough {
    pub(crate) source: Source,
    pub(crate) table: Table,
    pub(crate) contents: Arc<Contents>,
    pub(crate) notices: Notices,
    pub(crate) waiting: Arc<Waiting>,
    turns: Turns,
    pub(crate) freshness: Freshness,
    /// Nothing may be trusted.
    pub(crate) strict: bool,
    pub(crate) write: WritePolicy,
    /// A write is one to SOURCE before it is answered.
    pub(crate) writes_reach_source: bool,
    /// Size of a `--ram` mount.
    pub(crate) size: Option<u64>,
    /// We are root and act for others.
    pub(crate) root: bool,
    pub(crate) on_request: Option<RequestHook>,
    /// What may be held open.
    descriptors: Arc<MountPool>,
    /// What the mount itself holds.
    _own: Charge,
    files: Handles<OpenFile>,
    directories: Handles<OpenDirectory>,
    /// Opens that the kernel is to try again.
    sent_back: SentBack,
}

/// What a [`Passthrough`] is made of.
pub(crate) struct Parts {
    pub(crate) source: Source,
    pub(crate) table: Table,
    pub(crate) contents: Arc<Contents>,
    pub(crate) notices: Notices,
    pub(crate) descriptors: Arc<MountPool>,
    pub(crate) own: Charge,
    pub(crate) turns: Turns,
    pub(crate) on_request: Option<RequestHook>,
}

impl Passthrough {
    /// With what `options` say.
    pub(crate) fn new(parts: Parts, options: &crate::options::MountOptions, root: bool) -> Self {
        let ram = options.source.is_none();
        Passthrough {
            source: parts.source,
            table: parts.table,
            contents: parts.contents,
            notices: parts.notices,
            waiting: Arc::default(),
            turns: parts.turns,
            freshness: if ram {
                Freshness::forever()
            } else {
                Freshness::new(options.revalidate, options.strict)
            },
            strict: options.strict && !ram,
            write: options.write,
            writes_reach_source: !ram && options.write == WritePolicy::Through,
            size: ram.then(|| options.size.unwrap_or(options.limits.cache)),
            root,
            on_request: parts.on_request,
            descriptors: parts.descriptors,
            _own: parts.own,
            files: Handles::default(),
            directories: Handles::default(),
            sent_back: SentBack::default(),
        }
    }
}
