//! What the man pages of mounts say beyond the options.

use super::extra::Extra;
use super::text::{EXIT_STATUS, FILES};
use crate::mount;
use crate::umount;

const SEMANTICS: &str = "\
The kernel's page cache is the first level: what is in it is read and mapped at full speed. What it \
evicts stays, compressed, in the daemon's memory, up to --cache. Pages that a program reads only \
once do not evict those that are read again and again. Files that do not compress, like media and \
archives, are not cached.

write-through\tA write is passed to SOURCE, as by write(2), before it returns. Nothing is lost \
however the daemon ends. This is the default.

write-back\tA write is kept in compressed memory and written out to SOURCE on fsync, fdatasync and \
close, after --dirty-after seconds, when --dirty-limit is reached, by compcache sync, and when it is \
unmounted. If the daemon is killed, what was not written out is lost.

fsync\tWhen fsync(2) or fdatasync(2) has returned 0, the data is on SOURCE and SOURCE was synced, \
with either policy. If writing out fails, the next fsync or close of the file reports it, \
and the pages are kept and tried again; they are never dropped.

a SOURCE that is full or hangs\tPages that cannot be written stay dirty, and are tried again. compcache umount refuses then, and the mount \
stays (if SOURCE does not answer at all, the command waits for it). A daemon that must shut down does not wait for ever, \
nor does a mount that umount(8) has taken away, which nobody can refuse: once SOURCE has taken no page for \
--give-up-after seconds, dirty pages are given up. The log then says for each file which bytes are lost, \
and the total; compcache status says the total, and the daemon's exit status is 1. Programs that still use the \
mount get errors.

sync\tThe kernel does not pass sync(2) and syncfs(2) to a FUSE file system: sync(1) does not write \
dirty pages out. compcache sync does.

mapped files\tWhat a program stores through mmap(2) with MAP_SHARED is in the kernel's page cache first, in every mode, \
and reaches the mount by msync(2), fsync(2), munmap(2) and close, compcache sync, or after some 30 seconds. Until then \
the end of the daemon does not write it out, and if the mount's process dies, it is lost.

changes on SOURCE\tOther programs may change SOURCE directly. That is noticed when a file is opened, and \
when what is known of it is too old (a tenth of the time since its last change, at least 1 second and at \
most --revalidate seconds), by its size and times; its pages are then read again. With --strict SOURCE is checked each time a file is used. A program that keeps a \
file open, or mapped, may see old pages until then.

locks\tflock(2) and fcntl(2) locks work between all programs that use the mount. They are not \
passed on to SOURCE, so they do not hold against programs that use SOURCE directly, or on other \
machines.

permissions\tThe kernel checks them, by the owners and modes that SOURCE has, and SOURCE once more. A mount \
by root lets other users in, who may do what SOURCE would let them do. Another user's mount is for that user \
alone, not even for root, unless --allow-other is given and /etc/fuse.conf has user_allow_other.

open files\tEach takes up to two descriptors of the daemon, each directory one. Of three quarters of the \
daemon's limit (ulimit -n, LimitNOFILE=) a user may have half, beyond which an open fails with EMFILE; users other than \
root may have five eighths on one mount and three quarters on all, beyond which it fails with ENFILE.

nosuid, nodev\tIn effect unless suid and dev are given, which needs root, and if SOURCE's own mount \
has them.

--ram\tFiles, names included, are in memory only, compressed, and gone when it is unmounted. A \
write that does not fit into --size, or whose pages do not fit into --cache, gets ENOSPC.";

const NO_ROOT: &str = "\
A user who is not root gets a daemon of their own, without swap devices, in $XDG_RUNTIME_DIR/compcache \
or, if that is not set, /tmp/compcache-UID. It ends when nothing is mounted any more. This needs \
the program fusermount3 (package fuse3) and access to /dev/fuse.";

const DAEMON_GONE: &str = "\
If the daemon is killed, what is dirty is written out and its mounts are taken away. If the process that serves them is killed as well, they \
answer \"Transport endpoint is not connected\" or \"Software caused connection abort\". The next daemon \
of the same user, compcache mount at the same place, and compcache umount remove such mounts.";

const UMOUNT_NOTES: &str = "\
Dirty pages are written out first, which may take a while; progress is shown on standard error. If they \
cannot be written, because SOURCE is full, say, or if the mount is in use, it stays, and nothing is lost. If SOURCE \
does not answer, this waits. umount(8) writes nothing out first: pages follow when the mount is gone, and what SOURCE \
does not take within --give-up-after is lost, see compcache-mount(1). With --lazy a mount in use disappears from the tree at once, and ends when the \
last file on it is closed.";

const OPTIONS: &str = "\
Options are given behind -o, or in the fourth field of /etc/fstab, with commas between them. SIZE \
is a number of bytes, or one with K, M, G, T or %. Option names may be written with _ instead of -.

cache=SIZE\tMost memory for the mount's pages; % are of the RAM that the daemon can have. Default: 50%.

codec=CODEC\tzstd:LEVEL (zstd:1 is the default), lz4 (larger, but less work), lzo, wkdm or wks.

write-back, write-through\tWhen writes go to SOURCE; see compcache-mount(1). Default: write-through.

