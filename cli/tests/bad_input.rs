//! Bad input gets a clear error and the right exit status. None of this needs root.

mod common;

use common::{Places, run};

/// Runs `rzscontrol`, which must fail with `status` and say each of `words`.
fn rzscontrol_fails(args: &[&str], status: i32, words: &[&str]) {
    let (code, out, err) = run(&mut Places::new().rzscontrol(args));
    assert_eq!(code, status, "{args:?}: {err}");
    assert_eq!(out, "", "{args:?}");
    for word in words {
        assert!(err.contains(word), "{args:?}: {word:?} not in {err:?}");
    }
}

fn compcache_fails(args: &[&str], status: i32, words: &[&str]) {
    let (code, out, err) = run(&mut Places::new().compcache(args));
    assert_eq!(code, status, "{args:?}: {err}");
    assert_eq!(out, "", "{args:?}");
    for word in words {
        assert!(err.contains(word), "{args:?}: {word:?} not in {err:?}");
    }
}

#[test]
fn no_daemon() {
    let words = [
        "no daemon is running at",
        "control.sock",
        "compcached --num-devices",
    ];
    rzscontrol_fails(&["/dev/ramzswap0", "--init"], 1, &words);
    compcache_fails(&["status"], 1, &words);
    compcache_fails(&["swap", "off"], 1, &words);
    compcache_fails(&["sync"], 1, &words);
    compcache_fails(&["umount", "--all"], 1, &words);
    compcache_fails(&["umount", "/tmp"], 1, &["/tmp is not a compcache mount"]);
}

#[test]
fn without_a_daemon_nothing_is_mounted() {
    let places = Places::new();
    let (code, out, err) = run(&mut places.compcache(&["mount"]));
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "nothing is mounted\n", "")
    );
    let (code, out, _) = run(&mut places.compcache(&["mount", "--json"]));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document), (0, serde_json::json!({"mounts": []})));
}

#[test]
fn mounts_that_are_written_wrong() {
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
        compcache_fails(&[&["mount"], args].concat(), 2, words);
    }
    compcache_fails(&["umount"], 2, &["MOUNTPOINT", "--all"]);
    compcache_fails(&["umount", "--all", "/a"], 2, &["cannot be used with"]);
}

#[test]
fn directories_that_cannot_be_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    for name in ["a/b", "c"] {
        std::fs::create_dir_all(path(name)).unwrap();
    }
    std::fs::write(path("file"), "").unwrap();
    for (source, mountpoint, word) in [
        ("none", "c", "SOURCE"),
        ("a", "none", "MOUNTPOINT"),
        ("file", "c", "is not a directory"),
        ("a", "file", "is not a directory"),
        ("a", "a/b", "one in the other"),
        ("a/b", "a", "one in the other"),
    ] {
        let args = ["mount", &path(source), &path(mountpoint)];
        compcache_fails(&args, 1, &[word]);
    }
    let places = Places::new();
    let (code, _, err) = run(&mut places.compcache(&["status", &path("none")]));
    assert_eq!(code, 1);
    assert!(err.contains("no such device or mount"), "{err}");
    assert!(
        !places.runtime_dir().join("control.sock").exists(),
        "no daemon was started"
    );
}

#[test]
fn the_helper_of_mount_has_the_exit_statuses_of_mount() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let helper = path("mount.compcache");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_compcache"), &helper).unwrap();
    for name in ["a", "b"] {
        std::fs::create_dir(path(name)).unwrap();
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
        let (code, _, err) = run(&mut Places::new().program(&helper, args));
        assert_eq!(code, status, "{args:?}: {err}");
        assert!(err.contains(word), "{args:?}: {word:?} not in {err:?}");
    }
}

#[test]
fn status_in_json_without_a_daemon() {
    let (code, out, err) = run(&mut Places::new().compcache(&["status", "--json"]));
    let mut document: serde_json::Value = serde_json::from_str(&out).unwrap();
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
    assert_eq!(code, 1);
    assert!(err.contains("no daemon is running"), "{err}");
}

