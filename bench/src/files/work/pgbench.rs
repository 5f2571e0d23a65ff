//! Look-ups in PostgreSQL.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Job, Measured, Setting, Work, passes};
use crate::files::data::cluster::{self, Postgres};
use crate::files::program::Running;
use crate::files::stage::Stage;
use crate::interrupt;

/// Memory that the server needs for itself, in bytes: it is added to the limit.
const SERVER: u64 = 64 << 20;

/// How long the server may take until it answers, and to end.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Clients at once.
const CLIENTS: u64 = 2;

/// `pgbench -S`, so often again.
#[derive(Debug)]
struct Pgbench {
    postgres: Postgres,
    again: usize,
    /// Of each client, in each pass.
    transactions: u64,
}

/// The job.
///
/// # Errors
/// Where there is no PostgreSQL.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let postgres = Postgres::find()?;
    let bytes = if setting.quick { 0 } else { setting.limit * 2 };
    let data = cluster::get(setting.store, &postgres, bytes)?;
    let work = Pgbench {
        postgres,
        again: setting.again(3),
        transactions: setting.scaled(5000),
    };
    Ok(vec![Job {
        limit: Some(setting.limit + SERVER),
        ..Job::new(setting, "pgbench -S".into(), data, work)
    }])
}

impl Work for Pgbench {
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured> {
        let sockets = self.postgres.sockets()?;
        let mut server = stage.start(
            self.postgres
                .server(stage.directory(), sockets.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        wait_until_ready(&mut server, sockets.path())?;
        let measured = passes(self.again, |pass| {
            let seed = round * 100 + pass as u64;
            let mut command = self.postgres.pgbench(sockets.path());
            command
                .args(["-S", "-n", "-M", "prepared", "-j", "1"])
                .args([
                    "-c",
                    &CLIENTS.to_string(),
                    "-t",
                    &self.transactions.to_string(),
                ])
                .args(["--random-seed", &seed.to_string(), "postgres"]);
            let ended = stage.run(&mut command)?;
            let text = String::from_utf8_lossy(&ended.output);
            let all = CLIENTS * self.transactions;
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

/// The server makes its socket before it answers; a client would be told to come later.
fn wait_until_ready(server: &mut Running, sockets: &Path) -> Result<()> {
    let start = Instant::now();
    let lock = sockets.join(".s.PGSQL.5432.lock");
    loop {
        if let Some(status) = server.child().try_wait()? {
            bail!("the server of PostgreSQL ended with {status}");
        }
        // Its last line says what the server does (miscadmin.h of PostgreSQL).
        let text = std::fs::read_to_string(&lock).unwrap_or_default();
        if text.lines().any(|line| line.trim() == "ready") || answers(sockets) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "the server of PostgreSQL does not answer"
        );
        interrupt::pause(LOOK_EVERY)?;
    }
}

fn answers(sockets: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(sockets.join(".s.PGSQL.5432")).is_ok()
}

/// Has it write its state and end.
fn end(server: &mut Running) -> Result<()> {
    let pid = Pid::from_child(server.child());
    // "Fast shutdown".
    kill_process(pid, Signal::INT).context("cannot end the server of PostgreSQL")?;
    let start = Instant::now();
    while server.child().try_wait()?.is_none() {
        ensure!(
            start.elapsed() < PATIENCE,
            "the server of PostgreSQL does not end"
        );
        interrupt::pause(LOOK_EVERY)?;
    }
    Ok(())
}
