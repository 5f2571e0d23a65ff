//! Names on the mount and on a bare directory: the same calls, the same results.

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::Path;

use common::{Bed, errno, raw, test_over_each_policy};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev};

/// Names in a directory, sorted, with type and link count.
fn list(path: &Path) -> Vec<(String, char, u64)> {
    let mut all: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let found = entry.path().symlink_metadata().unwrap();
            let kind = found.file_type();
            let kind = match kind {
                _ if kind.is_dir() => 'd',
                _ if kind.is_symlink() => 'l',
                _ if kind.is_fifo() => 'p',
                _ if kind.is_socket() => 's',
                _ if kind.is_char_device() => 'c',
                _ if kind.is_block_device() => 'b',
                _ => '-',
            };
            (
                entry.file_name().into_string().unwrap(),
                kind,
                found.nlink(),
            )
        })
        .collect();
    all.sort();
    all
}

test_over_each_policy!(
    directories_are_made_and_removed,
    hard_and_symbolic_links,
    renames_with_and_without_flags,
    special_files,
    names_up_to_255_bytes,
    a_working_directory_may_be_removed,
);

fn directories_are_made_and_removed(bed: &Bed) {
    bed.same(|at| {
        let made = errno(fs::create_dir(at.join("d")));
        let again = errno(fs::create_dir(at.join("d")));
        fs::write(at.join("d/f"), "x").unwrap();
        let full = errno(fs::remove_dir(at.join("d")));
        let file = errno(fs::remove_dir(at.join("d/f")));
        let directory = errno(fs::remove_file(at.join("d")));
        let below_file = errno(fs::create_dir(at.join("d/f/x")));
        let nowhere = errno(fs::create_dir(at.join("e/x")));
        fs::remove_file(at.join("d/f")).unwrap();
        let removed = errno(fs::remove_dir(at.join("d")));
        let gone = errno(fs::remove_dir(at.join("d")));
        (
            made,
            again,
            full,
            file,
            directory,
            below_file,
            (nowhere, removed, gone),
        )
    });
}

fn hard_and_symbolic_links(bed: &Bed) {
    bed.same(|at| {
        fs::write(at.join("a"), "one").unwrap();
        fs::create_dir(at.join("d")).unwrap();
        let linked = errno(fs::hard_link(at.join("a"), at.join("d/b")));
        let again = errno(fs::hard_link(at.join("a"), at.join("d/b")));
        let directory = errno(fs::hard_link(at.join("d"), at.join("e")));
        let same =
            at.join("a").metadata().unwrap().ino() == at.join("d/b").metadata().unwrap().ino();
        fs::write(at.join("d/b"), "two").unwrap();
        let seen = fs::read_to_string(at.join("a")).unwrap();
        symlink("d/b", at.join("l")).unwrap();
        symlink("nowhere", at.join("m")).unwrap();
        symlink("n", at.join("n")).unwrap();
        fs::hard_link(at.join("m"), at.join("o")).unwrap();
        let read = fs::read_to_string(at.join("l")).unwrap();
        let target = fs::read_link(at.join("m")).unwrap();
        let dangling = errno(File::open(at.join("m")).map(drop));
        let looping = errno(File::open(at.join("n")).map(drop));
        let long = errno(symlink("x".repeat(4095), at.join("p")));
        let not_a_link = errno(fs::read_link(at.join("a")));
        fs::remove_file(at.join("a")).unwrap();
        (
            (linked, again, directory, same, seen, read, target),
            (dangling, looping, long, not_a_link),
            (list(at), list(&at.join("d"))),
        )
    });
}

