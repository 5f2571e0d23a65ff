//! Queries of a database of SQLite.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use compcache_random::Random;
use fs_err::{self as fs, File};

use super::job::{Job, Pass, Peers, passes};
use crate::files::config::Config;
use crate::files::data::{DataSet, Store};
use crate::process::{self, Running};
use crate::{interrupt, sums};

/// The program that makes and asks the database.
const PROGRAM: &str = "sqlite3";

const FILE: &str = "items.sqlite";

/// Lists of queries beside the first and the one to warm up.
const AGAIN: usize = 2;

/// The list to warm up, and how many times as long as the others it is.
const WARM: usize = 1;
const WARM_TIMES: u64 = 25;

/// About how many bytes a row takes, its entry of the index included.
const ROW_BYTES: u64 = 235;

/// How many rows of so many queries that ask for a range.
const RANGE: u64 = 200;
const RANGE_EVERY: u64 = 20;

const WORDS: [&str; 12] = [
    "packed", "memory", "kernel", "holds", "pages", "which", "device", "of", "the", "and",
    "swapped", "lists",
];

/// The lists of queries, one after the other.
pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = config.common.choose(config.limit / 4, config.limit * 2);
    let data = database(config.store, bytes, config.scaled(4000))?;
    let job = Job::new(config, "sqlite3".into(), data, |setup, _| {
        passes(setup, AGAIN, |setup, pass| {
            let list = match pass {
                Pass::First => 0,
                Pass::Warm => WARM,
                Pass::Again(number) => number + WARM + 1,
            };
            let data = &setup.data;
            let expected = data.beside(&format!("expected-{list}"));
            let expected: u64 = fs::read_to_string(expected)?.parse()?;
            let file = setup.directory().join(FILE);
            let queries = data.beside(&format!("queries-{list}"));
            let ended = setup.run(&mut ask(&file, &queries)?)?;
            ensure!(
                sums::of(&ended.output) == expected,
                "the answers to list {list} of the queries are wrong"
            );
            Ok(ended.seconds)
        })
    });
    Ok(vec![Job {
        peers: Peers::TmpfsAndZram,
        ..job
    }])
}

/// A database of about `bytes`, and lists of `queries` each: by key, by name, and ranges.
fn database(store: &Store, bytes: u64, queries: u64) -> Result<DataSet> {
    store.get(&format!("sqlite-{}M-{queries}", bytes >> 20), |set| {
        let rows = bytes / ROW_BYTES;
        let path = set.source().join(FILE);
        fill(&path, rows)?;
        for list in 0..=WARM + AGAIN {
            let times = if list == WARM { WARM_TIMES } else { 1 };
            let queries_at = set.beside(&format!("queries-{list}"));
            write_queries(&queries_at, rows, queries * times, list as u64)?;
            let answers = process::output(&mut ask(&path, &queries_at)?)?;
            ensure!(!answers.is_empty(), "{PROGRAM} answers nothing");
            let sum = sums::of(&answers);
            fs::write(set.beside(&format!("expected-{list}")), sum.to_string())?;
        }
        Ok(())
    })
}

/// The command that asks a database a list of queries.
fn ask(database: &Path, queries: &Path) -> Result<Command> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["-batch", "-init", "/dev/null", "-readonly"])
        .arg(database)
        .stdin(File::open(queries)?.into_file());
    Ok(command)
}

fn fill(path: &Path, rows: u64) -> Result<()> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["-batch", "-bail", "-init", "/dev/null"])
        .arg(path);
    let mut program = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::null()))?;
    let input = program.0.stdin.take().context("it has no input")?;
    write_rows(&mut BufWriter::new(input), rows)?;
    let status = program.0.wait()?;
    ensure!(status.success(), "{PROGRAM} ended with {status}");
    Ok(())
}

fn write_rows(out: &mut impl Write, rows: u64) -> Result<()> {
    let mut random = Random::new(11);
    writeln!(
        out,
        "pragma journal_mode = off; pragma synchronous = off; begin;\n\
         create table item (id integer primary key, name text, price real, stock int, note text);"
    )?;
    for id in 0..rows {
        if id % 10_000 == 0 {
            interrupt::check()?;
        }
        let price = random.below(1_000_000);
        let note: Vec<&str> = (0..random.below(30) + 10)
            .map(|_| WORDS[random.index(WORDS.len())])
            .collect();
        writeln!(
            out,
            "insert into item values ({id}, '{}', {}.{:02}, {}, '{}');",
            name(id),
            price / 100,
            price % 100,
            random.below(500),
            note.join(" ")
        )?;
    }
    writeln!(out, "create index by_name on item (name); commit;")?;
    out.flush()?;
    Ok(())
}

fn name(id: u64) -> String {
    let random = Random::new(id).next_u64();
    format!("{} {:06x}", WORDS[(random % 12) as usize], random >> 40)
}

fn write_queries(path: &Path, rows: u64, queries: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let mut out = BufWriter::new(File::create(path)?);
    for number in 0..queries {
        let id = random.below(rows);
        if number % RANGE_EVERY == 0 {
            writeln!(
                out,
                "select count(*), sum(stock), max(price) from item where id between {id} and {};",
                id + RANGE
            )?;
        } else if number % 2 == 0 {
            writeln!(out, "select name, price, note from item where id = {id};")?;
        } else {
            let name = name(id);
            writeln!(
                out,
                "select id, stock from item where name = '{name}' order by id;"
            )?;
        }
    }
    out.flush()?;
    Ok(())
}
