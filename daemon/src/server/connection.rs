//! One connection: its requests, in turn, and the lease that it may hold.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;

use super::access::Peer;
use super::event::Event;
use super::shared::Shared;
use crate::lease::Leases;
use crate::mounts::plan::{self, Environment};
use crate::protocol::{self, ErrorCode, MountSpec, ProtocolError, Refusal, Request, Response};
use crate::registry::SwappedOn;
use crate::types::{Driver, ParamsUpdate};

/// Who is at the other end of a connection; `None` if it was turned away.
pub(super) fn admit(stream: UnixStream, shared: &Shared) -> Option<(UnixStream, Peer)> {
    let message = match shared.access.peer(&stream) {
        Ok(peer) if peer.allowed => return Some((stream, peer)),
        Ok(peer) => {
            tracing::warn!(uid = peer.uid, pid = peer.pid, "a connection was refused");
            "only root may control this daemon, and the members of the group that its \
             configuration names (key `group`)"
                .to_owned()
        }
        Err(e) => format!("cannot identify the caller: {e}"),
    };
    reject(stream, Refusal::new(ErrorCode::Eperm, message));
    None
}

/// Serves a connection until its peer closes it or breaks the protocol.
pub(super) fn serve(mut stream: UnixStream, shared: &Shared) {
    let mut connection = Connection {
        shared,
        leasing: None,
    };
    loop {
        let request = match protocol::read::<Request>(&mut stream) {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(ProtocolError::Io(_) | ProtocolError::Truncated) => break,
            Err(e) => return reject(stream, Refusal::new(ErrorCode::Eproto, e.to_string())),
        };
        tracing::debug!(?request);
        if connection.answer(request, &mut stream).is_err() {
            break;
        }
    }
}

/// Sends a refusal as the last word on a connection.
pub(super) fn reject(mut stream: UnixStream, refusal: Refusal) {
    // The peer may be gone; it is turned away either way.
    let _ = protocol::write(&mut stream, &Response::Error(refusal));
}

struct Connection<'a> {
    shared: &'a Shared,
    leasing: Option<&'a Leases>,
}

impl Connection<'_> {
    fn answer(&mut self, request: Request, stream: &mut UnixStream) -> Result<(), ProtocolError> {
        if let Request::Shutdown { force } = request {
            return self.shutdown(force, stream);
        }
        let response = self.handle(request).unwrap_or_else(|refusal| {
            tracing::warn!("refused: {refusal}");
            Response::Error(refusal)
        });
        protocol::write(stream, &response)
    }

    fn handle(&mut self, request: Request) -> Result<Response, Refusal> {
        let registry = self.shared.own.registry();
        let mut warnings = Vec::new();
        match request {
            Request::Status { device } => {
                let devices = registry.statuses(device)?;
                return Ok(Response::Status {
                    daemon: self.shared.daemon_status(),
                    devices,
                });
            }
            Request::Configure {
                device,
                params,
                init,
            } => {
                warnings = registry.configure(device, &params, init)?;
            }
            Request::Reset { device } => registry.reset(device)?,
            Request::Set { device, params } => {
                warnings = registry.set(device, &params)?;
                tracing::info!(?params, "ramzswap{device}: changed");
            }
            Request::SwapOn {
                device,
                params,
                priority,
            } => {
                return Ok(swapped_on(registry.swap_on(device, &params, priority)?));
            }
            Request::SwapOff {
                device: Some(device),
            } => {
                self.shared.own.swap_off(device)?;
            }
            Request::SwapOff { device: None } => warnings = self.swap_off_all()?,
            Request::Lease {
                params,
                default_size,
                driver,
            } => {
                return self.lease(&params, default_size, driver).map(swapped_on);
            }
            Request::Release => self.release()?,
            Request::Mount { spec } => return self.mount(&spec),
            Request::Unmount { mountpoint, lazy } => {
                self.shared.mounts.unmount(&mountpoint, lazy)?;
                tracing::info!("{}: unmounted", mountpoint.display());
            }
            Request::Mounts => {
                let mounts = &self.shared.mounts;
                return Ok(Response::Mounts {
                    mounts: mounts.statuses(),
                    memory_limit: mounts.memory_limit(),
                });
            }
            Request::Sync { mountpoint } => self.shared.mounts.sync(mountpoint.as_deref())?,
            Request::Shutdown { .. } => {}
        }
        Ok(Response::Done { warnings })
    }

    /// Swaps off every device that is swapped on and not leased.
    fn swap_off_all(&self) -> Result<Vec<String>, Refusal> {
        let mut warnings = Vec::new();
        let mut failed: Option<Refusal> = None;
        let own = &self.shared.own;
        let swapped_on = own
            .registry()
            .statuses(None)?
            .into_iter()
            .filter(|s| s.swap.is_some());
        let mut any = false;
        for status in swapped_on {
            any = true;
            match own.swap_off(status.number) {
                Ok(()) => {}
                Err(e) if e.code == ErrorCode::Ebusy => warnings.push(e.message),
                Err(e) => match &mut failed {
                    Some(first) => first.message = format!("{}; {}", first.message, e.message),
                    None => failed = Some(e),
                },
            }
        }
        if !any {
            warnings.push("no device was swapped on".into());
        }
        failed.map_or(Ok(warnings), Err)
    }

    fn mount(&self, spec: &MountSpec) -> Result<Response, Refusal> {
        let (options, warnings) = plan::options(spec, Environment::of_this_process())?;
        let mount = self.shared.mounts.mount(options)?;
        tracing::info!("{}: mounted", mount.mountpoint);
        Ok(Response::Mounted { mount, warnings })
    }

    fn lease(
        &mut self,
        params: &ParamsUpdate,
        default_size: Option<u64>,
        driver: Driver,
    ) -> Result<SwappedOn, Refusal> {
        if self.leasing.is_some() {
            let message = "this connection holds a lease already: open another connection";
            return Err(Refusal::new(ErrorCode::Ebusy, message));
        }
        let leases = match driver {
            Driver::Kernel => &self.shared.kernel,
            Driver::User => &self.shared.own,
        };
        let swapped_on = leases.take(params, default_size)?;
        self.leasing = Some(leases);
        Ok(swapped_on)
    }

    fn release(&mut self) -> Result<(), Refusal> {
        if let Some(leases) = self.leasing.take() {
            tracing::info!("a lease ended");
            leases.release()?;
        }
        Ok(())
    }

    fn shutdown(&self, force: bool, stream: &mut UnixStream) -> Result<(), ProtocolError> {
        // By this thread, which may wait for a source for ever; the server must hear signals meanwhile.
        if !force && let Err(failed) = self.shared.mounts.close() {
            failed
                .iter()
                .for_each(|refusal| tracing::error!("{refusal}"));
            return match Refusal::join(failed) {
                Some(refusal) => protocol::write(stream, &Response::Error(refusal)),
                None => Ok(()),
            };
        }
        let (answer, answered) = channel();
        // A server that is ending cannot be told; then the channel is closed and so is the
        // connection, when the process ends.
        let _ = self.shared.events.send(Event::Shutdown { force, answer });
        match answered.recv() {
            Ok(last) => protocol::write(stream, &last.response),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.release() {
            tracing::error!(
                "{e}; it stays swapped on although its lease is over, until that works"
            );
        }
    }
}

fn swapped_on(done: SwappedOn) -> Response {
    let SwappedOn {
        status,
        priority,
        warnings,
    } = done;
    Response::SwappedOn {
        device: status.number,
        node: status.node,
        priority,
        warnings,
    }
}