fn renames_with_and_without_flags(bed: &Bed) {
    bed.same(|at| {
        let rename = |from: &str, to: &str, flags| {
            raw(rustix::fs::renameat_with(
                CWD,
                at.join(from),
                CWD,
                at.join(to),
                flags,
            ))
        };
        for (name, text) in [("a", "a"), ("b", "b")] {
            fs::write(at.join(name), text).unwrap();
        }
        fs::create_dir_all(at.join("d/e")).unwrap();
        fs::create_dir(at.join("f")).unwrap();
        let refused = rename("a", "b", RenameFlags::NOREPLACE);
        let exchanged = rename("a", "b", RenameFlags::EXCHANGE);
        let texts = (
            fs::read_to_string(at.join("a")).unwrap(),
            fs::read_to_string(at.join("b")).unwrap(),
        );
        let mixed = rename("a", "d", RenameFlags::EXCHANGE);
        let back = rename("a", "d", RenameFlags::EXCHANGE);
        let missing = rename("a", "c", RenameFlags::EXCHANGE);
        let both = rename("a", "b", RenameFlags::EXCHANGE | RenameFlags::NOREPLACE);
        let moved = rename("a", "d/e/g", RenameFlags::NOREPLACE);
        let over = rename("b", "d/e/g", RenameFlags::empty());
        let on_full = rename("f", "d", RenameFlags::empty());
        let on_empty = rename("d/e", "f", RenameFlags::empty());
        let into_itself = rename("f", "f/x", RenameFlags::empty());
        let on_file = rename("f", "f/g", RenameFlags::empty());
        let nothing = rename("zzz", "y", RenameFlags::empty());
        let text = fs::read_to_string(at.join("f/g")).unwrap();
        (
            (refused, exchanged, texts, mixed, back, missing, both),
            (moved, over, on_full, on_empty, into_itself, on_file),
            (nothing, text, list(at), list(&at.join("f"))),
        )
    });
}

fn special_files(bed: &Bed) {
    bed.same(|at| {
        let make = |name: &str, kind, device| {
            let mode = Mode::from_bits_retain(0o640);
            raw(rustix::fs::mknodat(CWD, at.join(name), kind, mode, device))
        };
        let made = [
            make("fifo", FileType::Fifo, 0),
            make("socket", FileType::Socket, 0),
            make("null", FileType::CharacterDevice, makedev(1, 3)),
            make("disk", FileType::BlockDevice, makedev(259, 70_000)),
            make("file", FileType::RegularFile, 0),
            make("file", FileType::RegularFile, 0),
        ];
        let devices = ["null", "disk"].map(|name| at.join(name).metadata().unwrap().rdev());
        let nothing = fs::read(at.join("null")).unwrap();
        let piped = std::thread::scope(|scope| {
            let writer = scope.spawn(|| fs::write(at.join("fifo"), "through"));
            let read = fs::read_to_string(at.join("fifo")).unwrap();
            writer.join().unwrap().unwrap();
            read
        });
        let bound = std::os::unix::net::UnixListener::bind(at.join("bound")).is_ok();
        (made, devices, nothing, piped, bound, list(at))
    });
}

fn names_up_to_255_bytes(bed: &Bed) {
    bed.same(|at| {
        let name = "n".repeat(255);
        let longer = "n".repeat(256);
        let made = errno(fs::write(at.join(&name), "x"));
        let refused = errno(fs::write(at.join(longer), "x"));
        let odd: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"a\xff\n\\,b");
        let odd = errno(fs::write(at.join(odd), "x"));
        fs::create_dir(at.join("ä")).unwrap();
        let deep = errno(fs::create_dir_all(at.join("d/".repeat(200))));
        let found = fs::read_dir(at).unwrap().count();
        (made, refused, odd, deep, found)
    });
}

fn a_working_directory_may_be_removed(bed: &Bed) {
    bed.same(|at| {
        fs::create_dir(at.join("d")).unwrap();
        let directory = File::open(at.join("d")).unwrap();
        fs::remove_dir(at.join("d")).unwrap();
        let links = directory.metadata().unwrap().nlink();
        let mode = Mode::from_bits_retain(0o755);
        let made = raw(rustix::fs::mkdirat(&directory, "x", mode));
        (links, made)
    });
}
