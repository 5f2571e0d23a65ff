//! One run of the daemon, from its arguments to its exit status.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use compcache_device::kernel::Root;
use compcache_device::recover::recover;
use compcache_device::swap::changes::Changes;
use compcache_device::{DeviceError, Env};
use compcache_host::keeper::Wake;
use compcache_host::printable::Printable;
use compcache_host::{Background, remedy};
use rustix::fs::Mode;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{ALREADY_RUNNING, DaemonArgs, MAX_DEVICES, MESSAGE_PREFIX};
use crate::backend::DeviceBackend;
use crate::bring_up::{self, Failed, KernelDevices};
use crate::clean_start::{CleanStart, LimitTooLow, clean_start};
use crate::mounts::plan::{self, Environment};
use crate::mounts::{Mounts, dead, paths};
use crate::protocol::Refusal;
use crate::ramzswap::Ramzswap;
use crate::registry::Registry;
use crate::retry::Retry;
use crate::runtime_dir::{RuntimeDir, RuntimeDirError};
use crate::server::access::{Access, group_number};
use crate::server::{Handle, Options, Outcome, Server};
use crate::settings::{Settings, SettingsError};
use crate::swapoff::{Program, Room};
use crate::types::CpuLatency;
use crate::worker::mounts::{Begin, MountProcess};
use crate::worker::serve;
use crate::{confinement, kernel, logging, process, service_manager, swapoff};

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Limit(#[from] LimitTooLow),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{0}")]
    Log(String),
    #[error("group: {0}")]
    Group(io::Error),
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error("cannot clean up after a daemon that crashed: {0}")]
    Recover(DeviceError),
    #[error("ramzswap{number}: {refusal}")]
    Device { number: u32, refusal: Refusal },
    #[error("{origin}: [[mount]]: {refusal}")]
    Mount { origin: String, refusal: Refusal },
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

