//! Listing directories: large ones, and while they change.

mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::path::Path;

use common::Bed;
use rustix::fs::{RawDir, SeekFrom};

fn names(path: &Path) -> HashSet<String> {
    let all: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let set: HashSet<String> = all.iter().cloned().collect();
    assert_eq!(all.len(), set.len(), "no name comes twice");
    set
}

#[test]
fn a_hundred_thousand_entries() {
    const COUNT: usize = 100_000;
    let Some(bed) = Bed::new() else {
        return;
    };
    for i in 0..COUNT {
        File::create(bed.source().join(format!("file-{i:06}"))).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(names(&bed.mounted()).len(), COUNT);
    }
    // With attributes.
    let links: u64 = fs::read_dir(bed.mounted())
        .unwrap()
        .map(|entry| {
            let found = entry.unwrap().metadata().unwrap();
            std::os::unix::fs::MetadataExt::nlink(&found)
        })
        .sum();
    assert_eq!(links, COUNT as u64);
    // Removed while they are listed: each that stays is seen once.
    let mut seen = HashSet::new();
    for (i, entry) in fs::read_dir(bed.mounted()).unwrap().enumerate() {
        let name = entry.unwrap().file_name();
        if i % 2 == 0 {
            fs::remove_file(bed.mounted().join(&name)).unwrap();
        }
        assert!(seen.insert(name));
    }
    assert_eq!(seen.len(), COUNT);
    assert_eq!(names(&bed.mounted()).len(), COUNT / 2);
    assert_eq!(names(&bed.source()).len(), COUNT / 2);
    for entry in fs::read_dir(bed.mounted()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(names(&bed.source()).len(), 0);
}

#[test]
fn offsets_lead_back_to_where_they_were_taken() {
    let Some(bed) = Bed::new() else {
        return;
    };
    for i in 0..2000 {
        File::create(bed.source().join(format!("f{i}"))).unwrap();
    }
    let directory = File::open(bed.mounted()).unwrap();
    let list = || {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&directory, &mut buffer);
        let mut all = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_owned();
            all.push((name, entry.next_entry_cookie()));
        }
        all
    };
    let all = list();
    assert_eq!(all.len(), 2002);
    for at in [0, 1, 777, 1500, 2000] {
        rustix::fs::seek(&directory, SeekFrom::Start(all[at].1)).unwrap();
        assert_eq!(list(), all[at + 1..], "after entry {at}");
    }
    // A rewound directory shows what was made since.
    File::create(bed.source().join("new")).unwrap();
    fs::remove_file(bed.mounted().join("f0")).unwrap();
    rustix::fs::seek(&directory, SeekFrom::Start(0)).unwrap();
    let names: Vec<_> = list().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&c"new".to_owned()));
    assert!(!names.contains(&c"f0".to_owned()));
}

#[test]
fn a_listing_shows_what_changed_beneath() {
    let Some(bed) = Bed::with(|options, _| {
        options.revalidate = std::time::Duration::ZERO;
    }) else {
        return;
    };
    let mut expected = HashSet::new();
    for i in 0..50 {
        let name = format!("f{i}");
        fs::write(bed.source().join(&name), "x").unwrap();
        expected.insert(name);
        assert_eq!(names(&bed.mounted()), expected);
        if i % 3 == 0 {
            let name = format!("f{}", i / 3);
            fs::remove_file(bed.source().join(&name)).unwrap();
            expected.remove(&name);
            assert_eq!(names(&bed.mounted()), expected);
        }
    }
}

#[test]
fn a_tree_is_removed() {
    let Some(bed) = Bed::new() else {
        return;
    };
    let tree = bed.mounted().join("tree");
    for i in 0..20 {
        let directory = tree.join(format!("a{i}/b/c"));
        fs::create_dir_all(&directory).unwrap();
        for j in 0..20 {
            fs::write(directory.join(format!("f{j}")), "x").unwrap();
        }
    }
    fs::remove_dir_all(&tree).unwrap();
    assert_eq!(names(&bed.source()).len(), 0);
}
