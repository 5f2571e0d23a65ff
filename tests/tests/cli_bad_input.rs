//! Bad input gets a clear error and the right exit status before any daemon is asked. None of this
//! needs root.

use std::fs;
use std::process::{Command, Stdio};

use compcache_tests::{Bed, Outcome, binary};

/// Runs a program, which must fail with `status`, print nothing, and say each of `words`.
#[track_caller]
fn fails(bed: &Bed, program: &str, arguments: &[&str], status: i32, words: &[&str]) {
    let out = Outcome::of(bed.command(program).args(arguments));
    assert_eq!((out.code(), out.stdout.as_str()), (status, ""), "{out}");
    out.refused(words);
}

#[track_caller]
fn rzscontrol_fails(bed: &Bed, arguments: &[&str], status: i32, words: &[&str]) {
    fails(bed, "rzscontrol", arguments, status, words);
}

#[track_caller]
fn compcache_fails(bed: &Bed, arguments: &[&str], status: i32, words: &[&str]) {
    fails(bed, "compcache", arguments, status, words);
}

#[test]
fn no_daemon() {
    let bed = Bed::without_root();
    let words = [
        "no daemon is running at",
        "control.sock",
        "compcached --num-devices",
    ];
    for action in ["--init", "--stats"] {
        rzscontrol_fails(&bed, &["/dev/ramzswap0", action], 1, &words);
    }
    compcache_fails(&bed, &["status"], 1, &words);
    compcache_fails(&bed, &["swap", "off"], 1, &words);
    compcache_fails(&bed, &["sync"], 1, &words);
    compcache_fails(&bed, &["umount", "--all"], 1, &words);
    compcache_fails(
        &bed,
        &["umount", "/tmp"],
        1,
        &["\"/tmp\" is not a compcache mount"],
    );
}

#[test]
fn without_a_daemon_nothing_is_mounted() {
    let bed = Bed::without_root();
    let out = bed.compcache(&["mount"]);
    assert_eq!(out.stderr, "", "{out}");
    assert_eq!(out.success(), "nothing is mounted\n");
    let text = bed.compcache(&["mount", "--json"]).success();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document, serde_json::json!({"mounts": []}));
}

#[test]
fn mounts_that_are_written_wrong() {
    let bed = Bed::without_root();
    for (args, words) in [
        (&["/a"][..], &["MOUNTPOINT is missing"][..]),
        (&["/a", "/b", "/c"], &["'/c'"]),
        (&["--ram", "/a"], &["--ram needs --size"]),
        (&["--ram", "--size", "1G", "/a", "/b"], &["no SOURCE"]),
        (&["--ram", "--size", "1G"], &["PATH"]),
        (&["--size", "1G", "/a", "/b"], &["--ram"]),
        (&["--cache", "much", "/a", "/b"], &["much", "512M"]),
        (&["--cache", "1001%", "/a", "/b"], &["1001%", "1000%"]),
        (&["--dirty-after", "5", "/a", "/b"], &["--write-back"]),
        (&["--dirty-limit", "1M", "/a", "/b"], &["--write-back"]),
        (
            &["--write-back", "--write-through", "/a", "/b"],
            &["cannot be used with"],
        ),
        (
            &["--ram", "--size", "1G", "--strict", "/a"],
            &["cannot be used with"],
        ),
        (&["-o", "frob", "/a", "/b"], &["\"frob\"", "cache="]),
        (&["-o", "cache=0", "/a", "/b"], &["cache", "zero"]),
        (&["-o", "remount", "/a", "/b"], &["unmount it"]),
        (&["--json", "/a", "/b"], &["cannot be used with"]),
    ] {
        compcache_fails(&bed, &[&["mount"], args].concat(), 2, words);
    }
    compcache_fails(&bed, &["umount"], 2, &["MOUNTPOINT", "--all"]);
    compcache_fails(
        &bed,
        &["umount", "--all", "/a"],
        2,
        &["cannot be used with"],
    );
}

