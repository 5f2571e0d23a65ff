//! Mounts as users make them. Needs root, /dev/fuse, and the programs of util-linux and fuse3.

mod common;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Places, run, turn};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A user without rights: `nobody`.
const NOBODY: u32 = 65534;

/// A directory with a file in it, and a place to mount it at.
struct Bed {
    places: Places,
}

impl Bed {
    fn new() -> Bed {
        let bed = Bed {
            places: Places::new(),
        };
        for name in ["source", "mounted"] {
            fs::create_dir(bed.path(name)).unwrap();
        }
        fs::write(bed.path("source/file"), "content").unwrap();
        bed
    }

    fn path(&self, name: &str) -> String {
        self.places.root().join(name).display().to_string()
    }

    /// Runs `compcache`, which must succeed; gives its standard output.
    fn done(&self, args: &[&str]) -> String {
        let (code, out, err) = run(&mut self.places.compcache(args));
        assert_eq!(code, 0, "{args:?}: {err}");
        out
    }

    /// Runs `compcache`, which must fail; gives its standard error.
    fn fails(&self, args: &[&str]) -> String {
        let (code, out, err) = run(&mut self.places.compcache(args));
        assert_eq!(code, 1, "{args:?}: {out}");
        err
    }

    fn mount(&self) {
        self.done(&["mount", &self.path("source"), &self.path("mounted")]);
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }

    /// The process of the daemon that serves here.
    fn daemon(&self) -> Pid {
        let lock = self.places.runtime_dir().join("compcached.lock");
        let pid = fs::read_to_string(lock).unwrap().trim().parse().unwrap();
        Pid::from_raw(pid).unwrap()
    }

    /// Waits until the daemon, which ends when nothing is mounted, is gone.
    fn wait_for_the_end(&self) {
        let socket = self.places.runtime_dir().join("control.sock");
        until("the daemon's end", || !socket.exists());
        assert_eq!(mounts_below(&self.path("")), Vec::<String>::new());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.places.runtime_dir().join("compcached.log")).unwrap()
    }

    /// Runs a script in a mount namespace of its own, in which `DIR` is this bed's directory and
    /// `compcache` a copy of the program there that everybody may run.
    fn script(&self, script: &str) -> String {
        let program = self.places.root().join("compcache");
        fs::copy(env!("CARGO_BIN_EXE_compcache"), &program).unwrap();
        let path = format!(
            "{}:{}",
            self.places.root().display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = self.places.program(
            "unshare",
            &["--mount", "--propagation", "private", "sh", "-euc", script],
        );
        command.env("DIR", self.places.root()).env("PATH", path);
        let (code, out, err) = run(&mut command);
        assert_eq!(code, 0, "{script}: {out}{err}");
        out
    }
}

impl Drop for Bed {
    /// Takes away what a test that failed has left.
    fn drop(&mut self) {
        if !mounts_below(&self.path("")).is_empty() {
            let _ = self
                .places
                .compcache(&["umount", "--all", "--lazy"])
                .output();
        }
    }
}

/// Waits for a condition that nothing tells of.
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(600),
            "never came: {what}"
        );
        std::thread::yield_now();
    }
}

