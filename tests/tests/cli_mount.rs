//! `compcache mount` and `umount` as users give them; the daemon starts for them and ends by itself.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use compcache_tests::{Bed, Map, NOBODY, Outcome, Running, mounts_under, needs, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A bed with a directory that has a file in it, and a place to mount it at.
struct Places(Bed);

impl Deref for Places {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.0
    }
}

impl Places {
    fn new() -> Option<Places> {
        let places = Places(Bed::new()?);
        for name in ["source", "mounted"] {
            fs::create_dir(places.path(name)).unwrap();
        }
        fs::write(places.path("source/file"), "content").unwrap();
        Some(places)
    }

    fn path(&self, name: &str) -> String {
        self.directory().join(name).display().to_string()
    }

    /// Runs `compcache`, which must succeed; gives its standard output.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        self.compcache(arguments).success()
    }

    /// Runs `compcache`, which must fail and say `words`.
    #[track_caller]
    fn fails(&self, arguments: &[&str], words: &str) {
        let out = self.compcache(arguments);
        assert_eq!(out.code(), 1, "{out}");
        out.refused(&[words]);
    }

    #[track_caller]
    fn mount(&self) {
        self.done(&["mount", &self.path("source"), &self.path("mounted")]);
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }

    /// What is mounted here.
    fn mounts(&self) -> Vec<PathBuf> {
        mounts_under(self.directory())
    }

    fn signal_daemon(&self, signal: Signal) {
        send(self.status().0.pid, signal);
    }

    /// Kills the daemon and the process of its mounts, neither of which can do anything about it.
    fn kill_daemon(&self) {
        let (daemon, _) = self.status();
        send(daemon.pid, Signal::STOP);
        send(daemon.mount_pid.expect("a process of mounts"), Signal::KILL);
        send(daemon.pid, Signal::KILL);
    }

    /// Waits until the daemon, which ends when nothing is mounted, is gone.
    #[track_caller]
    fn wait_for_the_end(&self) {
        self.assert_nothing_left();
    }

    #[track_caller]
    fn assert_logged(&self, words: &str) {
        let log = fs::read_to_string(self.runtime_dir().join("compcached.log")).unwrap();
        assert!(log.contains(words), "no {words:?} in {log}");
    }

    /// Runs a script in a mount namespace of its own, in which `DIR` is this bed's directory and
    /// `compcache` a copy of the program there that everybody may run.
    #[track_caller]
    fn script(&self, script: &str) -> String {
        let program = self.copy_of("compcache");
        let path = format!(
            "{}:{}",
            program.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-euc", script]);
        self.set_environment(&mut command);
        Outcome::of(command.env("DIR", self.directory()).env("PATH", path)).success()
    }
}