/// Runs the daemon until it is asked to exit; returns its exit status: 0 for a clean end, 1 for
/// an error or lost pages, [`ALREADY_RUNNING`].
pub fn run(args: DaemonArgs) -> ExitCode {
    if let Some(block_device) = &args.swapoff {
        return swapoff::child(block_device, args.room());
    }
    if let Some(role) = args.worker {
        return serve::run(role);
    }
    match start(&args) {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Lost) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{MESSAGE_PREFIX}{}", Printable(&error));
            match error {
                StartError::RuntimeDir(RuntimeDirError::AlreadyRunning { .. }) => {
                    ExitCode::from(ALREADY_RUNNING)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn start(args: &DaemonArgs) -> Result<Outcome, StartError> {
    let CleanStart {
        ignored,
        mut warnings,
    } = clean_start(args.detached)?;
    let uid = rustix::process::geteuid();
    let settings = Settings::new(args, uid.as_raw())?;
    logging::begin(args.verbose, &settings.config.log).map_err(StartError::Log)?;
    let group = settings
        .config
        .group
        .as_deref()
        .map(group_number)
        .transpose();
    let access = Access::new(group.map_err(StartError::Group)?);
    if args.detached {
        // Fails only if this process leads a session already.
        let _ = rustix::process::setsid();
        std::env::set_current_dir("/").map_err(|e| StartError::System("go to /", e))?;
    }
    // What this process makes is for its user alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let runtime_dir = RuntimeDir::claim(&settings.runtime_dir)?;
    // Before any thread is started, as threads inherit it. Without devices nobody's memory
    // depends on this process, and without root the kernel would refuse all of it.
    if uid.is_root() {
        warnings.extend(process::set_up(&settings.config.process));
        warnings.extend(confinement::devices());
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let ends = [SIGTERM, SIGINT, SIGHUP].into_iter();
    let signals = Signals::new(ends.filter(|signal| !ignored.contains(signal)))
        .map_err(|e| StartError::System("catch signals", e))?;
    // Before anybody can ask for a mount, and take descriptors.
    let mount_process = mount_process(args, &settings, runtime_dir.mounts_lock()?)
        .map_err(|e| StartError::System("prepare the process of the mounts", e))?;
    let (listener, _socket_name) = runtime_dir.listen(access.group())?;

    let env = Arc::new(environment(&settings));
    if uid.is_root() {
        let swap_off = |device: &Path| swapoff::in_child(Program::Daemon, device, Room::NotNeeded);
        let recovery = recover(&env, &swap_off).map_err(StartError::Recover)?;
        for removed in recovery.removed {
            tracing::warn!("left by a daemon that crashed: {removed}");
        }
        for error in recovery.kept {
            tracing::error!("left by a daemon that crashed, and kept: {error}");
        }
    }
    clean_mounts(&settings).map_err(|e| StartError::System("start a thread", e))?;
    let registry = Arc::new(registry(&settings, &env));
    let kernel = Arc::new(kernel::registry(&Root::default(), Program::Daemon));
    let mounts = mounts(mount_process, &settings, &registry);
    let mounts = Arc::new(mounts.map_err(|e| StartError::System("start a thread", e))?);
    let mut done = KernelDevices::default();
    if let Err(error) = bring_up(&settings, &registry, &kernel, &mounts, &mut done) {
        for refusal in done.take_down(&kernel) {
            tracing::error!("{refusal}");
        }
        take_down(&registry, &mounts);
        return Err(error);
    }
    let options = Options {
        access,
        exit_when_idle: args.exit_when_idle,
        force: args.force,
        warnings,
    };
    let server = Server::new(listener, registry, kernel, Arc::clone(&mounts), options);
    let signals = terminate_on(signals, server.handle())
        .map_err(|e| StartError::System("start a thread", e))?;
    let swaps = uid.is_root().then(|| watch_swaps(server.handle()));
    announce(args, &settings);
    let outcome = server.run();
    mounts.stop();
    let outcome = outcome.map_err(|e| StartError::System("start a thread", e))?;
    drop(signals);
    // It may be waiting for a device that a client is changing.
    if let Some(watching) = swaps.flatten() {
        watching.detach();
    }
    // Without a service manager this does nothing; with one that can't be reached, exiting says it.
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    Ok(outcome)
}

/// Where and by what devices are made.
fn environment(settings: &Settings) -> Env {
    let config = &settings.config;
    let root = rustix::process::geteuid().is_root();
    let cpu_latency = CpuLatency::start(config.cpu_latency).unwrap_or_else(|e| {
        if !root {
            tracing::debug!("/dev/cpu_dma_latency: {e}");
            return None;
        }
        tracing::warn!(
            "swapping will be slower: how long idle CPUs take to wake cannot be bounded, \
             /dev/cpu_dma_latency: {e}; {}, or give --cpu-latency off",
            remedy::root("access to it")
        );
        None
    });
    Env {
        cpu_latency: cpu_latency.map(Arc::new),
        dead_slots: config.dead_slots,
        ..Env::new(&settings.runtime_dir, &settings.dev_dir)
            .served_by(config.workers, config.transport)
    }
}

fn registry(settings: &Settings, env: &Arc<Env>) -> Registry {
    let device = |number| Box::new(Ramzswap::new(number, env.clone())) as Box<dyn DeviceBackend>;
    let root = Root::default();
    let taken = |number: &u32| root.dev == settings.dev_dir && root.has(*number);
    // Names that the kernel driver has are ignored. Should it be loaded later, each device
    // looks for itself.
    let count = settings.num_devices as usize;
    let numbers = (0..MAX_DEVICES).filter(|number| !taken(number)).take(count);
    Registry::new(numbers.map(device).collect())
}

/// What serves mounts: a process, once there is one.
fn mount_process(
    args: &DaemonArgs,
    settings: &Settings,
    lock: PathBuf,
) -> io::Result<MountProcess> {
    let config = &settings.config;
    let begin = Begin {
        verbose: args.verbose,
        log: config.log.clone(),
        process: config.process.clone(),
        cpu_latency: config.cpu_latency.to_string(),
        memory_limit: config.memory_limit,
        lock,
        daemon: std::process::id(),
    };
    MountProcess::new(begin, &settings.runtime_dir)
}

fn mounts(
    backend: MountProcess,
    settings: &Settings,
    registry: &Arc<Registry>,
) -> io::Result<Mounts> {
    let registry = registry.clone();
    let root = Root::default();
    let swap = Arc::new(move || registry.memory() + kernel::memory(&root));
    Mounts::new(Box::new(backend), settings.config.memory_limit, swap)
}

/// Removes what crashed daemons have left mounted. What is mounted again by the configuration stays until then, so that
/// nobody sees the directory beneath, unless it is the SOURCE. In a thread: another file system may not answer.
fn clean_mounts(settings: &Settings) -> io::Result<()> {
    let mounts = settings.config.mounts.iter();
    let again: Vec<_> = mounts
        .map(|(path, mount)| (path.clone(), mount.spec.source.clone()))
        .collect();
    let clean = move || {
        let resolved = |path: PathBuf| paths::mountpoint(&path).ok();
        let kept = again.into_iter().filter_map(|(path, source)| {
            let path = resolved(path)?;
            (source.and_then(resolved).as_ref() != Some(&path)).then_some(path)
        });
        dead::clean_all(&kept.collect::<Vec<_>>());
    };
    Background::start("clean", clean, || ()).map(Background::detach)
}

/// Brings up the devices and mounts of the configuration and the command line.
fn bring_up(
    settings: &Settings,
    registry: &Registry,
    kernel: &Registry,
    mounts: &Mounts,
    done: &mut KernelDevices,
) -> Result<(), StartError> {
    bring_up::devices(settings, registry, kernel, done)
        .map_err(|Failed { number, refusal }| StartError::Device { number, refusal })?;
    let environment = Environment::of_this_process();
    for (path, mount) in &settings.config.mounts {
        let failed = |refusal| StartError::Mount {
            origin: mount.origin.clone(),
            refusal,
        };
        let mut spec = mount.spec.clone();
        (spec.source, spec.mountpoint) =
            paths::resolve(spec.source.as_deref(), path).map_err(|e| failed(e.into()))?;
        let (options, warnings) = plan::options(&spec, environment).map_err(failed)?;
        for warning in warnings {
            tracing::warn!("{}: {warning}", path.display());
        }
        mounts.mount(options).map_err(failed)?;
        tracing::info!("{}: mounted", path.display());
    }
    Ok(())
}

/// Takes down what was brought up before the start failed.
fn take_down(registry: &Registry, mounts: &Mounts) {
    for warning in mounts.end() {
        tracing::warn!("{warning}");
    }
    mounts.stop();
    for (_, refusal) in registry.close().err().unwrap_or_default() {
        tracing::error!("{refusal}");
    }
}

/// Ends the server on each of these signals, as long as what is returned lives; from the first one on the
/// service manager is asked for time.
fn terminate_on(mut signals: Signals, server: Handle) -> io::Result<Background> {
    let handle = signals.handle();
    let wait = move || {
        let mut time = None;
        for signal in signals.forever() {
            // By this thread: the server may be waiting for a mount.
            if time.is_none() {
                time = service_manager::ask_for_time().unwrap_or_else(|e| {
                    tracing::warn!("cannot ask the service manager for time to end: {e}");
                    None
                });
            }
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            server.terminate(&format!("{name} received"));
        }
    };
    Background::start("signals", wait, move || handle.close())
}

/// Notifies the server of changes of the kernel's table of swap areas, for as long as this process lives.
fn watch_swaps(server: Handle) -> Option<Background> {
    let watch = || {
        let changes = Changes::watch()?;
        let wake = Arc::new(Wake::with_event()?);
        wake.spawn("swaps", move |wake| {
            // What has changed since devices were brought up.
            let mut retry = server.swaps_changed(false).then(Retry::begin);
            while !wake.is_stopped() {
                let changed = wake.wait(&[&changes], retry.map(Retry::left));
                if changed || retry.is_some_and(Retry::is_due) {
                    let kept = server.swaps_changed(!changed);
                    retry = match retry {
                        Some(retry) if kept && !changed => Some(retry.next()),
                        _ => kept.then(Retry::begin),
                    };
                }
            }
        })
    };
    watch()
        .inspect_err(|error| {
            tracing::warn!(
                "devices that others swap off stay initialised, since /proc/swaps cannot be watched: \
                 {error}"
            );
        })
        .ok()
}

/// Notifies whoever started this daemon that its socket is there.
fn announce(args: &DaemonArgs, settings: &Settings) {
    tracing::info!(
        "compcached {} serves {} device(s); control socket in {}",
        env!("CARGO_PKG_VERSION"),
        settings.num_devices,
        settings.runtime_dir.display()
    );
    if let Err(e) = sd_notify::notify(&[NotifyState::Ready]) {
        tracing::warn!("cannot notify the service manager that this daemon is ready: {e}");
    }
    if args.detached {
        let written = io::stdout()
            .write_all(b"\n")
            .and_then(|()| io::stdout().flush());
        let closed = File::options()
            .write(true)
            .open("/dev/null")
            .and_then(|null| Ok(rustix::stdio::dup2_stdout(null)?));
        if let Err(e) = written.and(closed) {
            tracing::warn!(
                "cannot notify the client that started this daemon that it is ready: {e}"
            );
        }
    }
}
