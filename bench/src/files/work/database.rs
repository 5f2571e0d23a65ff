//! Queries of SQLite.

use anyhow::{Result, ensure};
use fs_err as fs;

use super::job::{Job, Measured, Pass, Peers, Work, passes};
use crate::files::config::Config;
use crate::files::data::database;
use crate::files::setup::Setup;
use crate::sums;

/// The lists of queries, one after the other.
#[derive(Debug)]
struct Queries;

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = if config.quick {
        config.limit / 4
    } else {
        config.limit * 2
    };
    let data = database::get(config.store, bytes, config.scaled(4000))?;
    Ok(vec![Job {
        peers: Peers::TmpfsAndZram,
        ..Job::new(config, "sqlite3".into(), data, Queries)
    }])
}

impl Work for Queries {
    fn run(&self, setup: &mut Setup, _round: u64) -> Result<Measured> {
        passes(setup, database::AGAIN, |setup, pass| {
            let list = match pass {
                Pass::First => 0,
                Pass::Warm => database::WARM,
                Pass::Again(number) => number + database::WARM + 1,
            };
            let data = &setup.data;
            let expected = data.beside(&format!("expected-{list}"));
            let expected: u64 = fs::read_to_string(expected)?.parse()?;
            let file = setup.directory().join(database::FILE);
            let queries = data.beside(&format!("queries-{list}"));
            let ended = setup.run(&mut database::command(&file, &queries)?)?;
            ensure!(
                sums::of(&ended.output) == expected,
                "the answers to list {list} of the queries are wrong"
            );
            Ok(ended.seconds)
        })
    }
}
