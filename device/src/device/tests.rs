//! The state machine over a transport that needs no kernel.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use compcache_engine::disk::MIN_DISKSIZE;
use compcache_engine::disk::sizes::SizeWarning;
use compcache_engine::swap_header::SwapHeader;
use tempfile::TempDir;

use super::*;
use crate::transport::Transport;

/// What the transport does next, and what it serves now.
#[derive(Default)]
struct Kernel {
    refuse: AtomicBool,
    busy: AtomicBool,
    leftover: AtomicBool,
    aborted: AtomicBool,
    served: Mutex<Option<Arc<dyn Disk>>>,
}

struct FakeTransport(Arc<Kernel>);

struct FakeAttachment(Arc<Kernel>);

fn broken(action: &str) -> DeviceError {
    DeviceError::system(action, io::Error::from_raw_os_error(libc::ENODEV), "remedy")
}

impl Transport for FakeTransport {
    fn attach(&self, disk: Arc<dyn Disk>, _name: &str) -> Result<Box<dyn Attachment>, DeviceError> {
        if self.0.refuse.load(Ordering::Relaxed) {
            return Err(broken("attach"));
        }
        *self.0.served.lock() = Some(disk);
        Ok(Box::new(FakeAttachment(Arc::clone(&self.0))))
    }
}

impl Attachment for FakeAttachment {
    fn block_device(&self) -> &Path {
        Path::new("/dev/null")
    }

    fn transport(&self) -> &'static str {
        "fake"
    }

    fn warnings(&self) -> &[Warning] {
        const FAKE: &[Warning] = &[Warning::SlotTableNotResident { bytes: 1 << 20 }];
        FAKE
    }

    fn is_served(&self) -> bool {
        !self.0.aborted.load(Ordering::Relaxed)
    }

    fn detach(&mut self) -> Result<(), DetachError> {
        if self.0.busy.load(Ordering::Relaxed) {
            return Err(DetachError::Busy);
        }
        *self.0.served.lock() = None;
        if self.0.leftover.load(Ordering::Relaxed) {
            return Err(DetachError::Leftover(broken("unmount")));
        }
        Ok(())
    }
}

struct Fixture {
    device: Device,
    kernel: Arc<Kernel>,
    dir: TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let kernel = Arc::new(Kernel::default());
    let mut env = Env::new(dir.path(), dir.path());
    env.transport = Arc::new(FakeTransport(Arc::clone(&kernel)));
    env.workers = 2;
    env.ram_bytes = 64 << 20;
    Fixture {
        device: Device::new(3, Arc::new(env)),
        kernel,
        dir,
    }
}

fn disksize(bytes: u64) -> ParamsUpdate {
    ParamsUpdate {
        disksize: Some(bytes),
        ..Default::default()
    }
}

#[test]
fn a_device_is_configured_initialised_and_reset() {
    let Fixture {
        device,
        kernel,
        dir,
    } = fixture();
    let new = device.status();
    assert_eq!((new.number, new.state, new.disksize), (3, State::New, 0));
    assert_eq!(new.node, dir.path().join("ramzswap3"));

    assert!(device.configure(&disksize(1 << 20)).unwrap().is_empty());
    assert_eq!(device.status().disksize, 1 << 20);
    let warnings = device.init().unwrap();
    assert!(
        warnings.contains(&Warning::SlotTableNotResident { bytes: 1 << 20 }),
        "{warnings:?}"
    );
    let ready = device.status();
    assert_eq!((ready.state, ready.disksize), (State::Ready, 1 << 20));
    assert_eq!(ready.block_device.as_deref(), Some(Path::new("/dev/null")));
    assert_eq!(ready.transport.as_deref(), Some("fake"));
    assert_eq!(
        std::fs::read_link(device.node()).unwrap(),
        Path::new("/dev/null")
    );
    let text = serde_json::to_string(&ready).unwrap();
    assert_eq!(serde_json::from_str::<DeviceStatus>(&text).unwrap(), ready);

    device.reset().unwrap();
    assert!(kernel.served.lock().is_none());
    assert_eq!(device.status(), new);
    assert!(device.node().symlink_metadata().is_err());
}