dirty-after=SECONDS\tWith write-back: how long dirty pages wait, 1 to 86400. Default: 30.

dirty-limit=SIZE\tWith write-back: most dirty bytes; % are of the cache. Default: 25%.

strict\tCheck SOURCE each time a file is used.

revalidate=SECONDS\tLongest time for which names and attributes are used without checking SOURCE, \
0 to 86400; it is a tenth of the time since the file last changed, but at least 1 second and at most \
this. Default: 60.

give-up-after=SECONDS\tAt shutdown or after umount(8): discard dirty pages once SOURCE has accepted none \
for this long, 1 to 86400. Default: 30.

allow-other, no-allow-other\tWhether other users have access. Default: yes for root's mounts, otherwise no.

size=SIZE\tWith ram as SOURCE, and needed there: size of the files in memory, before compression.

ro, nosuid, nodev, noexec, noatime, suid, dev, exec\tAs for every file system; see mount(8).

others\tThe options of mount(8) and systemd.mount(5) that are not for the file system (defaults, auto, \
noauto, user, nofail, _netdev, comment=, x-...) are ignored. Unknown ones are errors, unless -s \
is given.";

const FSTAB: &str = "\
In /etc/fstab, with the daemon started by systemd before:

/mnt/nas /mnt/fast compcache cache=2G,codec=zstd:1,_netdev,nofail,\
x-systemd.requires-mounts-for=/mnt/nas,x-systemd.requires=compcached.service 0 0

ram /build compcache size=8G,x-systemd.requires=compcached.service 0 0

_netdev is needed if SOURCE is in the network: without it local file systems would wait for the network, \
which waits for them.

Without compcached.service the first mount starts a daemon. systemd counts that as part of this \
mount's unit and ends it with the unit, and all its other mounts too: with more than one mount, \
let them require compcached.service, as above.

mount(8) looks for this program as /sbin/mount.compcache. That is a link to compcache(1), which acts \
as the helper when called by this name or as mount.fuse.compcache.";

const HELPER_EXIT: &str = "\
0\tMounted.

1\tThe command line or an option is wrong, or this user lacks permission.

2\tThe system or the daemon failed.

32\tThe mount failed, for example because SOURCE is not there.";

/// Pages of mounts.
pub(super) const EXTRA: &[Extra] = &[
    Extra {
        name: "compcache-mount",
        section: "1",
        parts: &[
            ("SEMANTICS", SEMANTICS),
            ("WITHOUT ROOT", NO_ROOT),
            ("NOTES", DAEMON_GONE),
            ("EXIT STATUS", EXIT_STATUS),
            ("FILES", FILES),
        ],
        examples: mount::EXAMPLES,
        see_also: &[
            "compcache-umount(1)",
            "compcache-sync(1)",
            "compcache-status(1)",
            "mount.compcache(8)",
            "compcached(8)",
            "fusermount3(1)",
        ],
    },
    Extra {
        name: "compcache-umount",
        section: "1",
        parts: &[
            ("NOTES", UMOUNT_NOTES),
            ("EXIT STATUS", EXIT_STATUS),
            ("FILES", FILES),
        ],
        examples: umount::UMOUNT_EXAMPLES,
        see_also: &["compcache-mount(1)", "compcache-sync(1)", "umount(8)"],
    },
    Extra {
        name: "compcache-sync",
        section: "1",
        parts: &[("EXIT STATUS", EXIT_STATUS), ("FILES", FILES)],
        examples: umount::SYNC_EXAMPLES,
        see_also: &["compcache-mount(1)", "compcache-umount(1)", "sync(1)"],
    },
    Extra {
        name: "mount.compcache",
        section: "8",
        parts: &[
            ("MOUNT OPTIONS", OPTIONS),
            ("FSTAB", FSTAB),
            ("SEMANTICS", "As those of compcache-mount(1)."),
            ("EXIT STATUS", HELPER_EXIT),
            ("FILES", FILES),
        ],
        examples: mount::helper::EXAMPLES,
        see_also: &[
            "compcache-mount(1)",
            "compcached(8)",
            "fstab(5)",
            "mount(8)",
            "systemd.mount(5)",
        ],
    },
];

#[cfg(test)]
mod tests {
    use compcached::protocol;

    use super::OPTIONS;

    #[test]
    fn ranges_and_defaults_are_those_of_the_code() {
        for (option, range, default) in [
            (
                "dirty-after",
                protocol::DIRTY_AFTER,
                protocol::DEFAULT_DIRTY_AFTER,
            ),
            (
                "revalidate",
                protocol::REVALIDATE,
                protocol::DEFAULT_REVALIDATE,
            ),
            (
                "give-up-after",
                protocol::GIVE_UP_AFTER,
                protocol::DEFAULT_GIVE_UP_AFTER,
            ),
        ] {
            let mut paragraphs = OPTIONS.split("\n\n");
            let text = paragraphs.find(|text| text.starts_with(&format!("{option}=")));
            let text = text.unwrap_or_default();
            for word in [range.to_string(), format!("Default: {default}.")] {
                assert!(text.contains(&word), "{word:?} is not in: {text}");
            }
        }
    }
}
