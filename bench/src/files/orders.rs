//! What the process in the cage is told to do with files, and what it answers.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::histogram::Sparse;

/// What it is told on its command line.
#[derive(Debug, Args)]
pub(crate) struct HandArgs {
    /// The directory whose files it reads, all of the same size but the last
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// The checksums of all pages of these files, in the order of their names
    #[arg(long)]
    pub(crate) sums: PathBuf,
    /// What decides which pages it reads
    #[arg(long)]
    pub(crate) seed: u64,
}

/// How pages are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Choice {
    /// Any is as likely as any other.
    Uniform,
    /// By Zipf's law with this exponent.
    Zipf(f64),
}

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Read all files from the first to the last page, and check them.
    Sequential {
        /// Files to pass over.
        skip: usize,
    },
    /// Read pages of the first `share` of all, and check them.
    Random {
        /// How many.
        reads: u64,
        /// Of all pages, 0 to 1.
        share: f64,
        /// Which.
        choice: Choice,
    },
    /// Read, by pread(2), blocks of so many bytes anywhere, and check nothing.
    Hot {
        /// How many.
        reads: u64,
        /// Bytes of each.
        bytes: usize,
    },
    /// Touch pages anywhere through mmap(2), and check nothing.
    Mapped {
        /// How many.
        touches: u64,
    },
    /// Write a new file from the first to the last byte, and fsync(2) it. Its content is that of
    /// the files read, over and over.
    Write {
        /// Its name.
        path: PathBuf,
        /// Its pages.
        pages: u64,
    },
    /// Overwrite pages anywhere in the file that was written.
    Overwrite {
        /// How many.
        writes: u64,
        /// After how many of them there is an fsync(2).
        sync_every: u64,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// How long it took.
    pub(crate) seconds: f64,
    /// The time of each read; nothing where these were not taken.
    pub(crate) times: Sparse,
    /// The checksum of the file written so far; 0 of none.
    pub(crate) written: u64,
}
