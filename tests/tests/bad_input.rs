//! Bad input gets an error that names the value and the remedy, a status other than 0, and
//! changes nothing.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use compcache_tests::{Bed, LoopFile, MIB, NOBODY, Outcome, PAGE, Running, swap_file};

/// One bad input: the program, its arguments, and what its message must say.
type Case<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>);

/// Runs each case and compares `compcache status --json` before and after: all but the time, and
/// what other programs of this machine may change (they swap to our device while it is there).
fn assert_refused(bed: &Bed, cases: &[Case<'_>]) {
    for (program, arguments, words) in cases {
        let before = state(bed);
        let out = Outcome::of(bed.command(program).args(arguments));
        out.refused(words);
        assert_eq!(state(bed), before, "{out}");
    }
}

fn state(bed: &Bed) -> serde_json::Value {
    let text = bed.compcache(&["status", "--json"]).success();
    let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    document["daemon"]["uptime_seconds"] = 0.into();
    for device in document["devices"].as_array_mut().expect("devices") {
        device["stats"].take();
        if let Some(swap) = device["swap"].as_object_mut() {
            swap.remove("used_bytes");
        }
    }
    document
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn devices_and_sizes() {
    let Some(bed) = Bed::with_devices(4) else {
        return;
    };
    bed.rzscontrol(&["ramzswap1", "--disksize_kb=16384", "--init"])
        .success();
    bed.compcache(&["swap", "on", "ramzswap2", "--size", "16M"])
        .success();
    let own = bed.node(0);
    let own = text(&own);
    let mut cases: Vec<Case<'_>> = vec![
        (
            "rzscontrol",
            vec!["/dev/sda", "--init"],
            vec!["/dev/sda", "no such device"],
        ),
        (
            "rzscontrol",
            vec!["/dev/ramzswap7", "--init"],
            vec!["7", "ramzswap0", "ramzswap3"],
        ),
        (
            "rzscontrol",
            vec!["ramzswap4", "--stats"],
            vec!["4", "ramzswap3"],
        ),
        ("rzscontrol", vec!["ramzswap0"], vec!["--init", "--stats"]),
        (
            "rzscontrol",
            vec!["ramzswap0", "--stats"],
            vec!["not initialised", "--init"],
        ),
        (
            "rzscontrol",
            vec!["ramzswap0", "--nonsense"],
            vec!["--nonsense"],
        ),
        (
            "rzscontrol",
            vec!["ramzswap1", "--init"],
            vec!["already initialised", "reset"],
        ),
        (
            "rzscontrol",
            vec!["ramzswap1", "-d", "32768"],
            vec!["already initialised", "reset"],
        ),
        (
            "rzscontrol",
            vec!["ramzswap2", "--reset"],
            vec!["swapped on", "swapoff"],
        ),
        (
            "rzscontrol",
            vec!["ramzswap2", "-d", "32768"],
            vec!["ramzswap2", "reset"],
        ),
        ("rzscontrol", vec![own, "-d", "0"], vec!["zero"]),
        ("rzscontrol", vec![own, "-d", "-5"], vec!["-5", "negative"]),
        (
            "rzscontrol",
            vec![own, "-d", "1.5"],
            vec!["1.5", "not a number"],
        ),
        (
            "rzscontrol",
            vec![own, "-d", "17179869185"],
            vec!["17179869185", "17179869184"],
        ),
        (
            "rzscontrol",
            vec![own, "-d", "8"],
            vec!["8192 bytes", "40 kB"],
        ),
        (
            "rzscontrol",
            vec![own, "-m", "63", "-i"],
            vec!["64512 bytes", "64 kB"],
        ),
        ("rzscontrol", vec![own, "-m", "0"], vec!["zero"]),
        (
            "compcache",
            vec!["swap", "on", "--codec", "lzma"],
            vec!["lzma", "lz4", "lzo", "wkdm", "zstd"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--codec", "zstd:99"],
            vec!["zstd:99"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--recompress", "lzma"],
            vec!["lzma", "zstd", "'off'"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--recompress-after", "0"],
            vec!["'0'", "1 to 86400"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--recompress-cpu", "101"],
            vec!["'101'", "1 to 100"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--backing-encryption", "aes"],
            vec!["\"aes\"", "auto", "on or off"],
        ),
        ("compcache", vec!["swap", "on", "--size", "0"], vec!["zero"]),
        (
            "compcache",
            vec!["swap", "on", "--size", "-1G"],
            vec!["-1G", "negative"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--size", "lots"],
            vec!["lots", "not a size"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--size", "17T"],
            vec!["17T", "16T"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--size", "10K"],
            vec!["disksize of 10240 bytes", "40 kB"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--memlimit", "60K"],
            vec!["61440 bytes", "64 kB"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--priority", "-1"],
            vec!["-1", "32767"],
        ),
        (
            "compcache",
            vec!["swap", "on", "--priority", "40000"],
            vec!["40000", "32767"],
        ),
        (
            "compcache",
            vec!["swap", "on", "ramzswap9"],
            vec!["9", "ramzswap3"],
        ),
        (
            "compcache",
            vec!["swap", "on", "ramzswap2"],
            vec!["already swapped on"],
        ),
        (
            "compcache",
            vec!["swap", "on", "ramzswap1", "--size", "32M"],
            vec!["already initialised"],
        ),
        (
            "compcache",
            vec!["swap", "off", "ramzswap9"],
            vec!["9", "ramzswap3"],
        ),
        (
            "compcache",
            vec!["status", "ramzswap9"],
            vec!["9", "ramzswap3"],
        ),
        (
            "compcache",
            vec!["status", "/dev/null"],
            vec!["/dev/null", "no such device"],
        ),
        (
            "compcache",
            vec!["run", "--memory", "0", "--", "true"],
            vec!["zero"],
        ),
        (
            "compcache",
            vec!["run", "--memory", "much", "--", "true"],
            vec!["much", "not a size"],
        ),
        ("compcache", vec!["run", "--", "true"], vec!["--memory"]),
        ("compcache", vec!["run", "--memory", "64M"], vec!["COMMAND"]),
        (
            "compcache",
            vec!["run", "-m", "64M", "-c", "lzma", "--", "true"],
            vec!["lzma", "wkdm"],
        ),
        ("compcache", vec!["demo", "--size", "1M"], vec!["1M", "32M"]),
        (
            "compcache",
            vec!["demo", "--size", "64M", "--limit", "64M"],
            vec!["64M", "--limit"],
        ),
        (
            "compcache",
            vec!["demo", "--size", "15T"],
            vec!["15T", "smaller --size"],
        ),
        (
            "compcache",
            vec!["demo", "--size", "64M", "--codec", "lzma"],
            vec!["lzma", "wkdm"],
        ),
        (
            "compcache",
            vec!["completions", "cobol"],
            vec!["cobol", "bash"],
        ),
    ];
    for nothing in ["", "."] {
        cases.push((
            "rzscontrol",
            vec![nothing, "--init"],
            vec!["no such device"],
        ));
    }
    assert_refused(&bed, &cases);
    bed.compcache(&["swap", "off"]).success();
}

#[test]
fn backing_swaps() {
    let Some(bed) = Bed::with_devices(2) else {
        return;
    };
    let place = bed.directory();
    let file = |name: &str| -> PathBuf {
        let path = place.join(name);
        swap_file(&path, MIB);
        path
    };
    let patched = |name: &str, at: u64, bytes: &[u8]| {
        let path = file(name);
        let open = OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("the file");
        open.write_all_at(bytes, at).expect("a patch");
        path
    };
    // Where mkswap(8) writes: version, last page and number of bad pages from byte 1024 on.
    let version = patched("version", 1024, &7u32.to_le_bytes());
    let last_page = patched("last_page", 1028, &9999u32.to_le_bytes());
    let bad_pages = patched("bad_pages", 1032, &1u32.to_le_bytes());
    let signature = patched("signature", PAGE - 10, b"SWAP-SPACE");
    let suspended = patched("suspended", PAGE - 10, b"S1SUSPEND\0");
    let missing = place.join("missing");
    let directory = place.join("directory");
    fs::create_dir(&directory).expect("a directory");
    let empty = place.join("empty");
    File::create(&empty).expect("a file");
    let owners_alone = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&empty, owners_alone).expect("its mode");
    let readable = file("readable");
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o644)).expect("its mode");
    let foreign = file("foreign");
    std::os::unix::fs::chown(&foreign, Some(NOBODY), None).expect("its owner");
    let link = place.join("link");
    std::os::unix::fs::symlink(&foreign, &link).expect("a link");
    let truncated = file("truncated");
    let open = OpenOptions::new().write(true).open(&truncated);
    open.and_then(|file| file.set_len(MIB / 2)).expect("half");
    let holes = file("holes");
    let punched = Command::new("fallocate")
        .args(["--punch-hole", "--offset", "524288", "--length", "65536"])
        .arg(&holes)
        .status();
    assert!(punched.is_ok_and(|status| status.success()));
    let in_use = file("in_use");
    bed.rzscontrol(&["ramzswap1", "-b", text(&in_use), "-i"])
        .success();
    let partition = LoopFile::swap(&place.join("partition"), MIB);
    Outcome::of(Command::new("swapon").arg(partition.device())).success();
    let swapon = partition.device().to_owned();
    let fit = file("fit");

    let cases: Vec<(&Path, &str)> = vec![
        (&missing, "No such file"),
        (&directory, "neither a file nor a block device"),
        (Path::new("/dev/null"), "neither a file nor a block device"),
        (&empty, "it has 0 bytes, and a swap area has at least 40960"),
        (&readable, "chmod 600"),
        (&foreign, "chown root"),
        (&link, "symbolic link"),
        (&signature, "mkswap"),
        (&suspended, "mkswap"),
        (&version, "7"),
        (&last_page, "9999"),
        (&bad_pages, "bad page"),
        (&truncated, "128"),
        (&holes, "hole"),
        (&in_use, "in use"),
        (&swapon, "swapon"),
    ];
    for (path, word) in cases {
        let path = text(path);
        assert_refused(
            &bed,
            &[
                (
                    "rzscontrol",
                    vec!["ramzswap0", "-b", path],
                    vec![path, word],
                ),
                (
                    "rzscontrol",
                    vec!["ramzswap0", "-b", path, "-i"],
                    vec![path, word],
                ),
                (
                    "compcache",
                    vec!["swap", "on", "-b", path],
                    vec![path, word],
                ),
            ],
        );
    }
    let over = vec!["ramzswap0", "-b", text(&fit), "-m", "1028", "-i"];
    assert_refused(&bed, &[("rzscontrol", over, vec!["1028 kB", "1024 kB"])]);
    Outcome::of(Command::new("swapoff").arg(&swapon)).success();
    // What was refused only for its use, or for who may read it, is taken once that has ended; by a
    // link too, if it leads to a device.
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::remove_file(&link).expect("the link");
    std::os::unix::fs::symlink(&swapon, &link).expect("a link");
    for path in [&swapon, &fit, &readable, &link] {
        bed.rzscontrol(&["ramzswap0", "-b", text(path), "-i"])
            .success();
        bed.rzscontrol(&["ramzswap0", "-r"]).success();
    }
    // As swapon does, it only warns of a device that everybody may open.
    let mode = fs::metadata(&swapon).expect("the device").permissions();
    fs::set_permissions(&swapon, fs::Permissions::from_mode(0o666)).expect("its mode");
    let warned = bed.rzscontrol(&["ramzswap0", "-b", text(&swapon), "-i"]);
    fs::set_permissions(&swapon, mode).expect("its mode");
    assert!(warned.to_string().contains("chmod 660"), "{warned}");
    warned.success();
    bed.rzscontrol(&["ramzswap0", "-r"]).success();
}

#[test]
fn daemon_arguments_and_configuration() {
    let Some(bed) = Bed::new() else { return };
    let not_a_file = bed.directory().join("dev");
    let refused = |code: i32, arguments: &[&str], words: &[&str]| {
        let out = Outcome::of(bed.command("compcached").args(arguments));
        assert_eq!(out.code(), code, "{out}");
        out.refused(words);
        assert!(!bed.runtime_dir().join("control.sock").exists());
        assert_eq!(bed.devices_left(), Vec::<PathBuf>::new());
    };
    for (arguments, words) in [
        (&["--num-devices", "0"][..], &["0", "64"][..]),
        (&["--num-devices", "65"], &["65", "64"]),
        (&["--num-devices", "many"], &["many"]),
        (&["--disksize_kb", "-1"], &["-1", "negative"]),
        (&["--disksize_kb", "many"], &["many"]),
        (&["--disksize_kb", "0"], &["\"0\" kB is zero"]),
        (&["--disksize_kb", "17179869185"], &["17179869184 kB"]),
        (
            &["--disksize_kb", "99999999999999999999999"],
            &["99999999999999999999999", "17179869184 kB"],
        ),
        (&["--no-such-option"], &["--no-such-option"]),
        (&["argument"], &["argument"]),
    ] {
        refused(2, arguments, words);
    }
    for (arguments, words) in [
        (
            ["--memlimit_kb", "63"],
            &["memlimit of 64512 bytes", "64 kB"][..],
        ),
        (
            ["--backing_swap", "/no/such/file"],
            &["/no/such/file", "No such file"],
        ),
        (
            ["--backing_swap", text(&not_a_file)],
            &["ramzswap0: backing swap"],
        ),
        (["--codec", "lzma"], &["lzma", "lz4", "wkdm"]),
        (
            ["--config", "/no/such/file"],
            &["/no/such/file: cannot be read", "No such file"],
        ),
        (
            ["--config", text(&not_a_file)],
            &[text(&not_a_file), "directory"],
        ),
    ] {
        refused(1, &arguments, words);
    }
    for (content, words) in [
        ("colour = 1\n", ["line 1", "colour"]),
        ("num_devices = \"two\"\n", ["line 1", "num_devices"]),
        ("\nnum_devices = 65\n", ["line 2", "65"]),
        (
            "[[device]]\nnumber = 0\ncodec = \"lzma\"\n",
            ["line 3", "lzma"],
        ),
        ("[[device]]\nnumber = 0\nsize = 3\n", ["line 3", "size"]),
        ("[[device]]\nnumber = 16\n", ["number 16", "num_devices"]),
        ("num_devices = \n", ["line 1", "num_devices"]),
        ("num_devices = 4\nnonsense = 1\n", ["line 2", "`nonsense`"]),
    ] {
        let config = bed.config(content);
        refused(
            1,
            &["--config", &config],
            &[&[&*config], &words[..]].concat(),
        );
    }
    let config = bed.config("group = \"no-such-group\"");
    refused(1, &["--config", &config], &["no-such-group", "groupadd"]);
    let config = bed.config(b"log = \"\xff\"\n");
    refused(1, &["--config", &config], &[&config]);
    bed.assert_nothing_left();
}

#[test]
fn second_daemon_and_stale_socket() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let first = bed.status().0.pid.to_string();
    let out = Outcome::of(&mut bed.command("compcached"));
    out.refused(&["already running", &first]);
    assert_eq!(out.code(), 75, "{out}");
    assert_eq!(bed.status().0.pid.to_string(), first);

    let daemon = bed.take_daemon();
    daemon.signal(libc::SIGKILL);
    daemon.finish();
    assert!(bed.runtime_dir().join("control.sock").exists());
    bed.compcache(&["status"])
        .refused(&["no daemon is running"]);
    bed.start(&["--num-devices", "3"]);
    assert_eq!(bed.status().1.len(), 3);
}

/// Starts the daemon where `script` has changed what it sees of the machine, and gives what
/// `rzscontrol --init` says.
fn init_in_namespace(bed: &Bed, script: &str) -> Outcome {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-e", "-c"])
        .arg(format!("{script}\nexec \"$0\" --num-devices 1"))
        .arg(compcache_tests::binary("compcached"));
    bed.set_environment(&mut command);
    let daemon = Running::start(command.stdin(std::process::Stdio::null()));
    let before = state(bed);
    let out = bed.rzscontrol(&["ramzswap0", "--disksize_kb=16384", "--init"]);
    assert_eq!(state(bed), before, "{out}");
    daemon.signal(libc::SIGTERM);
    daemon.finish().success();
    out
}

/// An empty /dev but for the nodes that are named.
fn small_dev(nodes: &str) -> String {
    format!(
        "mkdir \"$COMPCACHE_DEV_DIR/../old\"
         mount --bind /dev \"$COMPCACHE_DEV_DIR/../old\"
         mount -t tmpfs none /dev
         for node in null urandom {nodes}; do
             touch /dev/$node
             mount --bind \"$COMPCACHE_DEV_DIR/../old/$node\" /dev/$node
         done"
    )
}

#[test]
fn no_fuse() {
    let Some(bed) = Bed::new() else { return };
    let out = init_in_namespace(&bed, &small_dev("loop-control"));
    out.refused(&["/dev/fuse", "fuse"]);
    fs::remove_dir(bed.directory().join("old")).expect("the mount point");
    bed.assert_nothing_left();
}

#[test]
fn no_loop_device() {
    let Some(bed) = Bed::new() else { return };
    let out = init_in_namespace(&bed, &small_dev("fuse"));
    out.refused(&["loop"]);
    fs::remove_dir(bed.directory().join("old")).expect("the mount point");
    bed.assert_nothing_left();
}

/// Runs `compcache run` where `script` has changed what it sees of the cgroups.
fn run_in_namespace(bed: &Bed, script: &str) -> Outcome {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-e", "-c"])
        .arg(format!(
            "groups=$(awk '$9 ~ /^cgroup2?$/ || $8 ~ /^cgroup2?$/ {{ print $5 }}' /proc/self/mountinfo)
             for group in $groups; do {script}; done
             exec \"$0\" run --memory 64M -- echo ran"
        ))
        .arg(compcache_tests::binary("compcache"));
    bed.set_environment(&mut command);
    Outcome::of(&mut command)
}

#[test]
fn run_without_cgroup_rights() {
    let Some(bed) = Bed::new() else { return };
    for (script, words) in [
        ("mount -o remount,bind,ro $group", ["cgroup", "root"]),
        ("umount --lazy $group", ["cgroup", "mount"]),
    ] {
        let out = run_in_namespace(&bed, script);
        out.refused(&words);
        assert_eq!(out.stdout, "", "{out}");
        assert_eq!(out.code(), 125, "{out}");
    }
    bed.assert_nothing_left();
}

/// What only the daemon can refuse has the status 1; wrong arguments have 2.
#[test]
fn status_of_what_the_daemon_refuses() {
    let Some(bed) = Bed::with_devices(4) else {
        return;
    };
    let refused = |arguments: &[&str], words: &[&str]| {
        let out = bed.rzscontrol(arguments);
        assert_eq!(out.code(), 1, "{out}");
        out.refused(words);
    };
    refused(&["ramzswap7", "--init"], &["ramzswap7"]);
    refused(&["ramzswap0", "--stats"], &["not initialised"]);
    refused(
        &["ramzswap0", "--memlimit_kb=63", "--init"],
        &["64512 bytes", "64 kB"],
    );
    refused(
        &["ramzswap0", "--backing_swap=/no/such", "--init"],
        &["/no/such"],
    );
    refused(&["ramzswap0", "--backing_swap=/etc", "--init"], &["/etc"]);
    let init = ["ramzswap0", "--disksize_kb=8192", "--init", "--verbose"];
    bed.rzscontrol(&init).success();
    refused(&["ramzswap0", "--init"], &["already initialised"]);
    refused(
        &["ramzswap0", "--disksize_kb=4096"],
        &["already initialised"],
    );
    let out = bed.compcache(&["status", "ramzswap9"]);
    assert_eq!(out.code(), 1, "{out}");
    out.refused(&["ramzswap9"]);
}
