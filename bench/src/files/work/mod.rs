//! What is done with files: the workloads.

mod adapt;
mod build;
mod grep;
pub(crate) mod job;
mod pgbench;
mod reads;
mod scan;
mod sqlite;
mod stat;
mod write;

use anyhow::Result;

use super::config::Config;
use job::Job;

/// A group of workloads that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Pages anywhere in more files than fit into memory, uniform
    Random,
    /// The same by Zipf's law
    Zipf,
    /// grep -r over a source tree, again and again
    Grep,
    /// cargo build, from nothing each time
    Build,
    /// Queries of sqlite3
    Sqlite,
    /// pgbench -S on PostgreSQL
    Pgbench,
    /// Files that just fit into memory without us
    Fits,
    /// What the kernel's page cache holds, by pread(2) and mmap(2)
    Hot,
    /// git status in a repository of 50,000 files
    Stat,
    /// A set in use while a long scan comes by
    Scan,
    /// A working set that grows and shrinks
    Adapt,
    /// Writes with fsync(2)
    Write,
}

/// Makes the jobs of a group, and their data sets.
pub(crate) fn jobs(name: Name, config: &Config<'_>) -> Result<Vec<Job>> {
    match name {
        Name::Random => reads::uniform(config),
        Name::Zipf => reads::zipf(config),
        Name::Grep => grep::jobs(config),
        Name::Build => build::jobs(config),
        Name::Sqlite => sqlite::jobs(config),
        Name::Pgbench => pgbench::jobs(config),
        Name::Fits => reads::fits(config),
        Name::Hot => reads::hot(config),
        Name::Stat => stat::jobs(config),
        Name::Scan => scan::jobs(config),
        Name::Adapt => adapt::jobs(config),
        Name::Write => write::jobs(config),
    }
}
