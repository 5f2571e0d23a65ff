//! Many threads at once.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use common::Bed;
use compcache_random::Random;

/// One random operation on a few names that all threads share. Names come and go meanwhile, which
/// is the only thing that may fail.
fn step(at: &Path, random: &mut Random) -> io::Result<()> {
    let mut name = || at.join(format!("d{}/f{}", random.below(3), random.below(12)));
    let (one, two) = (name(), name());
    match random.below(9) {
        0 | 1 => fs::write(&one, vec![b'x'; random.below(20_000) as usize]),
        2 => fs::read(&one).map(|bytes| assert!(bytes.iter().all(|&b| b == b'x' || b == 0))),
        3 => fs::remove_file(&one),
        4 => fs::rename(&one, &two),
        5 => fs::hard_link(&one, &two),
        6 => File::options()
            .write(true)
            .open(&one)?
            .write_all_at(b"xxxx", random.below(30_000)),
        7 => File::options()
            .write(true)
            .open(&one)?
            .set_len(random.below(30_000)),
        _ => {
            for entry in fs::read_dir(one.parent().unwrap())? {
                if let Err(e) = entry?.metadata()
                    && e.kind() != io::ErrorKind::NotFound
                {
                    return Err(e);
                }
            }
            Ok(())
        }
    }
}

fn tree(at: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for directory in fs::read_dir(at).unwrap() {
        for file in fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(at).unwrap().display().to_string();
            all.insert(name, fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn threads_share_names_and_files() {
    let Some(bed) = Bed::with(|_, hooks| hooks.most_inodes = Some(16)) else {
        return;
    };
    for i in 0..3 {
        fs::create_dir(bed.mounted().join(format!("d{i}"))).unwrap();
    }
    std::thread::scope(|scope| {
        for seed in 1..=6_u64 {
            let mounted = bed.mounted();
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..1500 {
                    if let Err(e) = step(&mounted, &mut random) {
                        let allowed = [libc::ENOENT, libc::EEXIST];
                        assert!(allowed.contains(&e.raw_os_error().unwrap()), "{e}");
                    }
                }
            });
        }
    });
    let expected = tree(&bed.source());
    let seen = tree(&bed.mounted());
    assert!(seen.keys().eq(expected.keys()));
    for (name, bytes) in &expected {
        assert!(seen[name] == *bytes, "{name}");
    }
}
