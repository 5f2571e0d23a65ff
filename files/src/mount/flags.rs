//! The kernel's mount flags: what the user asks for, within what SOURCE's own mount allows.

use rustix::fs::StatVfsMountFlags;
use rustix::mount::MountFlags;

use crate::error::FilesError;
use crate::inode::Source;

/// The kernel's mount flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(pub(super) MountFlags);

impl Flags {
    /// `asked` for, at least as strict as the mount of `source`. Without `suid` and `dev` (and
    /// root) there are neither set-user-id programs nor devices.
    pub(super) fn new(
        asked: &[String],
        source: Option<&Source>,
        root: bool,
    ) -> Result<Self, FilesError> {
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
        for word in asked {
            match word.as_str() {
                "ro" => flags |= MountFlags::RDONLY,
                "rw" => flags -= MountFlags::RDONLY,
                "nosuid" => flags |= MountFlags::NOSUID,
                "suid" if root => flags -= MountFlags::NOSUID,
                "nodev" => flags |= MountFlags::NODEV,
                "dev" if root => flags -= MountFlags::NODEV,
                "noexec" => flags |= MountFlags::NOEXEC,
                "exec" => flags -= MountFlags::NOEXEC,
                "noatime" => flags |= MountFlags::NOATIME,
                "atime" | "relatime" => flags -= MountFlags::NOATIME,
                "suid" | "dev" => {
                    return Err(FilesError::Invalid(format!(
                        "the mount option {word} is for root only: leave it out"
                    )));
                }
                _ => {
                    return Err(FilesError::Invalid(format!(
                        "the mount option {word} is unknown: ro, rw, suid, nosuid, dev, nodev, \
                         exec, noexec, atime, relatime and noatime are known"
                    )));
                }
            }
        }
        if let Some(source) = source {
            let own = rustix::fs::fstatvfs(&source.root).map_err(|e| {
                let path = std::path::Path::new("SOURCE");
                FilesError::system("ask for the mount of", path, e.into(), None)
            })?;
            for (theirs, ours) in [
                (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
                (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
                (StatVfsMountFlags::NODEV, MountFlags::NODEV),
                (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            ] {
                if own.f_flag.contains(theirs) {
                    flags |= ours;
                }
            }
        }
        Ok(Flags(flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str], root: bool) -> Result<Flags, FilesError> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Flags::new(&words, None, root)
    }

    #[test]
    fn neither_programs_of_others_nor_devices_unless_asked_for() {
        let plain = of(&[], true).unwrap().0;
        assert_eq!(plain, MountFlags::NOSUID | MountFlags::NODEV);
        assert_eq!(of(&["suid", "dev"], true).unwrap().0, MountFlags::empty());
    }

    #[test]
    fn what_is_unknown_or_not_allowed_is_named() {
        let unknown = of(&["nodiratime"], true).unwrap_err().to_string();
        assert!(unknown.contains("nodiratime"), "{unknown}");
        let refused = of(&["suid"], false).unwrap_err().to_string();
        assert!(refused.contains("suid"), "{refused}");
    }

    #[test]
    fn the_last_word_counts() {
        assert!(of(&["ro", "rw"], true).unwrap().0 == of(&[], true).unwrap().0);
    }
}
