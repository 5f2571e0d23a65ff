//! The file layer against a model of it: random sequences of operations, through a mount whose
//! cache is far smaller than what the files hold. See [`compcache_tests::model`].

use compcache_tests::model::{Durability, Place, Tree, seeds};
use compcache_tests::{Mode, MountBed};

/// Sequences between one mount and the next.
const BATCH: usize = 100;

fn place(bed: &MountBed, mode: Mode) -> Place {
    let durability = match mode {
        Mode::Through => Some(Durability::Written),
        Mode::Back => Some(Durability::Synced),
        Mode::Ram => None,
    };
    Place {
        point: bed.point().to_owned(),
        source: durability.map(|durability| (bed.source().to_owned(), durability)),
    }
}

/// Reads everything again: from the kernel's page cache, then past it. What is read a second time
/// is taken into the compressed cache, from which the last time reads.
fn verify(trees: &[Tree]) {
    for tree in trees {
        tree.verify().expect("the files are as they were");
        for _ in 0..3 {
            tree.drop_page_cache().expect("the files");
            tree.verify().expect("the files are as they were");
        }
    }
}

fn run(mode: Mode, options: &[&str], default: u64) {
    let Some(bed) = MountBed::new() else { return };
    bed.mount(mode, options);
    let place = place(&bed, mode);
    let mut trees = Vec::new();
    for seed in seeds(default) {
        trees.push(place.run_seed("seed", seed));
        if trees.len() == BATCH {
            end_of_batch(&bed, mode, &mut trees);
            bed.mount(mode, options);
        }
    }
    end_of_batch(&bed, mode, &mut trees);
}

/// Verifies, unmounts, and verifies SOURCE once more.
fn end_of_batch(bed: &MountBed, mode: Mode, trees: &mut Vec<Tree>) {
    verify(trees);
    let status = bed.status();
    assert_eq!(
        (status.counts.corrupt, status.write_errors),
        (0, 0),
        "{status:?}"
    );
    if mode != Mode::Ram && trees.len() == BATCH {
        // Otherwise nothing was tested.
        assert!(
            status.counts.hits > 0 && status.counts.evicted > 0,
            "{status:?}"
        );
    }
    bed.umount();
    for tree in trees.drain(..) {
        if mode != Mode::Ram {
            tree.verify_source().expect("the files in SOURCE");
            tree.remove_source();
        }
    }
}

#[test]
fn write_through() {
    run(Mode::Through, &["--cache", "1M"], 400);
}

/// Pages are written out while others are written.
#[test]
fn write_back() {
    let options = [
        "--cache",
        "1536K",
        "--dirty-limit",
        "1M",
        "--dirty-after",
        "1",
    ];
    run(Mode::Back, &options, 800);
}

/// Pages are written out by fsync and close only.
#[test]
fn write_back_for_long() {
    run(
        Mode::Back,
        &[
            "--cache",
            "1536K",
            "--dirty-limit",
            "2M",
            "--dirty-after",
            "3600",
        ],
        800,
    );
}

#[test]
fn strict() {
    for mode in Mode::WITH_SOURCE {
        run(mode, &["--cache", "1M", "--strict", "--codec", "zstd"], 400);
    }
}

#[test]
fn in_memory() {
    run(Mode::Ram, &["--size", "1G"], 800);
}
