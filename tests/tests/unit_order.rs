//! The shipped units, mounts of the shipped fstab among them, can all be started at boot, and stopped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use compcache_tests::{Outcome, Unit, binary, needs, packaged};
use tempfile::TempDir;

const GENERATOR: &str = "/usr/lib/systemd/system-generators/systemd-fstab-generator";
const SYSTEM_UNITS: &str = "/usr/lib/systemd/system";
/// What other lines of a machine's fstab may be: file systems that sources are on, one in memory, which
/// waits for swap, and swap.
const OTHER_MOUNTS: &str = "\
nas:/export /mnt/nas nfs defaults 0 0
/dev/sda1 /srv ext4 defaults 0 2
tmpfs /tmp tmpfs defaults 0 0
/dev/sda2 none swap sw 0 0
";

/// Units in directories of their own.
struct Boot {
    directory: TempDir,
}

impl Boot {
    /// The shipped units, each wanted by the target that its `[Install]` section names; and those that
    /// systemd makes of the fstab. `None`, after saying so, if systemd's programs are not there.
    fn new(fstab: &str) -> Option<Boot> {
        if !needs::programs(&["systemd-analyze"]) || !needs::file(GENERATOR) {
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let boot = Boot { directory };
        for name in ["compcached.service", "mnt-fast.mount"] {
            let text = fs::read_to_string(packaged(name)).expect(name);
            let daemon = binary("compcached");
            let text = text.replace("/usr/sbin/compcached", daemon.to_str().expect("UTF-8"));
            boot.write("units", name, &text);
            for target in Unit::shipped(name).words("WantedBy") {
                boot.want(name, target);
            }
        }
        boot.write("", "fstab", fstab);
        let made = boot.path("made");
        fs::create_dir(&made).expect("a directory");
        let mut generator = Command::new(GENERATOR);
        generator.args([&made, &made, &made]);
        Outcome::of(generator.env("SYSTEMD_FSTAB", boot.path("fstab"))).success();
        Some(boot)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, directory: &str, name: &str, text: &str) {
        let directory = self.path(directory);
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(name), text).expect("a file");
    }

    fn want(&self, unit: &str, target: &str) {
        let wants = self.path("units").join(format!("{target}.wants"));
        fs::create_dir_all(&wants).expect("a directory");
        symlink(Path::new("..").join(unit), wants.join(unit)).expect("a link");
    }

    /// What systemd says of all that is started at boot.
    fn verify(&self) -> String {
        let path = [
            self.path("units").display().to_string(),
            self.path("made").display().to_string(),
            SYSTEM_UNITS.to_owned(),
        ];
        let mut analyze = Command::new("systemd-analyze");
        analyze
            .args(["verify", "--man=no", "--generators=no"])
            .arg(format!("{SYSTEM_UNITS}/multi-user.target"))
            .env("SYSTEMD_UNIT_PATH", path.join(":"));
        // Its status is that of the machine's units, too.
        let out = Outcome::of(&mut analyze);
        format!("{}{}", out.stdout, out.stderr)
    }

    /// Asserts that nothing is deleted from what is to be started, and that our units are right.
    #[track_caller]
    fn assert_right(&self) {
        let output = self.verify();
        for complaint in ["ordering cycle", "compcached.service:", "mnt-fast.mount:"] {
            assert!(!output.contains(complaint), "{output}");
        }
    }
}

/// The lines of the shipped fstab, with or without the mount that `mnt-fast.mount` is as well.
fn fstab(with_fast: bool) -> String {
    let text = fs::read_to_string(packaged("fstab.example")).expect("the example");
    let lines = text
        .lines()
        .filter(|line| with_fast || !line.contains("/mnt/fast"));
    let lines: Vec<&str> = lines.collect();
    format!("{}\n{OTHER_MOUNTS}", lines.join("\n"))
}

#[test]
fn what_is_shipped_is_ordered_without_a_cycle() {
    for with_fast in [true, false] {
        let Some(boot) = Boot::new(&fstab(with_fast)) else {
            return;
        };
        if with_fast {
            fs::remove_file(boot.path("units").join("mnt-fast.mount")).expect("a unit");
        }
        for unit in ["srv-data.mount", "build.mount"] {
            assert!(boot.path("made").join(unit).exists(), "no {unit}");
        }
        boot.assert_right();
    }
}

/// As the comments in the units say: what lies on another file system waits for that, and a mount of a
/// local source is local.
#[test]
fn so_is_what_the_comments_advise() {
    let Some(boot) = Boot::new(&fstab(false)) else {
        return;
    };
    let drop_in = "[Unit]\nRequiresMountsFor=/srv\n";
    boot.write("units/compcached.service.d", "sources.conf", drop_in);
    let name = "mnt-fast.mount";
    let text = fs::read_to_string(packaged(name)).expect(name);
    let local = text
        .replace("/mnt/nas", "/srv")
        .replace(",_netdev", "")
        .replace("remote-fs.target", "local-fs.target");
    boot.write("units", name, &local);
    fs::remove_dir_all(boot.path("units/remote-fs.target.wants")).expect("a directory");
    boot.want(name, "local-fs.target");
    boot.assert_right();
}

/// What `assert_right` relies on.
#[test]
fn a_daemon_that_waits_for_local_file_systems_is_a_cycle() {
    let Some(boot) = Boot::new(&fstab(false)) else {
        return;
    };
    let drop_in = "[Unit]\nAfter=local-fs.target\n";
    boot.write("units/compcached.service.d", "late.conf", drop_in);
    let output = boot.verify();
    assert!(output.contains("ordering cycle"), "{output}");
}