#[test]
fn the_disk_carries_a_swap_header_and_zeros() {
    let Fixture {
        device,
        kernel,
        dir: _dir,
    } = fixture();
    device.configure(&disksize(1 << 20)).unwrap();
    device.init().unwrap();
    let disk = kernel.served.lock().clone().unwrap();
    assert_eq!(disk.size_bytes(), 1 << 20);
    let mut worker = disk.worker().unwrap();
    let mut pages = vec![1; 1 << 20];
    disk.read(&mut worker, 0, &mut pages).unwrap();
    let header = SwapHeader::check(pages.first_chunk().unwrap(), 256).unwrap();
    assert_eq!(header.last_page, 255);
    assert_eq!(&header.label, b"ramzswap3\0\0\0\0\0\0\0");
    assert_eq!(
        (header.uuid[6] >> 4, header.uuid[8] >> 6),
        (4, 2),
        "a UUID of version 4"
    );
    assert!(pages[4096..].iter().all(|b| *b == 0));
}

#[test]
fn requests_that_are_not_pages_of_the_disk_are_refused_and_counted() {
    let Fixture {
        device,
        kernel,
        dir: _dir,
    } = fixture();
    device.configure(&disksize(MIN_DISKSIZE)).unwrap();
    device.init().unwrap();
    let disk = kernel.served.lock().clone().unwrap();
    let mut worker = disk.worker().unwrap();
    let mut data = vec![0; 8192];
    assert_eq!(
        disk.read(&mut worker, 1, &mut data).unwrap_err().errno(),
        libc::EINVAL
    );
    assert_eq!(
        disk.write(&mut worker, 0, &data[..512])
            .unwrap_err()
            .errno(),
        libc::EINVAL
    );
    assert_eq!(
        disk.discard(&mut worker, 0, 4095).unwrap_err().errno(),
        libc::EINVAL
    );
    for offset in [MIN_DISKSIZE - 4096, MIN_DISKSIZE, u64::MAX - 4095] {
        assert_eq!(
            disk.write(&mut worker, offset, &data).unwrap_err().errno(),
            libc::EIO
        );
        assert_eq!(
            disk.read(&mut worker, offset, &mut data)
                .unwrap_err()
                .errno(),
            libc::EIO
        );
    }
    assert_eq!(device.status().stats.invalid_io, 9);
    assert_eq!(
        disk.read(&mut worker, MIN_DISKSIZE - 8192, &mut data),
        Ok(())
    );
    assert_eq!(disk.read(&mut worker, MIN_DISKSIZE, &mut []), Ok(()));
    assert_eq!(device.status().stats.invalid_io, 9);
}

#[test]
fn after_initialisation_parameters_are_refused_until_reset() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    device.configure(&disksize(1 << 20)).unwrap();
    device.init().unwrap();
    let before = device.status();
    let message = device
        .configure(&disksize(2 << 20))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("ramzswap3 is already initialised: reset it first"),
        "{message}"
    );
    let error = device.init().unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    assert_eq!(device.status().disksize, before.disksize);
    device.reset().unwrap();
    device.configure(&disksize(2 << 20)).unwrap();
}

#[test]
fn a_memory_limit_needs_no_backing_swap() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    let mut limited = disksize(1 << 20);
    limited.memlimit = Some(1 << 19);
    assert!(device.configure(&limited).unwrap().is_empty());
    device.init().unwrap();
    let ready = device.status();
    assert_eq!((ready.disksize, ready.memlimit), (1 << 20, Some(1 << 19)));
    device.reset().unwrap();
}

