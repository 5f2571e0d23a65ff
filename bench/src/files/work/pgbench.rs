//! Look-ups in PostgreSQL.

use anyhow::{Result, ensure};

use super::job::{Job, Measured, Pass, passes};
use crate::files::config::Config;
use crate::files::data::cluster::{self, Postgres};
use crate::files::setup::Setup;

/// Memory that the server needs for itself, in bytes: it is added to the limit.
const SERVER: u64 = 64 << 20;

/// How many times as many transactions there are to warm up.
const WARM_TIMES: u64 = 20;

/// Clients at once.
const CLIENTS: u64 = 2;

struct Pgbench {
    postgres: Postgres,
    again: usize,
    /// Of each client, in each pass.
    transactions: u64,
}

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let postgres = Postgres::find()?;
    let bytes = config.common.choose(0, config.limit * 2);
    let data = cluster::get(config.store, &postgres, bytes)?;
    let pgbench = Pgbench {
        postgres,
        again: config.again(2),
        transactions: config.scaled(5000),
    };
    let work = move |setup: &mut Setup, round| pgbench.run(setup, round);
    Ok(vec![Job {
        // The server notes that it runs, and would not start after a run that was broken off.
        copied: true,
        limit: Some(config.limit + SERVER),
        ..Job::new(config, "pgbench -S".into(), data, work)
    }])
}

impl Pgbench {
    /// Should it fail, the server is ended with all else that is left in the cgroup.
    fn run(&self, setup: &mut Setup, round: u64) -> Result<Measured> {
        let sockets = self.postgres.sockets()?;
        let control = |setup: &Setup, action| {
            let cluster = setup.directory();
            setup.run(&mut self.postgres.control(action, cluster, sockets.path()))
        };
        control(setup, "start")?;
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
        control(setup, "stop")?;
        Ok(measured)
    }
}
