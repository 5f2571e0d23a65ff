//! SOURCE, passed through: what the requests of a mount share.

use std::sync::Arc;

use super::freshness::Freshness;
use super::handles::Handles;
use super::notices::Notices;
use super::open_directory::OpenDirectory;
use super::open_file::OpenFile;
use super::turns::Turns;
use super::waiting::Waiting;
use crate::content::Contents;
use crate::descriptors::{Charge, MountPool};
use crate::inode::known::SentBack;
use crate::inode::{Source, Table};
use crate::options::{MountOptions, WritePolicy};

/// Something to be called for each READ.
pub type RequestHook = Arc<dyn Fn() + Send + Sync>;

/// SOURCE, passed through.
pub(crate) struct Passthrough {
    pub(crate) source: Source,
    pub(crate) table: Table,
    pub(crate) contents: Arc<Contents>,
    pub(crate) notices: Notices,
    pub(crate) waiting: Arc<Waiting>,
    pub(super) turns: Turns,
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
    pub(super) descriptors: Arc<MountPool>,
    /// What the mount itself holds.
    _own: Charge,
    pub(super) files: Handles<OpenFile>,
    pub(super) directories: Handles<OpenDirectory>,
    /// Opens that the kernel is to try again.
    pub(super) sent_back: SentBack,
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
    pub(crate) fn new(parts: Parts, options: &MountOptions, root: bool) -> Self {
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