#[test]
fn a_limit_of_zero_is_none_and_what_is_set_before_says_when_it_applies() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    let mut limited = disksize(1 << 20);
    limited.memlimit = Some(1 << 19);
    device.configure(&limited).unwrap();
    let none = ParamsUpdate {
        memlimit: Some(0),
        ..Default::default()
    };
    let warnings = device.set(&none).unwrap();
    assert_eq!(warnings, [Warning::NotInUse { number: 3 }]);
    assert_eq!(device.status().memlimit, None);
    device.init().unwrap();
    assert_eq!(device.status().memlimit, None);
    let codec = ParamsUpdate {
        codec: Some("lz4".into()),
        ..Default::default()
    };
    assert_eq!(device.set(&codec).unwrap(), []);
    device.reset().unwrap();
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    device.configure(&disksize(1 << 20)).unwrap();
    let before = device.status();
    let mut both = disksize(2 << 20);
    both.codec = Some("nosuch".into());
    assert!(device.configure(&both).is_err());
    assert!(device.configure(&disksize(0)).is_err());
    let limit = ParamsUpdate {
        memlimit: Some(1 << 15),
        ..Default::default()
    };
    assert!(device.configure(&limit).is_err());
    let mut backing = disksize(2 << 20);
    backing.backing_swap = Some("/nonexistent/swap".into());
    let message = device.configure(&backing).unwrap_err().to_string();
    assert!(
        message.contains("/nonexistent/swap: opening it failed: No such file"),
        "{message}"
    );
    assert_eq!(device.status(), before);
}

#[test]
fn encryption_is_for_a_backing_swap_and_does_not_change_while_it_is_used() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    let choice = |choice| ParamsUpdate {
        backing_encryption: Some(choice),
        ..Default::default()
    };
    let warnings = device.configure(&choice(BackingEncryption::On)).unwrap();
    assert_eq!(warnings, [Warning::NothingToEncrypt]);
    for quiet in [BackingEncryption::Auto, BackingEncryption::Off] {
        assert_eq!(device.configure(&choice(quiet)).unwrap(), []);
    }
    device.configure(&disksize(1 << 20)).unwrap();
    device.init().unwrap();
    assert_eq!(device.status().backing_encryption, None);
    let message = device
        .set(&choice(BackingEncryption::On))
        .unwrap_err()
        .to_string();
    assert!(message.contains("how that is encrypted"), "{message}");
    let set = device.status().params.backing_encryption;
    assert_eq!(set, Some(BackingEncryption::Off));
}

#[test]
fn a_warning_is_given_once() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    let warnings = device.configure(&disksize(256 << 20)).unwrap();
    assert!(
        matches!(
            warnings[0],
            Warning::Size(SizeWarning::MoreThanTwiceTheRam { .. })
        ),
        "{warnings:?}"
    );
    let warnings = device.init().unwrap();
    assert!(
        !warnings
            .iter()
            .any(|w| matches!(w, Warning::Size(SizeWarning::MoreThanTwiceTheRam { .. }))),
        "{warnings:?}"
    );
}

#[test]
fn a_failed_initialisation_leaves_nothing() {
    let Fixture {
        device,
        kernel,
        dir: _dir,
    } = fixture();
    device.configure(&disksize(1 << 20)).unwrap();
    let before = device.status();
    kernel.refuse.store(true, Ordering::Relaxed);
    assert!(device.init().is_err());
    assert_eq!(device.status(), before);

    kernel.refuse.store(false, Ordering::Relaxed);
    std::fs::write(device.node(), "somebody's file").unwrap();
    let message = device.init().unwrap_err().to_string();
    assert!(
        message.contains("remove what stands in its place"),
        "{message}"
    );
    assert_eq!(std::fs::read(device.node()).unwrap(), b"somebody's file");
    assert!(
        kernel.served.lock().is_none(),
        "what was attached is detached again"
    );
    assert_eq!(device.status(), before);
}

#[test]
fn a_stale_link_is_replaced() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    std::os::unix::fs::symlink("/dev/loop987654", device.node()).unwrap();
    device.configure(&disksize(1 << 20)).unwrap();
    device.init().unwrap();
    assert_eq!(
        std::fs::read_link(device.node()).unwrap(),
        Path::new("/dev/null")
    );
}