/// Where something is mounted below a directory.
fn mounts_below(directory: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points
        .filter(|point| point.starts_with(directory))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_directory_is_mounted_used_and_unmounted() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    let (source, mounted) = (bed.path("source"), bed.path("mounted"));
    let args = [
        "mount", "--cache", "64M", "--codec", "zstd:1", &source, &mounted,
    ];
    let out = bed.done(&args);
    assert!(out.contains(&format!("{mounted}: shows {source}")), "{out}");
    let file = bed.path("mounted/file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    fs::write(bed.path("mounted/new"), "written").unwrap();
    assert_eq!(
        fs::read_to_string(bed.path("source/new")).unwrap(),
        "written"
    );

    let status = bed.status();
    let mount = &status["mounts"][0];
    assert_eq!(mount["source"], source);
    assert_eq!(mount["mountpoint"], mounted);
    assert_eq!(mount["write"], "through");
    assert_eq!(mount["codec"], "zstd:1");
    assert!(bed.done(&["mount"]).contains(&mounted));
    assert!(bed.done(&["status", &mounted]).contains("write-through"));
    bed.done(&["sync"]);
    bed.done(&["sync", &mounted]);
    let refused = bed.fails(&["mount", &source, &mounted]);
    assert!(refused.contains("already a compcache mount"), "{refused}");

    let open = File::open(&file).unwrap();
    let refused = bed.fails(&["umount", &mounted]);
    assert!(refused.contains("in use"), "{refused}");
    drop(open);
    bed.done(&["umount", &mounted]);
    bed.wait_for_the_end();
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn a_mount_in_use_is_unmounted_lazily_and_the_daemon_stays_for_it() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    bed.mount();
    let open = File::open(bed.path("mounted/file")).unwrap();
    bed.done(&["umount", "--lazy", &bed.path("mounted")]);
    assert_eq!(mounts_below(&bed.path("")), Vec::<String>::new());
    assert_eq!(std::io::read_to_string(&open).unwrap(), "content");
    drop(open);
    bed.wait_for_the_end();
}

#[test]
fn files_in_memory() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    let mounted = bed.path("mounted");
    let args = [
        "mount", "--ram", "--size", "64M", "--cache", "32M", &mounted,
    ];
    bed.done(&args);
    let content = "compressible ".repeat(100_000);
    fs::write(bed.path("mounted/file"), &content).unwrap();
    assert!(fs::read_to_string(bed.path("mounted/file")).unwrap() == content);
    assert_eq!(bed.status()["mounts"][0]["write"], "ram");
    bed.done(&["umount", "--all"]);
    bed.wait_for_the_end();
    assert_eq!(fs::read_dir(mounted).unwrap().count(), 0);
}

#[test]
fn umount_by_others_is_noticed() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    bed.mount();
    let (code, _, err) = run(Command::new("umount").arg(bed.path("mounted")));
    assert_eq!(code, 0, "{err}");
    bed.wait_for_the_end();
    assert!(
        bed.log().contains("unmounted by somebody else"),
        "{}",
        bed.log()
    );
}

#[test]
fn a_signal_takes_a_mount_in_use_away() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    bed.mount();
    let _open = File::open(bed.path("mounted/file")).unwrap();
    kill_process(bed.daemon(), Signal::TERM).unwrap();
    bed.wait_for_the_end();
    assert!(bed.log().contains("mounted: was in use"), "{}", bed.log());
}

#[test]
fn what_a_killed_daemon_leaves_is_cleaned_up() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    let kill = || {
        kill_process(bed.daemon(), Signal::KILL).unwrap();
        let dead = || {
            let error = fs::metadata(bed.path("mounted")).err();
            error.and_then(|e| e.raw_os_error()) == Some(libc::ENOTCONN)
        };
        until("the daemon's death", dead);
    };
    bed.mount();
    kill();
    bed.mount();
    assert_eq!(mounts_below(&bed.path("")).len(), 1);
    assert_eq!(
        fs::read_to_string(bed.path("mounted/file")).unwrap(),
        "content"
    );
    assert!(bed.log().contains("whose daemon was gone"), "{}", bed.log());
    kill();
    let out = bed.done(&["umount", &bed.path("mounted")]);
    assert!(out.contains("its daemon was gone"), "{out}");
    assert_eq!(mounts_below(&bed.path("")), Vec::<String>::new());
    // Nor does its socket stand in the way.
    bed.mount();
    bed.done(&["umount", &bed.path("mounted")]);
    bed.wait_for_the_end();
}

