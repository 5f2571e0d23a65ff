//! What the end-to-end tests share: a private daemon ([`Bed`]), programs in memory cgroups
//! ([`Cgroup`], [`Hog`]), and the machine's state before and after ([`Machine`]).
//!
//! The tests are in `tests/`, one subject a file. They need root, `/dev/fuse`, a loop driver and
//! a memory cgroup (version 1 or 2). A test whose needs are not met prints a line that begins
//! with `SKIPPED:` and passes; with `COMPCACHE_REQUIRE_ROOT_TESTS=1` it fails instead, as in
//! `.ci/run`.
//!
//! Each test has a runtime and a device directory of its own, so that a daemon that serves the
//! machine is not disturbed. Swap is one for the whole machine: tests take a lock
//! ([`Machine::take`]) and run one after the other. Everything a test made is taken down when it
//! ends, and when it panics: swap first, then the daemon, then cgroups and mounts.
//!
//! Tests of file mounts ([`MountBed`]) compare with a model of files ([`model`]), with bare
//! directories ([`tree`]), and have SOURCE fail ([`faulty`]). They run fewer cases than they can:
//!
//! ```text
//! COMPCACHE_MODEL_SEEDS=5000    sequences of operations for each mode
//! COMPCACHE_MODEL_FIRST=17      the first of them: a failing test names its seed
//! COMPCACHE_TEST_FILES=1000000  files of a walk over many
//! ```
//!
//! The programs under test are built by the harness itself ([`binary`]).

pub use compcache_test_support::{DEADLINE, SetAtEnd, needs, until, until_or, wait_until};

mod bed;
mod binaries;
mod cgroup;
pub mod content;
pub mod faulty;
mod guest;
mod hog;
mod machine;
mod map;
pub mod model;
mod mount;
mod outcome;
mod process;
mod sandbox;
mod swap_area;
pub mod tree;
mod unit;

pub use bed::{Bed, NOBODY, stats};
pub use binaries::{binary, test_program};
pub use cgroup::{Cgroup, Nested, left_behind};
pub use compcache_random::Random;
pub use guest::guest;
pub use hog::Hog;
pub use machine::{Machine, loops_under, mounts_under, processes_with};
pub use map::Map;
pub use mount::{Mode, MountBed, drop_page_cache};
pub use outcome::{OnTerminal, Outcome, Running};
pub use process::{Limit, limits, proc_file, status_field, status_word};
pub use sandbox::Sandbox;
pub use swap_area::{LoopFile, SmallFilesystem, open_direct, swap_file};
pub use unit::{Unit, packaged};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;
/// Bytes in a page.
pub const PAGE: u64 = 4096;
