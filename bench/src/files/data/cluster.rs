//! A database cluster of PostgreSQL, filled by pgbench.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use nix::unistd::User;

use super::{DataSet, Store};
use crate::{interrupt, process};

/// Bytes of one unit of pgbench's scale: 100,000 accounts and their index.
const SCALE_BYTES: u64 = 15 << 20;

/// Who runs the server: it refuses to be run by root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// What the server is told beside its defaults.
const SETTINGS: [&str; 4] = [
    "shared_buffers=16MB",
    "autovacuum=off",
    "max_connections=10",
    "jit=off",
];

/// How long the server may take until it answers, and to end, in seconds.
const PATIENCE_S: &str = "120";

#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    user: u32,
    group: u32,
}

impl Postgres {
    pub(crate) fn find() -> Result<Postgres> {
        let below = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&path)
            .chain(below.map(|entry| entry.path().join("bin")))
            .find(|directory| {
                ["initdb", "postgres", "pgbench", "pg_ctl"]
                    .iter()
                    .all(|program| directory.join(program).exists())
            })
            .context("no PostgreSQL with pgbench is installed")?;
        let mut users = USERS.iter().flat_map(|name| User::from_name(name));
        let user = users.find_map(|user| user);
        let user = user.context("neither a user postgres nor nobody is there")?;
        Ok(Postgres {
            programs,
            user: user.uid.as_raw(),
            group: user.gid.as_raw(),
        })
    }

    /// One of the programs, to be run by that user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .uid(self.user)
            .gid(self.group)
            .current_dir("/")
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin");
        command
    }

    /// What starts or stops the server over a cluster, and waits until that is done; its socket is
    /// in `sockets`, which belongs to that user.
    pub(crate) fn control(&self, action: &str, cluster: &Path, sockets: &Path) -> Command {
        let mut options = format!("-k {} -h ''", sockets.display());
        for setting in SETTINGS {
            options += &format!(" -c {setting}");
        }
        let mut command = self.command("pg_ctl");
        command
            .args([action, "-w", "-s", "-t", PATIENCE_S, "-D"])
            .arg(cluster)
            .args(["-o", &options, "-l", "/dev/null"]);
        command
    }

    /// pgbench on the server whose socket is in `sockets`.
    pub(crate) fn pgbench(&self, sockets: &Path) -> Command {
        let mut command = self.command("pgbench");
        command.arg("-h").arg(sockets).args(["-U", "bench"]);
        command
    }

    pub(crate) fn sockets(&self) -> Result<tempfile::TempDir> {
        let directory = tempfile::Builder::new()
            .prefix("compcache-bench-")
            .tempdir()?;
        self.own(directory.path())?;
        Ok(directory)
    }

    fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.user), Some(self.group))
            .with_context(|| format!("cannot give {} to another user", path.display()))?;
        Ok(fs::set_permissions(path, Permissions::from_mode(0o700))?)
    }
}

/// A cluster with a database for pgbench of about `bytes`.
pub(crate) fn get(store: &Store, postgres: &Postgres, bytes: u64) -> Result<DataSet> {
    let scale = (bytes / SCALE_BYTES).max(1);
    store.get(&format!("pgbench-{scale}"), |set| {
        let cluster = set.source();
        postgres.own(&cluster)?;
        for parent in cluster.ancestors().skip(1) {
            let mode = fs::metadata(parent)?.permissions().mode();
            ensure!(
                mode & 0o001 != 0,
                "user {} of the database cannot reach {}: choose another --source",
                postgres.user,
                parent.display()
            );
        }
        let mut command = postgres.command("initdb");
        command
            .args(["--username=bench", "--no-sync", "--locale=C", "-D"])
            .arg(&cluster);
        process::output(&mut command)?;
        let sockets = postgres.sockets()?;
        let control = |action| {
            let mut command = postgres.control(action, &cluster, sockets.path());
            process::output(&mut command)
        };
        control("start")?;
        let mut command = postgres.pgbench(sockets.path());
        command.args(["-i", "-q", "-s", &scale.to_string(), "postgres"]);
        let filled = process::output(&mut command);
        let stopped = control("stop");
        filled.and(stopped)?;
        interrupt::check()
    })
}