#[test]
fn lines_of_fstab() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    fs::create_dir(bed.path("memory")).unwrap();
    let fstab = format!(
        "{} {} compcache defaults,cache=64M,codec=zstd:1,ro,nofail,_netdev,x-systemd.automount 0 0\n\
         ram {} fuse.compcache size=16M,cache=16M 0 0\n",
        bed.path("source"),
        bed.path("mounted"),
        bed.path("memory"),
    );
    fs::write(bed.path("fstab"), fstab).unwrap();
    let out = bed.script(
        "mount -t tmpfs tmpfs /sbin/
         ln -s $DIR/compcache /sbin/mount.compcache
         ln -s $DIR/compcache /sbin/mount.fuse.compcache
         mount -a -T $DIR/fstab
         # What is mounted already is known again.
         mount -a -T $DIR/fstab
         cat $DIR/mounted/file
         ! touch $DIR/mounted/file 2>/dev/null
         echo ' in memory' >$DIR/memory/file
         cat $DIR/memory/file
         compcache mount
         umount $DIR/mounted $DIR/memory",
    );
    assert!(out.starts_with("content in memory\n"), "{out}");
    assert!(out.contains("\nram "), "{out}");
    bed.wait_for_the_end();
}

#[test]
fn a_user_without_root_has_a_daemon_of_their_own() {
    if !compcache_test_needs::programs(&["fusermount3", "setpriv", "unshare"]) {
        return;
    }
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    for name in ["home", "home/source", "home/mounted", "home/run"] {
        fs::create_dir(bed.path(name)).unwrap();
        std::os::unix::fs::chown(bed.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::write(bed.path("home/source/file"), "a user's").unwrap();
    let out = bed.script(
        "chmod 755 $DIR
         # Where only root may open the device, as in some containers.
         mknod -m 666 $DIR/fuse c 10 229
         mount --bind $DIR/fuse /dev/fuse
         cd /
         user() {
             setpriv --reuid=65534 --regid=65534 --clear-groups env -u COMPCACHE_RUNTIME_DIR \\
                 XDG_RUNTIME_DIR=$DIR/home/run \"$@\"
         }
         H=$DIR/home
         ! user env PATH=$DIR compcache mount $H/source $H/mounted 2>&1
         user compcache mount $H/source $H/mounted
         user cat $H/mounted/file
         # Not even root may look into it.
         ! ls $H/mounted 2>/dev/null
         user touch $H/mounted/new
         stat -c %u $H/source/new
         stat -c %a $H/run/compcache
         user compcache status
         ! user compcache swap on 2>&1
         user compcache umount $H/mounted",
    );
    for words in [
        "a user's65534\n700\n",
        "0 device(s)",
        "swap on needs root",
        "install the package fuse3",
    ] {
        assert!(out.contains(words), "{words:?} not in {out}");
    }
    let socket = PathBuf::from(bed.path("home/run/compcache/control.sock"));
    until("the end of the user's daemon", || !socket.exists());
}

#[test]
fn mounts_of_the_configuration_and_one_limit_for_all() {
    let Some(_turn) = turn() else {
        return;
    };
    let bed = Bed::new();
    let config = format!(
        "memory_limit_kb = 65536\n[[mount]]\nsource = \"{}\"\nmountpoint = \"{}\"\n\
         cache_kb = 131072\nwrite_back = true\n",
        bed.path("source"),
        bed.path("mounted"),
    );
    fs::write(bed.path("config"), config).unwrap();
    let config = bed.path("config");
    let daemon = ["daemon", "--config", &config, "--exit-when-idle"];
    let mut child = bed.places.compcache(&daemon).spawn().unwrap();
    until("the mount", || !mounts_below(&bed.path("")).is_empty());
    assert_eq!(
        fs::read_to_string(bed.path("mounted/file")).unwrap(),
        "content"
    );
    let status = bed.status();
    assert_eq!(status["memory_limit"], 64 << 20);
    assert_eq!(status["mounts"][0]["write"], "back");
    bed.done(&["umount", "--all"]);
    assert!(child.wait().unwrap().success());

    fs::remove_dir_all(bed.path("source")).unwrap();
    let (code, _, err) = run(&mut bed.places.compcache(&daemon));
    assert_eq!(code, 1, "{err}");
    for words in ["config, line 2", "[[mount]]", "no such directory"] {
        assert!(err.contains(words), "{words} not in {err}");
    }
}
