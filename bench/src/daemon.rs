//! A daemon of our own: this program itself, which is `compcached` under that name.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use compcache_engine::PAGE_SIZE;
use compcache_host::proc;
use compcached::Client;
use compcached::protocol::{Request, Response};
use compcached::types::{DeviceStatus, Driver, ParamsUpdate};
use tempfile::TempDir;

use crate::held::Held;
use crate::ours::Policy;

/// A daemon with directories of its own. When it is dropped its devices are swapped off, its
/// mounts taken down, and it ends; so it does when this program dies.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    client: Client,
    directory: TempDir,
}

impl Server {
    /// Starts one with some more options, and waits until it is ready. `prepare` gets its
    /// command before.
    pub(crate) fn start(
        options: &[&str],
        prepare: impl FnOnce(&mut Command) -> Result<()>,
    ) -> Result<Server> {
        let directory = tempfile::Builder::new()
            .prefix("compcache-bench-")
            .tempdir()?;
        let inside = |name: &str| directory.path().join(name);
        fs::create_dir(inside("dev"))?;
        // Nothing of this machine's configuration comes in.
        fs::write(inside("empty.toml"), "")?;
        let log = fs::File::create(inside("log"))?;
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["daemon", "--exit-when-idle", "--detached", "--runtime-dir"])
            .arg(inside("run"))
            .arg("--dev-dir")
            .arg(inside("dev"))
            .arg("--config")
            .arg(inside("empty.toml"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        prepare(&mut command)?;
        let mut child = command.spawn().context("the daemon does not start")?;
        // It writes a byte when it is ready.
        let ready = child.stdout.take().map(|mut out| out.read_exact(&mut [0]));
        let client = match ready {
            Some(Ok(())) => Client::connect(&inside("run")).map_err(anyhow::Error::from),
            _ => Err(anyhow!("it ended")),
        };
        match client {
            Ok(client) => Ok(Server {
                child,
                client,
                directory,
            }),
            Err(error) => {
                let log = fs::read_to_string(inside("log")).unwrap_or_default();
                // It ends by itself, having no client.
                let _ = child.wait();
                Err(error.context(format!("the daemon does not start: {log}")))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn request(&mut self, request: &Request) -> Result<Response> {
        Ok(self.client.request(request)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self
            .request(&Request::Release)
            .and_then(|_| self.request(&Request::Shutdown { force: false }))
            .and_then(|_| Ok(self.child.wait()?));
        if let Err(error) = ended {
            let pid = self.pid();
            eprintln!("compcache-bench: the daemon (process {pid}) does not end: {error:#}");
            let log = fs::read_to_string(self.directory.path().join("log"));
            eprintln!("its log:\n{}", log.unwrap_or_default());
        }
    }
}

#[derive(Debug)]
pub(crate) struct Daemon {
    server: Server,
    policy: Policy,
}

impl Daemon {
    /// Starts one that serves by the policy's transport, and waits until it is ready.
    pub(crate) fn start(policy: Policy) -> Result<Daemon> {
        let options = ["--transport", policy.transport.name()];
        let server = Server::start(&options, |_| Ok(()))?;
        Ok(Daemon { server, policy })
    }

    /// Has it swap on a device, for as long as this program lives at most.
    pub(crate) fn swap_on(&mut self, bytes: u64) -> Result<()> {
        let params = self.params(bytes);
        self.server.request(&Request::Lease {
            driver: Driver::User,
            params,
            default_size: None,
        })?;
        self.check_transport()
    }

    /// Has it make a device, and gives its node.
    pub(crate) fn make_disk(&mut self, bytes: u64) -> Result<PathBuf> {
        let params = self.params(bytes);
        self.server.request(&Request::Configure {
            device: 0,
            params,
            init: true,
        })?;
        self.check_transport()?;
        Ok(self.device()?.node)
    }

    pub(crate) fn device(&mut self) -> Result<DeviceStatus> {
        match self.server.request(&Request::Status { device: Some(0) })? {
            Response::Status { mut devices, .. } if devices.len() == 1 => Ok(devices.remove(0)),
            other => bail!("the daemon answers {other:?}"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What its device holds, in a pool with its reserve, and all memory that the process takes.
    pub(crate) fn held(&mut self) -> Result<Held> {
        let stats = self.device()?.stats.store;
        let pages = stats.pages_stored + stats.same_filled();
        let status = proc::read(Path::new(&format!("/proc/{}/status", self.pid())))?;
        Ok(Held {
            original: pages * PAGE_SIZE as u64,
            compressed: stats.compr_bytes,
            pool: stats.pool_bytes,
            all: proc::value(&status, "VmRSS").context("no VmRSS")? << 10,
        })
    }

    fn params(&self, bytes: u64) -> ParamsUpdate {
        ParamsUpdate {
            disksize: Some(bytes),
            codec: Some(self.policy.codec.to_string()),
            ..ParamsUpdate::default()
        }
    }

    /// Nobody may take one transport's numbers for another's.
    fn check_transport(&mut self) -> Result<()> {
        let (wanted, got) = (self.policy.transport.name(), self.device()?.transport);
        ensure!(
            got.as_deref() == Some(wanted),
            "the device is served by {got:?}, not by {wanted}"
        );
        Ok(())
    }
}
