//! Look-ups in PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::job::{Job, Measured, Pass, Work, passes};
use crate::files::config::Config;
use crate::files::data::cluster::{self, Postgres};
use crate::files::setup::Setup;
use crate::interrupt;
use crate::process::Running;

/// Memory that the server needs for itself, in bytes: it is added to the limit.
const SERVER: u64 = 64 << 20;

/// How long the server may take until it answers, and to end.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How many times as many transactions there are to warm up.
const WARM_TIMES: u64 = 20;

/// Clients at once.
const CLIENTS: u64 = 2;

#[derive(Debug)]
struct Pgbench {
    postgres: Postgres,
    again: usize,
    /// Of each client, in each pass.
    transactions: u64,
}

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let postgres = Postgres::find()?;
    let bytes = if config.quick { 0 } else { config.limit * 2 };
    let data = cluster::get(config.store, &postgres, bytes)?;
    let work = Pgbench {
        postgres,
        again: config.again(2),
        transactions: config.scaled(5000),
    };
    Ok(vec![Job {
        // The server notes that it runs, and would not start after a run that was broken off.
        copied: true,
        limit: Some(config.limit + SERVER),
        ..Job::new(config, "pgbench -S".into(), data, work)
    }])
}

impl Work for Pgbench {
    fn run(&self, setup: &mut Setup, round: u64) -> Result<Measured> {
        let sockets = self.postgres.sockets()?;
        let mut server = setup.start(
            self.postgres
                .server(setup.directory(), sockets.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        wait_until_ready(&mut server, setup.directory())?;
        let measured = passes(setup, self.again, |setup, pass| {
            let (seed, transactions) = match pass {
                Pass::First => (0, self.transactions),
                Pass::Warm => (1, self.transactions * WARM_TIMES),
                Pass::Again(number) => (2 + number as u64, self.transactions),
            };
            let seed = round * 100 + seed;
            let mut command = self.postgres.pgbench(sockets.path());
            command
                .args(["-S", "-n", "-M", "prepared", "-j", "1"])
                .args(["-c", &CLIENTS.to_string(), "-t", &transactions.to_string()])
                .args(["--random-seed", &seed.to_string(), "postgres"]);
            let ended = setup.run(&mut command)?;
            let text = String::from_utf8_lossy(&ended.output);
            let all = CLIENTS * transactions;
            ensure!(
                text.contains(&format!("transactions actually processed: {all}/{all}")),
                "pgbench did not do all of its work: {text}"
            );
            Ok(ended.seconds)
        })?;
        end(&mut server)?;
        Ok(measured)
    }
}

/// Waits until the last line of the server's own file says so (`pidfile.h` of PostgreSQL).
fn wait_until_ready(server: &mut Running, cluster: &Path) -> Result<()> {
    let start = Instant::now();
    let path = cluster.join("postmaster.pid");
    loop {
        if let Some(status) = server.0.try_wait()? {
            bail!("the server of PostgreSQL ended with {status}");
        }
        // It is not there at the start.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text
            .lines()
            .next_back()
            .is_some_and(|line| line.trim() == "ready")
        {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "the server of PostgreSQL does not answer"
        );
        interrupt::pause(LOOK_EVERY)?;
    }
}

fn end(server: &mut Running) -> Result<()> {
    let pid = Pid::from_child(&server.0);
    // "Fast shutdown".
    kill_process(pid, Signal::INT).context("cannot end the server of PostgreSQL")?;
    let start = Instant::now();
    while server.0.try_wait()?.is_none() {
        ensure!(
            start.elapsed() < PATIENCE,
            "the server of PostgreSQL does not end"
        );
        interrupt::pause(LOOK_EVERY)?;
    }
    Ok(())
}