#[test]
fn a_directory_is_mounted_used_and_unmounted() {
    let Some(bed) = Places::new() else { return };
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

    let status = bed.json();
    let mount = &status["mounts"][0];
    assert_eq!(mount["source"], source);
    assert_eq!(mount["mountpoint"], mounted);
    assert_eq!(mount["write"], "through");
    assert_eq!(mount["codec"], "zstd:1");
    assert!(bed.done(&["mount"]).contains(&mounted));
    assert!(bed.done(&["status", &mounted]).contains("write-through"));
    bed.done(&["sync"]);
    bed.done(&["sync", &mounted]);
    bed.fails(&["mount", &source, &mounted], "already a compcache mount");

    let open = File::open(&file).unwrap();
    bed.fails(&["umount", &mounted], "in use");
    drop(open);
    bed.done(&["umount", &mounted]);
    bed.wait_for_the_end();
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn a_mount_in_use_is_unmounted_lazily_and_the_daemon_stays_for_it() {
    let Some(bed) = Places::new() else { return };
    bed.mount();
    let open = File::open(bed.path("mounted/file")).unwrap();
    bed.done(&["umount", "--lazy", &bed.path("mounted")]);
    assert_eq!(bed.mounts(), Vec::<PathBuf>::new());
    assert_eq!(std::io::read_to_string(&open).unwrap(), "content");
    drop(open);
    bed.wait_for_the_end();
}

/// One lies in another, and one shows another, whose path comes after it.
#[test]
fn all_are_unmounted_whatever_lies_in_or_shows_another() {
    let Some(bed) = Places::new() else { return };
    for name in ["source/inner", "shows"] {
        fs::create_dir(bed.path(name)).unwrap();
    }
    let [mounted, inner] = ["mounted", "mounted/inner"].map(|name| bed.path(name));
    bed.mount();
    bed.done(&["mount", &mounted, &bed.path("shows")]);
    bed.done(&["mount", &bed.path("source"), &inner]);
    assert_eq!(bed.mounts().len(), 3);
    bed.done(&["umount", "--all"]);
    assert_eq!(bed.mounts(), Vec::<PathBuf>::new());
    bed.wait_for_the_end();
}

#[test]
fn files_in_memory() {
    let Some(bed) = Places::new() else { return };
    let mounted = bed.path("mounted");
    let args = [
        "mount", "--ram", "--size", "64M", "--cache", "32M", &mounted,
    ];
    bed.done(&args);
    let content = "compressible ".repeat(100_000);
    fs::write(bed.path("mounted/file"), &content).unwrap();
    assert!(fs::read_to_string(bed.path("mounted/file")).unwrap() == content);
    assert_eq!(bed.json()["mounts"][0]["write"], "ram");
    bed.done(&["umount", "--all"]);
    bed.wait_for_the_end();
    assert_eq!(fs::read_dir(mounted).unwrap().count(), 0);
}

#[test]
fn umount_by_others_is_noticed() {
    let Some(bed) = Places::new() else { return };
    bed.mount();
    Outcome::of(Command::new("umount").arg(bed.path("mounted"))).success();
    bed.wait_for_the_end();
    bed.assert_logged("unmounted by somebody else");
}

#[test]
fn a_signal_takes_a_mount_in_use_away() {
    let Some(bed) = Places::new() else { return };
    bed.mount();
    let _open = File::open(bed.path("mounted/file")).unwrap();
    bed.signal_daemon(Signal::TERM);
    bed.wait_for_the_end();
    bed.assert_logged("mounted: was in use");
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn what_a_killed_daemon_leaves_is_cleaned_up() {
    let Some(bed) = Places::new() else { return };
    let kill = || {
        bed.kill_daemon();
        let dead = || {
            let error = fs::metadata(bed.path("mounted")).err();
            error.and_then(|error| error.raw_os_error()) == Some(libc::ENOTCONN)
        };
        wait_until("the daemon's death", dead);
    };
    bed.mount();
    kill();
    bed.mount();
    assert_eq!(bed.mounts().len(), 1);
    assert_eq!(
        fs::read_to_string(bed.path("mounted/file")).unwrap(),
        "content"
    );
    bed.assert_logged("whose daemon was gone");
    kill();
    let out = bed.done(&["umount", &bed.path("mounted")]);
    assert!(out.contains("its daemon was gone"), "{out}");
    assert_eq!(bed.mounts(), Vec::<PathBuf>::new());
    // Nor does its socket stand in the way.
    bed.mount();
    bed.done(&["umount", &bed.path("mounted")]);
    bed.wait_for_the_end();
}

#[test]
fn lines_of_fstab() {
    let Some(bed) = Places::new() else { return };
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
    if !needs::programs(&["fusermount3", "setpriv", "unshare"]) {
        return;
    }
    let Some(bed) = Places::new() else { return };
    for name in ["home", "home/source", "home/mounted", "home/run"] {
        fs::create_dir(bed.path(name)).unwrap();
        std::os::unix::fs::chown(bed.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::write(bed.path("home/source/file"), "a user's").unwrap();
    let out = bed.script(
        "# If only root may open the device, as in some containers.
         mknod -m 666 $DIR/fuse c 10 229
         mount --bind $DIR/fuse /dev/fuse
         cd /
         user() {
             setpriv --reuid=65534 --regid=65534 --clear-groups env -u COMPCACHE_RUNTIME_DIR \\
                 XDG_RUNTIME_DIR=$DIR/home/run \"$@\"
         }
         H=$DIR/home
         ! user env PATH=$DIR compcache mount $H/source $H/mounted 2>&1
         # The next is to start one of its own, whose PATH has fusermount3.
         while [ -e $H/run/compcache/control.sock ]; do sleep 0.1; done
         user compcache mount $H/source $H/mounted
         user cat $H/mounted/file
         # Not even root may look into it.
         ! ls $H/mounted 2>/dev/null
         user touch $H/mounted/new
         stat -c %u $H/source/new
         # The daemon reaches files below its /proc/self, which is root's.
         user sh -euc 'cd $0; echo text >a; chmod 640 a; ln a b; truncate -s 1 a; touch -d @1 a' \\
             $H/mounted
         stat -c %a-%s-%h-%Y $H/source/b
         stat -c %a $H/run/compcache
         user compcache status
         ! user compcache swap on 2>&1
         user compcache umount $H/mounted",
    );
    for words in [
        "a user's65534\n640-1-2-1\n700\n",
        "0 device(s)",
        "swap on needs root",
        "install the package fuse3",
    ] {
        assert!(out.contains(words), "{words:?} not in {out}");
    }
    let socket = PathBuf::from(bed.path("home/run/compcache/control.sock"));
    wait_until("the end of the user's daemon", || !socket.exists());
    bed.wait_for_the_end();
}

#[test]
fn mounts_of_the_configuration_and_one_limit_for_all() {
    let Some(bed) = Places::new() else { return };
    let config = bed.config(format!(
        "memory_limit_kb = 65536\n[[mount]]\nsource = \"{}\"\nmountpoint = \"{}\"\n\
         cache_kb = 131072\nwrite_back = true\n",
        bed.path("source"),
        bed.path("mounted"),
    ));
    let daemon = ["daemon", "--config", &config, "--exit-when-idle"];
    let running = Running::start(bed.command("compcache").args(daemon));
    wait_until("the mount", || !bed.mounts().is_empty());
    assert_eq!(
        fs::read_to_string(bed.path("mounted/file")).unwrap(),
        "content"
    );
    let status = bed.json();
    assert_eq!(status["memory_limit"], 64 << 20);
    assert_eq!(status["mounts"][0]["write"], "back");
    bed.done(&["umount", "--all"]);
    running.finish().success();

    fs::remove_dir_all(bed.path("source")).unwrap();
    let out = bed.compcache(&daemon);
    assert_eq!(out.code(), 1, "{out}");
    out.refused(&["compcache.toml, line 2", "[[mount]]", "no such directory"]);
}

/// What a program has stored through a shared mapping is in the kernel's page cache only.
#[test]
fn sync_writes_what_is_mapped() {
    let Some(bed) = Places::new() else { return };
    let [source, mounted] = ["source", "mounted"].map(|name| bed.path(name));
    for mode in [&[][..], &["--write-back"]] {
        bed.done(&[&["mount"], mode, &[&source, &mounted]].concat());
        let mut open = File::options();
        open.read(true).write(true);
        let file = open.open(bed.path("mounted/file")).unwrap();
        let map = Map::new(&file, 7, true).unwrap();
        for round in 0..20 {
            let text = format!("round{round:02}");
            map.write(0, text.as_bytes()).unwrap();
            let command = [&["sync"], &[&*mounted][..round % 2]].concat();
            bed.done(&command);
            assert_eq!(fs::read_to_string(bed.path("source/file")).unwrap(), text);
        }
        drop((map, file));
        bed.done(&["umount", &mounted]);
    }
}