/// Two daemons may have one `/dev`.
#[test]
fn a_node_that_leads_elsewhere_stays() {
    let Fixture {
        device,
        kernel,
        dir: _dir,
    } = fixture();
    let theirs = Path::new("/dev/zero");
    std::os::unix::fs::symlink(theirs, device.node()).unwrap();
    assert_eq!(device.hidden_by().unwrap(), theirs);
    device.configure(&disksize(1 << 20)).unwrap();
    let error = device.init().unwrap_err();
    assert!(matches!(error, DeviceError::NodeTaken { .. }), "{error}");
    assert!(kernel.served.lock().is_none());
    assert_eq!(std::fs::read_link(device.node()).unwrap(), theirs);

    std::fs::remove_file(device.node()).unwrap();
    device.init().unwrap();
    assert_eq!(device.hidden_by(), None);
    std::fs::remove_file(device.node()).unwrap();
    std::os::unix::fs::symlink(theirs, device.node()).unwrap();
    device.reset().unwrap();
    assert_eq!(std::fs::read_link(device.node()).unwrap(), theirs);
}

#[test]
fn a_busy_device_stays_and_a_leftover_is_reported() {
    let Fixture {
        device,
        kernel,
        dir: _dir,
    } = fixture();
    device.configure(&disksize(1 << 20)).unwrap();
    device.init().unwrap();
    kernel.busy.store(true, Ordering::Relaxed);
    let error = device.reset().unwrap_err();
    assert!(
        matches!(error, DeviceError::Busy { number: 3, .. }),
        "{error}"
    );
    assert!(device.is_ready());
    assert!(device.node().symlink_metadata().is_ok());

    kernel.busy.store(false, Ordering::Relaxed);
    kernel.leftover.store(true, Ordering::Relaxed);
    let message = device.reset().unwrap_err().to_string();
    assert!(message.contains("cannot unmount"), "{message}");
    assert!(!device.is_ready());
    assert!(device.node().symlink_metadata().is_err());
}

#[test]
fn codec_and_recompression_change_on_a_live_device() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    let codec = |name: &str| ParamsUpdate {
        codec: Some(name.into()),
        ..Default::default()
    };
    device.configure(&disksize(1 << 20)).unwrap();
    device.set(&codec("lzo")).unwrap();
    assert_eq!(device.status().codec, "lzo");
    device.init().unwrap();
    assert_eq!(device.status().codec, "lzo");
    let mut update = codec("zstd:3");
    update.recompress = Some("zstd:9".into());
    update.recompress_after = Some(77);
    device.set(&update).unwrap();
    let status = device.status();
    assert_eq!(
        (&*status.codec, &*status.recompress, status.recompress_after),
        ("zstd:3", "zstd:9", 77)
    );
    assert_eq!(status.recompress_cpu, 10);

    // A refused change changes nothing, not even what would be allowed.
    let mut bad = codec("lz4");
    bad.recompress_cpu = Some(0);
    assert!(device.set(&bad).is_err());
    let mut fixed = codec("lz4");
    fixed.disksize = Some(2 << 20);
    let message = device.set(&fixed).unwrap_err().to_string();
    assert!(
        message.contains("reset it first to change its size"),
        "{message}"
    );
    assert_eq!(device.status().codec, "zstd:3");
    assert_eq!(device.status().params, status.params);
}

#[test]
fn what_is_not_initialised_cannot_be_swapped_on() {
    let Fixture {
        device, dir: _dir, ..
    } = fixture();
    let error = device.swap_on(None).unwrap_err();
    assert!(
        matches!(error, DeviceError::NotInitialised { number: 3 }),
        "{error}"
    );
    device
        .swap_off(&|_: &Path| panic!("it is not swapped on"))
        .unwrap();
    device.reset().unwrap();
}

#[test]
fn a_device_that_is_not_served_any_more_says_so() {
    let fixture = fixture();
    let (device, kernel) = (&fixture.device, &fixture.kernel);
    device.configure(&disksize(1 << 20)).unwrap();
    device.init().unwrap();
    assert_eq!(device.status().error, None);
    kernel.aborted.store(true, Ordering::Relaxed);
    let error = device.status().error.expect("an error");
    assert!(
        error.contains("ramzswap3 is not served any more"),
        "{error}"
    );
    assert_eq!(device.swap_on(None).unwrap_err().errno(), libc::EIO);
    device.reset().unwrap();
    assert_eq!(device.status().error, None);
}
