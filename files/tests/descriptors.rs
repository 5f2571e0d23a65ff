//! What programs hold open is limited: for a user, for a mount, for all but root.

mod common;

use std::fs::File;
use std::io;
use std::path::Path;

use common::{Bed, OTHER, USER, as_user, errno};

/// Descriptors that the mount reckons with. A quarter is not for mounts; of the rest a user may have
/// half, a mount of other users' five eighths.
const LIMIT: usize = 1024;
const MOST: usize = LIMIT / 4 * 3;
const FILES: usize = 1000;

fn bed() -> Option<Bed> {
    let bed = Bed::with(|options, hooks| {
        options.workers = Some(4);
        hooks.most_descriptors = Some(LIMIT);
    })?;
    for i in 0..FILES {
        File::create(bed.source().join(format!("f{i}"))).unwrap();
    }
    Some(bed)
}

/// Opens until that is refused; at most as often as there are files.
fn open_all(mut open: impl FnMut(usize) -> io::Result<File>) -> (Vec<File>, Option<i32>) {
    let mut files = Vec::new();
    for i in 0..FILES {
        match open(i) {
            Ok(file) => files.push(file),
            Err(e) => return (files, e.raw_os_error()),
        }
    }
    (files, None)
}

fn open_directories(uid: u32, at: &Path) -> (Vec<File>, Option<i32>) {
    as_user(uid, uid, &[], || open_all(|_| File::open(at)))
}

#[test]
fn directories_of_a_user_and_of_a_mount_are_limited() {
    let Some(bed) = bed() else { return };
    let at = bed.mounted();
    let (first, refused) = open_directories(USER, &at);
    assert_eq!((first.len(), refused), (MOST / 2, Some(libc::EMFILE)));
    let (second, refused) = open_directories(OTHER, &at);
    assert_eq!(refused, Some(libc::ENFILE));
    // Root has what is left, and no more.
    let (root, refused) = open_all(|_| File::open(&at));
    assert!(root.len() >= MOST / 4, "{}", root.len());
    assert_eq!(refused, Some(libc::ENFILE));
    let open = first.len() + second.len() + root.len();
    assert!(open < MOST, "{open}: the mount has descriptors of its own");
    drop((first, second, root));
    // Releases come when they come.
    common::wait_until("the descriptors to be free", || {
        open_directories(USER, &at).0.len() == MOST / 2
    });
}

#[test]
fn files_that_are_open_are_limited() {
    let Some(bed) = bed() else { return };
    let at = bed.mounted();
    let open = |i: usize| File::open(at.join(format!("f{i}")));
    // Each may come to need one more descriptor, for writing.
    let (files, refused) = as_user(USER, USER, &[], || open_all(open));
    assert_eq!((files.len(), refused), (MOST / 4, Some(libc::EMFILE)));
    // More handles of what is open cost nothing.
    let again = as_user(USER, USER, &[], || open_all(|i| open(i % files.len())));
    assert_eq!((again.0.len(), again.1), (FILES, None));
    // What is open is another user's too.
    let others = as_user(OTHER, OTHER, &[], || open(0)).unwrap();
    drop((files, again));
    common::wait_until("the descriptors to be free", || {
        as_user(USER, USER, &[], || open_all(open)).0.len() == MOST / 4
    });
    drop(others);
}

#[test]
fn nothing_is_made_that_could_not_be_opened() {
    let Some(bed) = bed() else { return };
    let at = bed.mounted();
    std::fs::set_permissions(&at, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (open, _) = open_directories(USER, &at);
    let made = as_user(USER, USER, &[], || File::create(at.join("new")));
    assert_eq!(errno(made.map(drop)), Err(libc::EMFILE));
    assert!(!bed.source().join("new").exists());
    drop(open);
}
