//! Devices that the kernel uses: each test attaches one of its own and leaves no trace.

mod common;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{
    PAGE, any_page, buffer, can_attach, discard, fixture, make_swap_file, noise_page, open_direct,
    test_over_each_channel, wait_until,
};
use compcache_device::settings::Channel;
use compcache_device::swapoff::SwapoffError;
use compcache_device::{DeviceError, ParamsUpdate, SwapDevice as _, swap, swapoff};
use compcache_engine::swap_header::SwapHeader;
use compcache_host::proc;
use compcache_random::Random;
use rustix::mount::UnmountFlags;

const MIB: usize = 1 << 20;

test_over_each_channel! {
    a_disk_behaves_like_a_disk,
    large_requests_from_many_threads_keep_apart,
    the_block_device_is_what_swap_wants,
    unaligned_requests_are_refused_and_counted,
    discard_gives_memory_back,
    reset_in_the_middle_of_requests,
    a_device_in_use_is_not_reset,
    a_swap_off_is_over_when_the_kernel_says_so,
    a_failed_attach_leaves_nothing,
    what_does_not_fit_goes_to_the_backing_swap,
    a_connection_that_is_ended_from_outside_fails_all_requests,
    every_number_of_workers_serves,
}

#[test]
fn the_channel_is_chosen_by_itself() {
    if !can_attach() {
        return;
    }
    let fixture = fixture(Channel::Auto);
    fixture.init(MIB);
    let transport = fixture.device.status().transport.unwrap();
    // Which one depends on the kernel's parameter, which other tests switch.
    assert!(transport == "fuse" || transport == "fuse-uring");
    let disk = open_direct(&fixture.device.node());
    disk.read_exact_at(&mut buffer().0, 0).unwrap();
    drop(disk);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn a_connection_that_is_ended_from_outside_fails_all_requests(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(16 * MIB);
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (device, done, failed) = (&fixture.device, &done, &failed);
            scope.spawn(move || {
                let (disk, mut io) = (open_direct(&device.node()), buffer());
                for round in (n..).step_by(4) {
                    let at = (round % 64 * io.0.len()) as u64;
                    if disk.read_exact_at(&mut io.0, at).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_until("requests flow", || done.load(Ordering::Relaxed) > 100);
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
        rustix::mount::unmount(fixture.mount_point(), flags).unwrap();
        wait_until("requests fail", || failed.load(Ordering::Relaxed) == 4);
    });
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn every_number_of_workers_serves(channel: Channel) {
    for workers in [1, 3, 8] {
        let mut fixture = fixture(channel);
        let env = (*fixture.env).clone().served_by(Some(workers), channel);
        fixture.device = Arc::new(compcache_device::Device::new(0, Arc::new(env)));
        fixture.init(4 * MIB);
        let disk = open_direct(&fixture.device.node());
        let (mut io, mut random) = (buffer(), Random::new(5));
        let mut held = buffer();
        for at in [1, 100, 200].map(|page| (page * PAGE) as u64) {
            for page in held.0.as_chunks_mut().0 {
                *page = any_page(&mut random);
            }
            disk.write_all_at(&held.0, at).unwrap();
            disk.read_exact_at(&mut io.0, at).unwrap();
            assert!(io.0 == held.0, "{workers} workers");
        }
        drop(disk);
        fixture.device.reset().unwrap();
        fixture.assert_clean();
    }
}

fn a_disk_behaves_like_a_disk(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(4 * MIB);
    let pages = 4 * MIB / PAGE;
    let transport = fixture.device.status().transport;
    assert_eq!(transport.as_deref(), Some(channel.name()));
    let disk = open_direct(&fixture.device.node());
    let mut io = buffer();
    disk.read_exact_at(&mut io.0, 0).unwrap();
    let header = SwapHeader::check(io.0.first_chunk().unwrap(), pages as u64).unwrap();
    assert_eq!(header.last_page as usize, pages - 1);
    assert!(
        io.0[PAGE..].iter().all(|b| *b == 0),
        "never written, so zeros"
    );

    let mut model: HashMap<usize, [u8; PAGE]> = HashMap::new();
    let mut random = Random::new(0x5eed);
    for _ in 0..3000 {
        let count = 1 + random.index(64);
        let first = 1 + random.index(pages - count);
        let at = (first * PAGE) as u64;
        let bytes = &mut io.0[..count * PAGE];
        match random.index(5) {
            0 | 1 => {
                for (i, page) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
                    *page = any_page(&mut random);
                    model.insert(first + i, *page);
                }
                disk.write_all_at(bytes, at).unwrap();
            }
            2 | 3 => {
                disk.read_exact_at(bytes, at).unwrap();
                for (i, page) in bytes.as_chunks::<PAGE>().0.iter().enumerate() {
                    let expected = model.get(&(first + i)).unwrap_or(&[0; PAGE]);
                    assert!(page == expected, "page {}", first + i);
                }
            }
            _ => {
                discard(&disk, at, bytes.len() as u64).unwrap();
                model.retain(|i, _| !(first..first + count).contains(i));
            }
        }
    }
    let status = fixture.device.status();
    let stats = &status.stats.store;
    assert!(
        stats.notify_free > 0 && stats.reads > 0 && stats.writes > 0,
        "{stats:?}"
    );
    assert_eq!(
        (
            stats.failed_reads,
            stats.failed_writes,
            status.stats.invalid_io
        ),
        (0, 0, 0)
    );
    drop(disk);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn large_requests_from_many_threads_keep_apart(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(16 * MIB);
    let disk = open_direct(&fixture.device.node());
    std::thread::scope(|scope| {
        for n in 0..4_u64 {
            let disk = &disk;
            scope.spawn(move || {
                let (mut io, mut random) = (buffer(), Random::new(n + 1));
                let base = n * 4 * MIB as u64 + PAGE as u64;
                let mut held = buffer();
                for round in 0..60 {
                    let at = base + (round % 8) * 256 * 1024;
                    for page in held.0.as_chunks_mut().0 {
                        *page = any_page(&mut random);
                    }
                    disk.write_all_at(&held.0, at).unwrap();
                    disk.read_exact_at(&mut io.0, at).unwrap();
                    assert!(io.0 == held.0, "thread {n}, round {round}");
                }
            });
        }
    });
    drop(disk);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn the_block_device_is_what_swap_wants(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(MIB);
    let device = fixture.block_device();
    let name = device.file_name().unwrap().to_str().unwrap();
    let read = |file: &str| {
        let path = format!("/sys/block/{name}/{file}");
        let text = proc::read(Path::new(&path)).unwrap();
        String::from_utf8_lossy(text.trim_ascii()).into_owned()
    };
    assert_eq!(read("queue/logical_block_size"), "4096");
    assert_eq!(read("queue/rotational"), "0");
    assert_eq!(read("loop/dio"), "1");
    assert_eq!(read("size"), (MIB / 512).to_string());
    assert_ne!(read("queue/discard_max_bytes"), "0");
    assert_eq!(read("queue/discard_granularity"), "4096");
    for path in [&device, &fixture.mount_point()] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let run = std::fs::metadata(fixture.dir.path().join("run")).unwrap();
    assert_eq!(run.permissions().mode() & 0o777, 0o700);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn unaligned_requests_are_refused_and_counted(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(MIB);
    // The block layer lets none through; the file itself shows that the server refuses too.
    let file = File::options()
        .read(true)
        .write(true)
        .open(fixture.mount_point())
        .unwrap();
    let einval = |result: std::io::Result<usize>| {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    };
    let mut io = [7; 2 * PAGE];
    einval(file.read_at(&mut io[..512], 0));
    einval(file.read_at(&mut io[..PAGE], 512));
    einval(file.write_at(&io[..100], PAGE as u64));
    einval(file.write_at(&io[..PAGE], 100));
    assert_eq!(
        file.write_at(&io, MIB as u64).unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    assert_eq!(fixture.device.status().stats.invalid_io, 5);
    assert!(
        file.set_len(PAGE as u64).is_err(),
        "the size does not change"
    );
    file.read_exact_at(&mut io[..PAGE], PAGE as u64).unwrap();
    assert_eq!(io[..PAGE], [0; PAGE]);
    drop(file);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn discard_gives_memory_back(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(64 * MIB);
    let disk = open_direct(&fixture.device.node());
    let (mut io, mut random) = (buffer(), Random::new(9));
    for page in io.0.as_chunks_mut().0 {
        *page = noise_page(&mut random);
    }
    for at in (0..64 * MIB as u64).step_by(io.0.len()).skip(1) {
        disk.write_all_at(&io.0, at).unwrap();
    }
    let full = fixture.device.status().stats.store;
    assert!(full.pool_bytes > 63 * MIB as u64, "{full:?}");
    discard(&disk, 1 << 20, 63 << 20).unwrap();
    wait_until("the pool shrinks", || {
        let stats = fixture.device.status().stats.store;
        stats.pool_bytes < 24 * MIB as u64
    });
    assert_eq!(fixture.device.status().stats.store.notify_free, 63 * 256);
    drop(disk);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn reset_in_the_middle_of_requests(channel: Channel) {
    let fixture = fixture(channel);
    for round in 0..5 {
        fixture.init(16 * MIB);
        let stop = Arc::new(AtomicBool::new(false));
        let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let threads: Vec<_> = (0..4_u64)
            .map(|n| {
                let disk = open_direct(&fixture.device.node());
                let (stop, done, failed) =
                    (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&failed));
                std::thread::spawn(move || {
                    let (mut io, mut random) = (buffer(), Random::new(n + 77));
                    let at = PAGE as u64 + n * 4 * MIB as u64;
                    let mut held = buffer();
                    while !stop.load(Ordering::Relaxed) {
                        for page in held.0.as_chunks_mut().0 {
                            *page = any_page(&mut random);
                        }
                        let came_back = disk
                            .write_all_at(&held.0, at)
                            .and_then(|()| disk.read_exact_at(&mut io.0, at));
                        match came_back {
                            Ok(()) => assert!(io.0 == held.0, "never a wrong answer"),
                            Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        wait_until("requests flow", || {
            done.load(Ordering::Relaxed) > 20 * (round + 1)
        });
        fixture.device.reset().unwrap();
        wait_until("later requests fail", || {
            failed.load(Ordering::Relaxed) >= 4
        });
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
        wait_until("the kernel lets go of the loop device", || {
            std::panic::catch_unwind(|| common::assert_no_trace(fixture.dir.path())).is_ok()
        });
        fixture.assert_clean();
    }
    let leaked: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|to| to.starts_with(fixture.dir.path()))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

fn a_device_in_use_is_not_reset(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(MIB);
    let holder = File::options()
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(fixture.device.node())
        .unwrap();
    let error = fixture.device.reset().unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY, "{error}");
    assert!(fixture.device.is_ready());
    let mut page = [0; PAGE];
    holder.read_exact_at(&mut page, 0).unwrap();
    assert!(SwapHeader::check(&page, 256).is_ok(), "it still works");
    drop(holder);

    let priority = fixture.device.swap_on(None).unwrap();
    let status = fixture.device.status();
    let used = status.swap.expect("it is swapped on");
    assert_eq!(
        (used.priority, used.size_bytes),
        (priority, (MIB - PAGE) as u64)
    );
    let error = fixture.device.reset().unwrap_err();
    assert!(matches!(error, DeviceError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("swapoff first"), "{error}");
    assert_eq!(
        fixture.device.swap_on(None).unwrap_err().errno(),
        libc::EBUSY
    );
    fixture.device.swap_off(&swapoff::checked).unwrap();
    fixture.device.swap_off(&swapoff::checked).unwrap();
    assert!(fixture.device.status().swap.is_none());
    let error = fixture
        .device
        .swap_on(Some(swap::MAX_PRIORITY + 1))
        .unwrap_err();
    assert!(error.to_string().contains("between 0 and 32767"), "{error}");
    assert_eq!(fixture.device.swap_on(Some(5)).unwrap(), 5);
    fixture.device.swap_off(&swapoff::checked).unwrap();
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

/// What the kernel's table of swap says counts, not only what `swapoff(2)` returned.
fn a_swap_off_is_over_when_the_kernel_says_so(channel: Channel) {
    let fixture = fixture(channel);
    fixture.init(MIB);
    let device = &fixture.device;
    device
        .swap_off(&|_: &Path| panic!("it is not swapped on"))
        .unwrap();
    device.swap_on(None).unwrap();

    let refused = |errno: i32| {
        let executor = |path: &Path| {
            assert_eq!(path, fixture.block_device());
            Err(io::Error::from_raw_os_error(errno).into())
        };
        let error = device.swap_off(&executor).unwrap_err();
        assert!(device.status().swap.is_some());
        (error.errno(), error.to_string())
    };
    let (errno, message) = refused(libc::ENOMEM);
    assert_eq!(errno, libc::ENOMEM);
    assert!(message.contains("do not fit back"), "{message}");
    let (errno, message) = refused(libc::EPERM);
    assert_eq!(errno, libc::EPERM);
    assert!(message.contains("stays in use; only root"), "{message}");
    // What the second of two hears as long as the first one is at it, which ends then.
    let first = std::sync::OnceLock::new();
    let second = |path: &Path| {
        first.get_or_init(|| {
            let path = path.to_owned();
            std::thread::spawn(move || swap::off(&path))
        });
        Err(io::Error::from_raw_os_error(libc::EINVAL).into())
    };
    device.swap_off(&second).unwrap();
    first.into_inner().unwrap().join().unwrap().unwrap();
    assert!(device.status().swap.is_none());
    device.swap_on(None).unwrap();
    // The first one has failed: the second one tries again.
    let tries = std::cell::Cell::new(0);
    let failed = |path: &Path| {
        tries.set(tries.get() + 1);
        if tries.get() < 2 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL).into());
        }
        Ok(swap::off(path)?)
    };
    device.swap_off(&failed).unwrap();
    assert_eq!(tries.get(), 2);
    device.swap_on(None).unwrap();

    let unchecked = |_: &Path| Err(SwapoffError::Unchecked("it can't be determined".into()));
    let error = device.swap_off(&unchecked).unwrap_err().to_string();
    assert!(
        error.contains("ramzswap0 stays swapped on: it can't be determined"),
        "{error}"
    );
    assert!(device.status().swap.is_some());

    // What the second hears when the first one is done.
    let faster = |path: &Path| {
        swap::off(path)?;
        swapoff::checked(path)
    };
    device.swap_off(&faster).unwrap();
    assert!(device.status().swap.is_none());
    device.reset().unwrap();
    fixture.assert_clean();
}

fn a_failed_attach_leaves_nothing(channel: Channel) {
    let fixture = fixture(channel);
    let update = ParamsUpdate {
        disksize: Some(MIB as u64),
        ..Default::default()
    };
    fixture.device.configure(&update).unwrap();
    // The mount point can't be made.
    std::fs::write(fixture.dir.path().join("run"), "").unwrap();
    let error = fixture.device.init().unwrap_err();
    assert!(error.to_string().contains("make the directory"), "{error}");
    std::fs::remove_file(fixture.dir.path().join("run")).unwrap();
    // Somebody else's mount point is there.
    std::fs::create_dir(fixture.dir.path().join("run")).unwrap();
    std::fs::write(fixture.mount_point(), "theirs").unwrap();
    let error = fixture.device.init().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another process uses this runtime dir"),
        "{error}"
    );
    assert_eq!(std::fs::read(fixture.mount_point()).unwrap(), b"theirs");
    std::fs::remove_file(fixture.mount_point()).unwrap();
    // The link can't be made.
    std::fs::create_dir(fixture.device.node()).unwrap();
    let error = fixture.device.init().unwrap_err();
    assert!(
        error.to_string().contains("ramzswap0 to /dev/loop"),
        "{error}"
    );
    std::fs::remove_dir(fixture.device.node()).unwrap();
    fixture.assert_clean();
    fixture.device.init().unwrap();
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

fn what_does_not_fit_goes_to_the_backing_swap(channel: Channel) {
    let fixture = fixture(channel);
    let path = fixture.dir.path().join("swap");
    make_swap_file(&path, 1024);
    let update = ParamsUpdate {
        memlimit: Some(MIB as u64),
        backing_swap: Some(path.clone()),
        ..Default::default()
    };
    fixture.device.configure(&update).unwrap();
    fixture.device.init().unwrap();
    let status = fixture.device.status();
    assert_eq!(
        (status.disksize, status.memlimit),
        (4 * MIB as u64, Some(MIB as u64))
    );
    assert_eq!(status.backing_swap.as_ref(), Some(&path));

    let disk = open_direct(&fixture.device.node());
    let (mut io, mut random) = (buffer(), Random::new(3));
    let mut held = Vec::new();
    for run in 0..15 {
        for page in io.0.as_chunks_mut().0 {
            *page = if run % 3 == 0 {
                noise_page(&mut random)
            } else {
                any_page(&mut random)
            };
        }
        disk.write_all_at(&io.0, ((1 + run * 64) * PAGE) as u64)
            .unwrap();
        held.push(io.clone());
    }
    for (run, expected) in held.iter().enumerate() {
        disk.read_exact_at(&mut io.0, ((1 + run * 64) * PAGE) as u64)
            .unwrap();
        assert!(io.0 == expected.0, "run {run}");
    }
    let stats = fixture.device.status().stats.store;
    assert!(
        stats.backing_writes > 300 && stats.backing_reads > 300,
        "{stats:?}"
    );
    assert!(
        stats.backing_pages > 0 && stats.pool_bytes <= MIB as u64,
        "{stats:?}"
    );
    drop(disk);
    // Its own header is still there, and after the reset it is free again.
    let second = compcache_device::Device::new(1, Arc::clone(&fixture.env));
    assert_eq!(second.configure(&update).unwrap_err().errno(), libc::EBUSY);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
    second.configure(&update).unwrap();
}
