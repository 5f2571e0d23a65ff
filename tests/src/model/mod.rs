//! Files as the file layer must show them, and the same operations on real ones.
//!
//! A [`Tree`] runs a sequence of operations (`Op`) in a directory of its own and keeps in memory
//! what each file must hold. What it reads, finds or is refused is compared at once; at the end
//! every file is compared whole, through the mount and where SOURCE has it. Run on a bare
//! directory, the same test shows that the model is right about Linux.
//!
//! ```text
//! COMPCACHE_MODEL_SEEDS=5000  so many sequences for each mode instead of a few hundred
//! COMPCACHE_MODEL_FIRST=17    starting with this one
//! ```

mod op;
mod run;
mod shrink;

use std::fs;
use std::path::{Path, PathBuf};

use op::Op;
pub use run::Tree;

/// When SOURCE must hold what a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once.
    Written,
    /// After fsync and close.
    Synced,
}

/// Where sequences run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The mount.
    pub point: PathBuf,
    /// Its SOURCE, if it has one.
    pub source: Option<(PathBuf, Durability)>,
}

/// Number of sequences that are run: the variable's, or `default`.
///
/// # Panics
/// If the variable is not a number.
#[must_use]
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    };
    let first = number("COMPCACHE_MODEL_FIRST", 0);
    first..first + number("COMPCACHE_MODEL_SEEDS", default)
}

impl Place {
    /// Runs the sequence of a seed in a new directory `NAME-SEED`, and gives what is there then.
    ///
    /// # Panics
    /// If something is not as it must be: the message has the seed and as few of the
    /// operations as still fail.
    #[track_caller]
    pub fn run_seed(&self, name: &str, seed: u64) -> Tree {
        let ops = Op::sequence(seed);
        match self.run(&format!("{name}-{seed}"), &ops) {
            Ok(tree) => tree,
            Err(what) => self.explain(name, seed, &ops, &what),
        }
    }

    fn run(&self, name: &str, ops: &[Op]) -> Result<Tree, String> {
        let mut tree = Tree::new(self, name);
        tree.run(ops)?;
        Ok(tree)
    }

    #[track_caller]
    fn explain(&self, name: &str, seed: u64, ops: &[Op], what: &str) -> ! {
        let mut tries = 0;
        let mut last = what.to_owned();
        let shortest = shrink::shrink(ops, |part| {
            tries += 1;
            match self.run(&format!("{name}-{seed}-shrunk-{tries}"), part) {
                Ok(_) => false,
                Err(what) => {
                    last = what;
                    true
                }
            }
        });
        let mut text = format!("{name}, seed {seed}: {what}\n");
        if shortest.len() == ops.len() {
            text.push_str("no part of it fails by itself:\n");
        } else {
            text.push_str(&format!("shrunk, it fails with: {last}\n"));
        }
        for op in shortest {
            text.push_str(&format!("    {op:?}\n"));
        }
        panic!("{text}");
    }
}

/// The whole of a file; an error names it.
fn read_whole(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Says where two contents differ.
fn compare(what: &str, found: &[u8], wanted: &[u8]) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let same = found.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    let differing = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
    let part = |bytes: &[u8]| {
        format!(
            "{:02x?}",
            &bytes[same.min(bytes.len())..][..8.min(bytes.len().saturating_sub(same))]
        )
    };
    Err(format!(
        "{what}: {} bytes instead of {}, {differing} wrong, from byte {same:#x} on: {} instead of {}",
        found.len(),
        wanted.len(),
        part(found),
        part(wanted),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model is right about Linux's own file systems.
    #[test]
    fn on_a_bare_directory() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place {
            point: directory.path().to_owned(),
            source: Some((directory.path().to_owned(), Durability::Written)),
        };
        for seed in seeds(300) {
            place.run_seed("bare", seed).verify().unwrap();
        }
    }

    /// A wrong byte is found, wherever it is.
    #[test]
    fn differences_are_told() {
        let error = compare("here", &[1, 2, 3], &[1, 2, 4]).unwrap_err();
        assert!(error.contains("1 wrong, from byte 0x2"), "{error}");
        assert!(compare("here", &[1], &[1, 2]).is_err());
        assert!(compare("here", &[1, 2], &[1, 2]).is_ok());
    }
}
