//! A mount that nobody uses wakes no thread, though it holds pages.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use compcache_host::proc;
use compcache_tests::content::{Kind, Page};
use compcache_tests::{Mode, MountBed, PAGE, drop_page_cache, needs, wait_until};

/// For so long nothing may wake: longer than any period at which a thread could look at something.
const WINDOW: Duration = Duration::from_secs(4);

/// How often threads of a process have stopped running so far, by their numbers.
fn switches(pid: u32) -> Vec<(u64, u64)> {
    let tasks = format!("/proc/{pid}/task");
    let mut all: Vec<_> = fs::read_dir(Path::new(&tasks))
        .expect("the threads of a process")
        .filter_map(|entry| {
            let thread = entry.expect("a thread").path();
            let text = proc::read(&thread.join("status")).ok()?;
            let number = proc::value(&text, "Pid").expect("its number");
            let of = |key: &str| proc::value(&text, key).expect("a count of switches");
            let count = of("voluntary_ctxt_switches") + of("nonvoluntary_ctxt_switches");
            Some((number, count))
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_mount_at_rest_wakes_no_thread() {
    if !needs::file("/proc/pressure/memory") {
        return;
    }
    let Some(mut bed) = MountBed::mounted(Mode::Through, &["--codec", "lz4"]) else {
        return;
    };
    fs::create_dir(bed.source().join("directory")).unwrap();
    for number in 0..200 {
        let mut text = Vec::new();
        let mut page = Page::zeros();
        for index in 0..8 {
            Kind::Structured.fill(&mut page, number, index, 0);
            text.extend_from_slice(page.bytes());
        }
        fs::write(bed.source().join(format!("directory/{number}")), text).unwrap();
    }
    for _ in 0..2 {
        for entry in fs::read_dir(bed.point().join("directory")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::read(&path).unwrap().len() as u64, 8 * PAGE);
            drop_page_cache(&fs::File::open(&path).unwrap());
        }
    }
    let pids = [bed.pid(), bed.bed().mount_pid()];
    let count = || pids.map(switches);
    wait_until("no thread of daemon and mount wakes", || {
        let before = count();
        // It is the length of the window in which nothing may happen, not a wait for something.
        thread::sleep(WINDOW);
        count() == before
    });
    bed.umount();
}