#[test]
fn a_kernel_driver_that_is_not_there_is_not_replaced() {
    for command in ["on", "off"] {
        let words = ["kernel driver: not used", "--driver user"];
        compcache_fails(&["--driver", "kernel", "swap", command], 1, &words);
    }
    compcache_fails(
        &["--driver", "zram", "status"],
        2,
        &["\"zram\"", "auto, kernel or user"],
    );
    let places = Places::new();
    let (code, out, err) = run(places
        .compcache(&["status"])
        .env("COMPCACHE_DRIVER", "kernel"));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("driver: none (kernel); kernel driver: not used"),
        "{err}"
    );
}

#[test]
fn devices_that_are_none() {
    for device in [
        "/dev/sda",
        "/dev/ramzswap",
        "/dev/ramzswap-1",
        "ramzswap0x",
        "/tmp/ramzswap0",
    ] {
        rzscontrol_fails(&[device, "--stats"], 1, &[device, "no such device"]);
    }
}

#[test]
fn sizes() {
    for (value, word) in [
        ("0", "zero"),
        ("-4", "negative"),
        ("4M", "not a number of kilobytes"),
        ("1.5", "not a number of kilobytes"),
        ("17179869185", "the limit is 17179869184 kB"),
        ("99999999999999999999", "the limit is 17179869184 kB"),
    ] {
        for option in ["--disksize_kb", "--memlimit_kb"] {
            let argument = format!("{option}={value}");
            rzscontrol_fails(&["ramzswap0", &argument], 2, &[value, word, option]);
        }
        rzscontrol_fails(&["ramzswap0", "-d", value], 2, &[value, word]);
    }
    for (value, word) in [
        ("0", "zero"),
        ("-1G", "negative"),
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
            compcache_fails(args, 2, &[value, word, option]);
        }
    }
}

/// No words of a library's: each says what to give.
#[test]
fn whole_numbers() {
    let seconds = "give a whole number of seconds, from 1 to 86400";
    for value in ["x", "", "1.5", "99999999999999999999"] {
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
            (
                &["daemon"],
                "--disksize_kb",
                "give a whole number of kilobytes",
            ),
        ] {
            let argument = format!("{option}={value}");
            let args = [args, &[&argument]].concat();
            compcache_fails(&args, 2, &[value, option, wanted]);
        }
    }
    for value in ["-1", "32768"] {
        let argument = format!("--priority={value}");
        compcache_fails(
            &["swap", "on", &argument],
            2,
            &[value, "give a whole number from 0 to 32767"],
        );
    }
}

#[test]
fn usage() {
    rzscontrol_fails(&[], 2, &["DEVICE"]);
    rzscontrol_fails(&["ramzswap0"], 2, &["--init", "--stats"]);
    rzscontrol_fails(
        &["ramzswap0", "--init", "--reset"],
        2,
        &["cannot be used with"],
    );
    rzscontrol_fails(
        &["ramzswap0", "--reset", "--disksize_kb=4096"],
        2,
        &["cannot be used with"],
    );
    rzscontrol_fails(&["ramzswap0", "--no-such"], 2, &["--no-such"]);
    compcache_fails(&["run", "--memory", "64M"], 2, &["COMMAND"]);
    compcache_fails(&["swap"], 2, &["on", "off"]);
    compcache_fails(&["frobnicate"], 2, &["frobnicate"]);
}

#[test]
fn demo_sizes() {
    if !rustix::process::geteuid().is_root() {
        compcache_fails(&["demo"], 1, &["needs root"]);
        return;
    }
    compcache_fails(&["demo", "--size", "1M"], 1, &["1M", "at least 32M"]);
    compcache_fails(
        &["demo", "--size", "64M", "--limit", "64M"],
        1,
        &["64M", "--limit from 8M"],
    );
    compcache_fails(&["demo", "--size", "1000%"], 1, &["does not fit"]);
}

#[test]
fn help_goes_to_standard_output() {
    let places = Places::new();
    for (code, out, err) in [
        run(&mut places.rzscontrol(&["-h"])),
        run(&mut places.rzscontrol(&["--help"])),
    ] {
        assert_eq!((code, err.as_str()), (0, ""));
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
            assert!(out.contains(option), "{option} not in {out}");
        }
    }
    let (code, out, _) = run(&mut places.compcache(&["run", "--help"]));
    assert_eq!(code, 0);
    assert!(
        out.contains("compcache run --memory 512M -- make -j8"),
        "{out}"
    );
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let mut command = Places::new().compcache(&["completions", "bash"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
