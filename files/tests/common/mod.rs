//! What the tests of this crate share.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test program uses a part of it"
)]

use std::fmt::Debug;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compcache_files::{FilesError, Hooks, Limits, Mount, MountOptions, WritePolicy};
use compcache_host::counts::Count;
pub(crate) use compcache_test_support::{as_user, wait_until};
use compcache_test_support::{needs, open_directory};
use tempfile::TempDir;

/// Whether mounts can be made here. If not, says so.
pub(crate) fn can_mount() -> bool {
    needs::root() && needs::file("/dev/fuse")
}

/// Makes each function a test over each way in which a mount keeps what is written:
/// `through::NAME`, `back::NAME`, `memory::NAME`.
macro_rules! test_over_each_policy {
    ($($name:ident),* $(,)?) => {
        $crate::common::test_over_each_policy!(@ through: $($name)*; |_options| {});
        $crate::common::test_over_each_policy!(@ back: $($name)*; |options| {
            options.write = compcache_files::WritePolicy::Back;
        });
        $crate::common::test_over_each_policy!(@ memory: $($name)*; |options| {
            options.source = None;
            options.size = Some(1 << 34);
        });
    };
    (@ $policy:ident: $($name:ident)*; |$options:ident| $change:block) => {
        mod $policy {
            $(#[test]
            fn $name() {
                if let Some(bed) = $crate::common::Bed::with(|$options, _| $change) {
                    super::$name(&bed);
                }
            })*
        }
    };
}
pub(crate) use test_over_each_policy;

/// A directory, a mount that shows it, and another directory to compare with.
pub(crate) struct Bed {
    mount: Option<Mount>,
    directory: TempDir,
}

/// What a mount of `source` on `mountpoint` is told by default.
pub(crate) fn options(source: Option<PathBuf>, mountpoint: PathBuf) -> MountOptions {
    MountOptions {
        source,
        mountpoint,
        size: None,
        limits: Limits {
            cache: 64 << 20,
            floor: 1 << 20,
            dirty_after: Duration::from_secs(30),
            dirty: 16 << 20,
        },
        codec: compcache_engine::CodecSpec::default(),
        write: WritePolicy::Through,
        strict: false,
        revalidate: Duration::from_secs(60),
        give_up_after: Duration::from_secs(30),
        allow_other: true,
        flags: vec!["suid".into(), "dev".into()],
        workers: None,
        budget: None,
        dirty_pages: Count::default(),
    }
}

impl Bed {
    /// A bed whose mount is as by default; `None` if there can be none.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|_, _| {})
    }

    /// A bed whose mount trusts for an hour what it knows of SOURCE.
    pub(crate) fn trusting(write: WritePolicy) -> Option<Self> {
        Self::with(|options, _| {
            options.write = write;
            options.revalidate = Duration::from_secs(3600);
        })
    }

    /// A bed whose mount `change` says more of.
    pub(crate) fn with(change: impl FnOnce(&mut MountOptions, &mut Hooks)) -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let directory = open_directory();
        let mut bed = Bed {
            mount: None,
            directory,
        };
        for path in [bed.source(), bed.bare(), bed.mounted()] {
            std::fs::create_dir(&path).unwrap();
        }
        let mut options = options(Some(bed.source()), bed.mounted());
        let mut hooks = Hooks::default();
        change(&mut options, &mut hooks);
        bed.mount = Some(Mount::start(options, hooks).unwrap());
        Some(bed)
    }

    pub(crate) fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    /// The directory that is shown.
    pub(crate) fn source(&self) -> PathBuf {
        self.directory.path().join("source")
    }

    /// Where it is shown.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// A directory that has nothing to do with it.
    pub(crate) fn bare(&self) -> PathBuf {
        self.directory.path().join("bare")
    }

    /// Does the same on the mount and on a bare directory, and fails if it does not end the
    /// same way.
    #[track_caller]
    pub(crate) fn same<T: PartialEq + Debug>(&self, act: impl Fn(&Path) -> T) {
        let bare = act(&self.bare());
        let mounted = act(&self.mounted());
        assert_eq!(mounted, bare, "left: the mount, right: a bare directory");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(mount) = self.mount.take() {
            if std::thread::panicking() {
                // Files of the test may be open still.
                mount.unmount(true).unwrap();
            } else {
                unmount(&mount);
            }
        }
    }
}

/// Unmounts what is in use no more. Programs that other tests start may have its descriptors for a
/// moment: until they are executed.
pub(crate) fn unmount(mount: &Mount) {
    wait_until("the end of its use", || match mount.unmount(false) {
        Ok(()) => true,
        Err(FilesError::Busy(_)) => false,
        Err(e) => panic!("{e}"),
    });
    assert!(mount.ended());
}

/// Changes the permissions of a file.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Number of the system's error, or what came out.
pub(crate) fn errno<T>(result: io::Result<T>) -> Result<T, i32> {
    result.map_err(|e| e.raw_os_error().unwrap_or(-1))
}

/// The same for rustix.
pub(crate) fn raw<T>(result: rustix::io::Result<T>) -> Result<T, i32> {
    result.map_err(rustix::io::Errno::raw_os_error)
}

/// An ACL as the kernel keeps it in the attribute `system.posix_acl_*`: tag, permissions, id.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// The ID of entries that have none.
const NOBODY: u32 = u32::MAX;

/// Owner rwx, one more user as given, group and others nothing.
pub(crate) fn acl_for(user: u32, permissions: u16) -> Vec<u8> {
    acl(&[
        (0x01, 7, NOBODY),
        (0x02, permissions, user),
        (0x04, 0, NOBODY),
        (0x10, 7, NOBODY),
        (0x20, 0, NOBODY),
    ])
}

/// truncate(2), which needs no open file.
pub(crate) fn truncate(path: &Path, size: i64) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path lives until the call returns.
    match unsafe { libc::truncate(path.as_ptr(), size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A user who is nobody here.
pub(crate) const USER: u32 = 54_321;

/// Another.
pub(crate) const OTHER: u32 = 54_322;
