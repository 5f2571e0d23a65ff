//! A database cluster of PostgreSQL, filled by pgbench.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{DataSet, Store};
use crate::interrupt;

/// Bytes of one unit of pgbench's scale: 100,000 accounts and their index.
const SCALE_BYTES: u64 = 15 << 20;

/// Who runs the server: it refuses to be run by root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// The programs, and who runs them.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    user: u32,
    group: u32,
}

impl Postgres {
    /// Finds them.
    ///
    /// # Errors
    /// Where they are not installed, or there is nobody to run them.
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
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let (user, group) = USERS
            .iter()
            .find_map(|name| ids_of(&users, name))
            .context("neither a user postgres nor nobody is there")?;
        Ok(Postgres {
            programs,
            user,
            group,
        })
    }

    /// One of the programs, to be run by that user.
    pub(crate) fn command(&self, program: &str) -> Command {
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

    /// The server over a cluster; its socket will be in `sockets`, which belongs to that user.
    pub(crate) fn server(&self, cluster: &Path, sockets: &Path) -> Command {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(cluster)
            .arg("-k")
            .arg(sockets)
            .args([
                "-h",
                "",
                "-c",
                "shared_buffers=16MB",
                "-c",
                "autovacuum=off",
            ])
            .args(["-c", "max_connections=10", "-c", "jit=off"]);
        command
    }

    /// pgbench on the server whose socket is in `sockets`.
    pub(crate) fn pgbench(&self, sockets: &Path) -> Command {
        let mut command = self.command("pgbench");
        command.arg("-h").arg(sockets).args(["-U", "bench"]);
        command
    }

    /// A directory of that user's, for sockets.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn sockets(&self) -> Result<tempfile::TempDir> {
        let directory = tempfile::Builder::new()
            .prefix("compcache-bench-")
            .tempdir()?;
        self.own(directory.path())?;
        Ok(directory)
    }

    fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.user), Some(self.group))
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
            .with_context(|| format!("cannot give {} to another user", path.display()))
    }
}

/// User and group of a line of `/etc/passwd` (passwd(5)).
fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A cluster with a database for pgbench of about `bytes`.
///
/// # Errors
/// Where a program fails, or after Ctrl-C.
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
        check(
            postgres
                .command("initdb")
                .args(["--username=bench", "--no-sync", "--locale=C", "-D"])
                .arg(&cluster),
        )?;
        let sockets = postgres.sockets()?;
        let control = |action: &str| {
            let options = format!("-k {} -h ''", sockets.path().display());
            check(
                postgres
                    .command("pg_ctl")
                    .args([action, "-w", "-s", "-D"])
                    .arg(&cluster)
                    .args(["-o", &options, "-l", "/dev/null"]),
            )
        };
        control("start")?;
        let filled = check(postgres.pgbench(sockets.path()).args([
            "-i",
            "-q",
            "-s",
            &scale.to_string(),
            "postgres",
        ]));
        let stopped = control("stop");
        filled.and(stopped)?;
        interrupt::check()
    })
}

/// Runs a program to its end.
fn check(command: &mut Command) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        done.status.success(),
        "{:?} failed: {}",
        command.get_program(),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        assert_eq!(ids_of(users, "postgres"), Some((101, 104)));
        assert_eq!(ids_of(users, "nobody"), None);
    }
}
