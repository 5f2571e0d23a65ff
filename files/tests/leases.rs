//! Who holds leases on files in SOURCE (fcntl(2), `F_SETLEASE`) keeps nobody else waiting.

mod common;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;

use common::{Bed, USER, as_user, errno, truncate, wait_until};

/// The command of fcntl(2) that chooses a signal.
const F_SETSIG: i32 = 10;

/// More than there are threads that answer the kernel.
const FILES: usize = 12;

fn call(file: &File, command: i32, argument: i32) -> i32 {
    // SAFETY: these commands take a number.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    assert!(done >= 0, "{}", io::Error::last_os_error());
    done
}

/// A file with a lease that each other open of it breaks.
fn leased(path: &Path) -> File {
    let file = File::open(path).unwrap();
    // Not SIGIO, which would end this program.
    call(&file, F_SETSIG, libc::SIGURG);
    call(&file, libc::F_SETLEASE, libc::F_WRLCK);
    file
}

#[test]
fn leases_of_one_user_stall_nobody() {
    let Some(bed) = Bed::with(|options, _| options.workers = Some(4)) else {
        return;
    };
    let (source, mounted) = (bed.source(), bed.mounted());
    fs::set_permissions(&source, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(source.join("other"), "another file").unwrap();
    let name = |number: usize| format!("leased{number}");
    let leases: Vec<File> = (0..FILES)
        .map(|number| {
            let path = source.join(name(number));
            fs::write(&path, "text").unwrap();
            chown(&path, Some(USER), Some(USER)).unwrap();
            as_user(USER, USER, &[], || leased(&path))
        })
        .collect();
    std::thread::scope(|scope| {
        let opens: Vec<_> = (0..FILES)
            .map(|number| {
                let path = mounted.join(name(number));
                scope.spawn(move || {
                    as_user(USER, USER, &[], || match number {
                        // Of a file that is not open.
                        0 => {
                            truncate(&path, 2).unwrap();
                            fs::read_to_string(&path).unwrap()
                        }
                        _ => fs::read_to_string(&path).unwrap(),
                    })
                })
            })
            .collect();
        let is_asked_for = |lease| call(lease, libc::F_GETLEASE, 0) != libc::F_WRLCK;
        wait_until("all leases to be asked for", || {
            leases.iter().all(is_asked_for)
        });
        let at_once = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(mounted.join(name(1)));
        assert_eq!(errno(at_once.map(drop)), Err(libc::EWOULDBLOCK));
        assert_eq!(fs::read_dir(&mounted).unwrap().count(), FILES + 1);
        let other = fs::read_to_string(mounted.join("other")).unwrap();
        assert_eq!(other, "another file");
        fs::write(mounted.join("new"), "text").unwrap();
        assert!(
            opens.iter().all(|open| !open.is_finished()),
            "the leases were given up before"
        );
        drop(leases);
        for (number, open) in opens.into_iter().enumerate() {
            let expected = if number == 0 { "te" } else { "text" };
            assert_eq!(open.join().unwrap(), expected);
        }
    });
}
