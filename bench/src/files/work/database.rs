//! Queries of SQLite.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{Job, Measured, Pass, Peers, Setting, Work, passes};
use crate::files::data::database;
use crate::files::stage::Stage;
use crate::files::sums;

/// The lists of queries, one after the other.
#[derive(Debug)]
struct Queries;

/// The job.
///
/// # Errors
/// Where there is no sqlite3.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let bytes = if setting.quick {
        setting.limit / 4
    } else {
        setting.limit * 2
    };
    let data = database::get(setting.store, bytes, setting.scaled(4000))?;
    Ok(vec![Job {
        peers: Peers::TmpfsAndZram,
        ..Job::new(setting, "sqlite3".into(), data, Queries)
    }])
}

impl Work for Queries {
    fn run(&self, stage: &mut Stage, _round: u64) -> Result<Measured> {
        passes(stage, database::AGAIN, |stage, pass| {
            let list = match pass {
                Pass::First => 0,
                Pass::Warm => database::WARM,
                Pass::Again(number) => number + database::WARM + 1,
            };
            let data = stage.data();
            let expected = data.beside(&format!("expected-{list}"));
            let expected: u64 = fs::read_to_string(&expected)
                .with_context(|| format!("cannot read {}", expected.display()))?
                .parse()?;
            let file = stage.directory().join(database::FILE);
            let queries = data.beside(&format!("queries-{list}"));
            let ended = stage.run(&mut database::command(&file, &queries)?)?;
            ensure!(
                sums::of(&ended.output) == expected,
                "the answers to list {list} of the queries are wrong"
            );
            Ok(ended.seconds)
        })
    }
}
