//! A device without a kernel behind it, whose steps a test can make fail or wait.

use std::path::PathBuf;
use std::sync::Arc;

use compcached::backend::DeviceBackend;
use compcached::protocol::{ErrorCode, Refusal};
use compcached::types::{DeviceStats, DeviceStatus, ParamsUpdate, State, SwapUse};
use parking_lot::{Condvar, Mutex};

/// What a fake device is and how it behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// The parameters set.
    pub(crate) params: ParamsUpdate,
    /// Whether it is initialised.
    pub(crate) ready: bool,
    /// Its priority while swapped on.
    pub(crate) swap: Option<i32>,
    /// Makes `init` fail.
    pub(crate) fail_init: bool,
    /// Makes `swap_on` fail.
    pub(crate) fail_swap_on: bool,
    /// Makes `swap_off` fail with ENOMEM.
    pub(crate) fail_swap_off: bool,
    /// Makes `swap_off` wait until this is false again.
    pub(crate) hold_swap_off: bool,
    /// Number of swap-offs that are waiting.
    pub(crate) waiting: u32,
}

/// A fake device; clones are the same device.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    number: u32,
    inner: Arc<(Mutex<Model>, Condvar)>,
}

impl Fake {
    /// A new device.
    pub(crate) fn new(number: u32) -> Fake {
        Fake {
            number,
            ..Fake::default()
        }
    }

    /// The device now.
    pub(crate) fn model(&self) -> Model {
        self.inner.0.lock().clone()
    }

    /// Changes the device or its behaviour.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.inner.0.lock());
        self.inner.1.notify_all();
    }

    /// Waits until the device is as `condition` says.
    pub(crate) fn wait_for(&self, condition: impl Fn(&Model) -> bool) {
        let mut model = self.inner.0.lock();
        while !condition(&model) {
            let limit = std::time::Duration::from_secs(20);
            let waited = self.inner.1.wait_for(&mut model, limit);
            assert!(!waited.timed_out(), "never came: {model:?}");
        }
    }

    fn change<T>(&self, f: impl FnOnce(&mut Model) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let result = f(&mut self.inner.0.lock());
        self.inner.1.notify_all();
        result
    }
}

fn refuse<T>(code: ErrorCode, message: &str) -> Result<T, Refusal> {
    Err(Refusal::new(code, message))
}

impl DeviceBackend for Fake {
    fn configure(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        self.change(|m| {
            if m.ready {
                return refuse(ErrorCode::Ebusy, "initialised: reset it first");
            }
            if params.disksize == Some(0) {
                return refuse(ErrorCode::Einval, "disksize 0 is refused");
            }
            m.params.disksize = params.disksize.or(m.params.disksize);
            m.params.codec = params.codec.clone().or(m.params.codec.take());
            Ok(Vec::new())
        })
    }

    fn init(&self) -> Result<Vec<String>, Refusal> {
        self.change(|m| {
            if m.ready {
                return refuse(ErrorCode::Ebusy, "initialised already: reset it first");
            }
            if m.fail_init {
                return refuse(ErrorCode::Enospc, "no free loop device");
            }
            m.ready = true;
            Ok(vec!["a warning of init".into()])
        })
    }

    fn reset(&self) -> Result<(), Refusal> {
        self.change(|m| {
            if m.swap.is_some() {
                return refuse(ErrorCode::Ebusy, "swapped on: swapoff first");
            }
            m.ready = false;
            m.params = ParamsUpdate::default();
            Ok(())
        })
    }

    fn set(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        self.change(|m| {
            if params.codec.as_deref() == Some("gzip") {
                return refuse(ErrorCode::Einval, "unknown codec 'gzip'");
            }
            m.params = params.clone().or(m.params.clone());
            Ok(Vec::new())
        })
    }

    fn status(&self) -> DeviceStatus {
        let m = self.model();
        DeviceStatus {
            number: self.number,
            state: if m.ready { State::Ready } else { State::New },
            node: PathBuf::from(format!("/dev/ramzswap{}", self.number)),
            block_device: m
                .ready
                .then(|| PathBuf::from(format!("/dev/loop{}", self.number))),
            transport: m.ready.then(|| "fake".to_owned()),
            dead_slots: None,
            swap: m.swap.map(|priority| SwapUse {
                priority,
                used_bytes: 0,
                size_bytes: 4096,
            }),
            disksize: m.params.disksize.unwrap_or(0),
            memlimit: None,
            backing_swap: None,
            codec: m
                .params
                .codec
                .clone()
                .unwrap_or_else(|| "wks:balanced".to_owned()),
            recompress: m
                .params
                .recompress
                .clone()
                .unwrap_or_else(|| "off".to_owned()),
            recompress_after: 30,
            recompress_cpu: 10,
            params: m.params,
            stats: DeviceStats::default(),
        }
    }

    fn swap_on(&self, priority: Option<i32>) -> Result<i32, Refusal> {
        self.change(|m| {
            if !m.ready || m.fail_swap_on {
                return refuse(ErrorCode::Eperm, "swapon failed");
            }
            let priority = priority.unwrap_or(7);
            m.swap = Some(priority);
            Ok(priority)
        })
    }

    fn swap_off(&self) -> Result<(), Refusal> {
        self.set(|m| m.waiting += 1);
        self.wait_for(|m| !m.hold_swap_off);
        self.change(|m| {
            m.waiting -= 1;
            if m.fail_swap_off {
                return refuse(
                    ErrorCode::Enomem,
                    "swapoff failed: its pages do not fit back",
                );
            }
            m.swap = None;
            Ok(())
        })
    }
}