#[test]
fn directories_that_cannot_be_mounted() {
    let bed = Bed::without_root();
    let path = |name: &str| bed.directory().join(name).display().to_string();
    for name in ["a/b", "c"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    fs::write(path("file"), "").unwrap();
    for (source, mountpoint, word) in [
        ("none", "c", "SOURCE"),
        ("a", "none", "MOUNTPOINT"),
        ("file", "c", "is not a directory"),
        ("a", "file", "is not a directory"),
        ("a", "a/b", "one in the other"),
        ("a/b", "a", "one in the other"),
    ] {
        let args = ["mount", &path(source), &path(mountpoint)];
        compcache_fails(&bed, &args, 1, &[word]);
    }
    compcache_fails(
        &bed,
        &["status", &path("none")],
        1,
        &["no such device or mount"],
    );
    for (args, words) in [
        (&["status", ""][..], "\"\": no such device or mount"),
        (&["swap", "off", ""], "\"\": no such device"),
    ] {
        compcache_fails(&bed, args, 1, &[words]);
    }
    compcache_fails(&bed, &["mount", "", "/tmp"], 2, &["a value is required"]);
    assert!(
        !bed.runtime_dir().join("control.sock").exists(),
        "no daemon was started"
    );
}

#[test]
fn the_helper_of_mount_has_the_exit_statuses_of_mount() {
    let bed = Bed::without_root();
    let path = |name: &str| bed.directory().join(name).display().to_string();
    let helper = path("mount.compcache");
    std::os::unix::fs::symlink(binary("compcache"), &helper).unwrap();
    for name in ["a", "b"] {
        fs::create_dir(path(name)).unwrap();
    }
    let (a, b, none) = (path("a"), path("b"), path("none"));
    for (args, status, word) in [
        (&[][..], 1, "SOURCE"),
        (&[&a, &b, "-o", "rw,frob"], 1, "\"frob\""),
        (&[&a, &b, "-t", "ext4"], 1, "ext4"),
        (&[&a, &b, "-N", "/proc/1/ns/mnt"], 1, "namespace"),
        (&["none", &b, "-o", "rw"], 1, "size=SIZE"),
        (&[&a, &b, "-o", "size=1G"], 1, "cache="),
        (&[&none, &b, "-o", "rw"], 32, "no such directory"),
        (&[&a, &none, "-o", "rw"], 32, "no such directory"),
        (
            &[&a, &b, "-f", "-o", "defaults,noauto,_netdev,x-a=b"],
            0,
            "",
        ),
        (&[&a, &b, "-sf", "-o", "frob"], 0, "frob is unknown"),
        (&["--help"], 0, ""),
    ] {
        let mut command = Command::new(&helper);
        bed.set_environment(&mut command);
        let out = Outcome::of(command.args(args));
        assert_eq!(out.code(), status, "{out}");
        assert!(out.stderr.contains(word), "no {word:?}: {out}");
    }
}

#[test]
fn status_in_json_without_a_daemon() {
    let bed = Bed::without_root();
    let out = bed.compcache(&["status", "--json"]);
    assert_eq!(out.code(), 1, "{out}");
    out.refused(&["no daemon is running"]);
    let mut document: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    let driver = document.as_object_mut().unwrap().remove("driver").unwrap();
    assert_eq!(
        (&driver["choice"], &driver["used"]),
        (&"auto".into(), &"user".into())
    );
    // Other directories than the driver's have devices in userspace.
    let why = driver["kernel"].as_str().unwrap();
    assert!(why.contains("was given"), "{why}");
    let expected = serde_json::json!({
        "daemon": null, "memory_limit": null, "devices": [], "mounts": [],
    });
    assert_eq!(document, expected);
}

#[test]
fn a_kernel_driver_that_is_not_there_is_not_replaced() {
    let bed = Bed::without_root();
    for command in ["on", "off"] {
        let words = ["kernel driver: not used", "--driver user"];
        compcache_fails(&bed, &["--driver", "kernel", "swap", command], 1, &words);
    }
    compcache_fails(
        &bed,
        &["--driver", "zram", "status"],
        2,
        &["\"zram\"", "auto, kernel or user"],
    );
    let mut status = bed.command("compcache");
    let out = Outcome::of(status.arg("status").env("COMPCACHE_DRIVER", "kernel"));
    assert_eq!((out.code(), out.stdout.as_str()), (1, ""), "{out}");
    out.refused(&["driver: none (kernel); kernel driver: not used"]);
}

#[test]
fn devices_that_are_none() {
    let bed = Bed::without_root();
    for device in [
        "/dev/sda",
        "/dev/ramzswap",
        "/dev/ramzswap-1",
        "ramzswap0x",
        "/tmp/ramzswap0",
    ] {
        rzscontrol_fails(&bed, &[device, "--stats"], 1, &[device, "no such device"]);
    }
}

#[test]
fn sizes() {
    let bed = Bed::without_root();
    for (value, word) in [
        ("0", "zero"),
        ("-4", "negative"),
        ("-5%", "not a number of kilobytes"),
        ("+4096", "not a number of kilobytes"),
        ("4M", "not a number of kilobytes"),
        ("1.5", "not a number of kilobytes"),
        ("17179869185", "the limit is 17179869184 kB"),
        ("99999999999999999999", "the limit is 17179869184 kB"),
    ] {
        for option in ["--disksize_kb", "--memlimit_kb"] {
            let argument = format!("{option}={value}");
            rzscontrol_fails(&bed, &["ramzswap0", &argument], 2, &[value, word, option]);
            compcache_fails(&bed, &["daemon", &argument], 2, &[value, word, option]);
        }
        rzscontrol_fails(&bed, &["ramzswap0", "-d", value], 2, &[value, word]);
    }
    for (value, word) in [
        ("0", "zero"),
        ("-1G", "negative"),
        ("-5%", "negative"),
        ("+64M", "not a size"),
        ("many", "not a size"),
        ("17T", "the limit is 16T"),
        ("1001%", "the limit is 1000%"),
    ] {
        for args in [
            &["swap", "on", "--size"][..],
            &["demo", "--limit"],
            &["run", "--memory"],
        ] {
            let option = *args.last().unwrap();
            let argument = format!("{option}={value}");
            let args = [&args[..args.len() - 1], &[&argument, "true"]].concat();
            // `true` is one word too many for two of them; the size is looked at first.
            let args = if args[0] == "run" {
                &args[..]
            } else {
                &args[..args.len() - 1]
            };
            compcache_fails(&bed, args, 2, &[value, word, option]);
        }
    }
}

/// No words of a library's: each says what to give.
#[test]
fn whole_numbers() {
    let bed = Bed::without_root();
    let seconds = "give a whole number of seconds, from 1 to 86400";
    for value in ["x", "", "1.5", "-5%", "+5", "99999999999999999999"] {
        for (args, option, wanted) in [
            (
                &["swap", "on"][..],
                "--priority",
                "give a whole number from 0 to 32767",
            ),
            (&["swap", "set", "ramzswap0"], "--recompress-after", seconds),
            (
                &["swap", "set", "ramzswap0"],
                "--recompress-cpu",
                "give a whole number of per cent, from 1 to 100",
            ),
            (
                &["mount", "--write-back", "/a", "/b"],
                "--dirty-after",
                seconds,
            ),
            (
                &["mount", "/a", "/b"],
                "--revalidate",
                "give a whole number of seconds, from 0 to 86400",
            ),
            (
                &["daemon"],
                "--num-devices",
                "give a whole number from 1 to 64",
            ),
        ] {
            let argument = format!("{option}={value}");
            let args = [args, &[&argument]].concat();
            compcache_fails(&bed, &args, 2, &[value, option, wanted]);
        }
    }
    // Behind the option as well.
    let behind = ["swap", "set", "ramzswap0", "--recompress-after", "-5%"];
    compcache_fails(&bed, &behind, 2, &["-5%", seconds]);
    for value in ["-1", "32768"] {
        let argument = format!("--priority={value}");
        compcache_fails(
            &bed,
            &["swap", "on", &argument],
            2,
            &[value, "give a whole number from 0 to 32767"],
        );
    }
}

#[test]
fn usage() {
    let bed = Bed::without_root();
    rzscontrol_fails(&bed, &[], 2, &["DEVICE"]);
    rzscontrol_fails(&bed, &["ramzswap0"], 2, &["--init", "--stats"]);
    rzscontrol_fails(
        &bed,
        &["ramzswap0", "--init", "--reset"],
        2,
        &["cannot be used with"],
    );
    rzscontrol_fails(
        &bed,
        &["ramzswap0", "--reset", "--disksize_kb=4096"],
        2,
        &["cannot be used with"],
    );
    rzscontrol_fails(&bed, &["ramzswap0", "--no-such"], 2, &["--no-such"]);
    compcache_fails(&bed, &["run", "--memory", "64M"], 2, &["COMMAND"]);
    compcache_fails(&bed, &["swap"], 2, &["on", "off"]);
    compcache_fails(&bed, &["frobnicate"], 2, &["frobnicate"]);
}

#[test]
fn demo_sizes() {
    let bed = Bed::without_root();
    if !rustix::process::geteuid().is_root() {
        compcache_fails(&bed, &["demo"], 1, &["needs root"]);
        return;
    }
    compcache_fails(&bed, &["demo", "--size", "1M"], 1, &["1M", "at least 32M"]);
    compcache_fails(
        &bed,
        &["demo", "--size", "64M", "--limit", "64M"],
        1,
        &["64M", "--limit from 8M"],
    );
    compcache_fails(&bed, &["demo", "--size", "1000%"], 1, &["does not fit"]);
}

#[test]
fn help_goes_to_standard_output() {
    let bed = Bed::without_root();
    for option in ["-h", "--help"] {
        let out = bed.rzscontrol(&[option]);
        assert_eq!(out.stderr, "", "{out}");
        let text = out.success();
        for option in [
            "-b, --backing_swap",
            "-m, --memlimit_kb",
            "-d, --disksize_kb",
            "-i, --init",
            "-r, --reset",
            "-s, --stats",
            "-v, --verbose",
            "-h, --help",
            "Examples:",
        ] {
            assert!(text.contains(option), "{option} not in {text}");
        }
    }
    let text = bed.compcache(&["run", "--help"]).success();
    assert!(
        text.contains("compcache run --memory 512M -- make -j8"),
        "{text}"
    );
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let bed = Bed::without_root();
    let mut command = bed.command("compcache");
    let mut child = command
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
