//! Configuration files: what they set, and what is wrong with bad ones.

use std::fs;
use std::path::{Path, PathBuf};

use compcached::DaemonArgs;
use compcached::config::{Config, ConfigError};
use compcached::settings::Settings;
use compcached::size::Size;
use compcached::types::{BackingEncryption, Channel, CpuLatencySetting, DeadSlots, DriverChoice};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/compcache.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    config.add(Path::new("test.toml"), text)?;
    Ok(config)
}

/// A file `compcache.toml` with drop-ins in a directory that lives as long as the first value.
fn files(main: &str, drop_ins: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("compcache.toml");
    fs::write(&path, main).unwrap();
    let drop_in_dir = dir.path().join("compcache.toml.d");
    fs::create_dir(&drop_in_dir).unwrap();
    for (name, text) in drop_ins {
        fs::write(drop_in_dir.join(name), text).unwrap();
    }
    (dir, path)
}

fn args(config: &Path) -> DaemonArgs {
    DaemonArgs {
        config: Some(config.to_owned()),
        ..DaemonArgs::default()
    }
}

#[test]
fn the_example_parses_and_shows_the_defaults() {
    let text = fs::read_to_string(EXAMPLE).unwrap();
    assert_eq!(
        parse(&text).unwrap(),
        Config::default(),
        "all of it is commented out"
    );

    let is_value = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    };
    let values: Vec<&str> = text
        .lines()
        .filter(is_value)
        .map(|line| &line[1..])
        .collect();
    // The built-in default, which depends on who starts the daemon.
    let expected = Config {
        num_devices: Some(16),
        ..Config::default()
    };
    assert_eq!(parse(&values.join("\n")).unwrap(), expected);

    for key in [
        "num_devices",
        "group",
        "log",
        "workers",
        "driver",
        "transport",
        "cpu_latency",
        "dead_slots",
        "memory_limit_kb",
        "lock_memory",
        "io_flusher",
        "oom_score_adj",
    ] {
        assert!(
            values.iter().any(|v| v.starts_with(&format!("{key} = "))),
            "{key} not shown"
        );
    }
}

#[test]
fn recompression_is_set_key_by_key() {
    let mut config = parse(
        "[[device]]\nnumber = 0\nrecompress = \"off\"\nrecompress_after = 60\nrecompress_cpu = 5",
    )
    .unwrap();
    let later = "[[device]]\nnumber = 0\nrecompress = \"zstd:3\"";
    config.add("later.toml".as_ref(), later).unwrap();
    let params = &config.devices[&0].params;
    assert_eq!(params.recompress.as_deref(), Some("zstd:3"));
    assert_eq!(params.recompress_after, Some(60));
    assert_eq!(params.recompress_cpu, Some(5));
}

#[test]
fn the_examples_in_the_example_parse() {
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let block: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("#   ")
                .filter(|rest| !rest.starts_with(' '))
        })
        .collect();
    let config = parse(&block.join("\n")).unwrap();
    let device = &config.devices[&0];
    assert_eq!(device.params.disksize, Some(1 << 30));
    assert_eq!(device.params.codec.as_deref(), Some("zstd:1"));
    assert!(device.swap_on);
    assert_eq!(device.priority, Some(100));
    let [fast, build] = ["/mnt/fast", "/build"].map(|path| &config.mounts[Path::new(path)].spec);
    assert_eq!(fast.source.as_deref(), Some(Path::new("/srv/data")));
    assert_eq!(fast.cache, Some(Size::Bytes(1 << 30)));
    assert_eq!(
        (&build.source, build.size),
        (&None, Some(Size::Bytes(8 << 30)))
    );

    // Each "Example: KEY = VALUE" is one of its table.
    let mut process = String::from("[process]\n");
    let mut device = String::from("[[device]]\n");
    let mut mount = String::from("[[mount]]\n");
    let mut top = String::new();
    let mut of_mounts = false;
    for line in text.lines() {
        of_mounts |= line == "# The keys of a [[mount]]:";
        let Some((_, example)) = line.split_once("Example: ") else {
            continue;
        };
        let key = example.split_once(' ').unwrap().0;
        let table = match key {
            "lock_memory" | "io_flusher" | "oom_score_adj" => &mut process,
            "num_devices" | "group" | "log" | "workers" | "driver" | "transport"
            | "cpu_latency" | "dead_slots" | "memory_limit_kb" => &mut top,
            _ if of_mounts => &mut mount,
            _ => &mut device,
        };
        table.push_str(example);
        table.push('\n');
    }
    let config = parse(&format!("{top}{process}{device}{mount}")).unwrap();
    assert_eq!(config.num_devices, Some(4));
    assert_eq!(config.driver, DriverChoice::Kernel);
    assert_eq!(config.transport, Channel::Fuse);
    assert_eq!(config.cpu_latency, CpuLatencySetting::Off);
    assert_eq!(config.dead_slots, DeadSlots::Clusters);
    assert!(!config.process.lock_memory && !config.process.io_flusher);
    let device = &config.devices[&0];
    assert_eq!(device.params.memlimit, Some(256 << 20));
    assert!(device.params.backing_swap.is_some() && device.priority.is_some());
    assert_eq!(
        device.params.backing_encryption,
        Some(BackingEncryption::On)
    );
    assert_eq!(config.memory_limit, Some(4 << 30));
    let mount = &config.mounts[Path::new("/mnt/fast")].spec;
    assert!(mount.write_back && mount.strict);
    assert_eq!((mount.dirty_after, mount.revalidate), (Some(5), Some(5)));
    assert_eq!(mount.give_up_after, Some(300));
    assert_eq!(mount.dirty_limit, Some(Size::Bytes(64 << 20)));
    assert_eq!(mount.allow_other, Some(false));
    assert_eq!(mount.flags, ["ro", "noexec"]);
}

#[test]
fn mounts_are_set_key_by_key() {
    let mut config = parse(
        "memory_limit_kb = 1024\n[[mount]]\nmountpoint = \"/m\"\nsource = \"/s\"\ncache_kb = 2048\n\
         write_back = true",
    )
    .unwrap();
    let later =
        "memory_limit_kb = 0\n[[mount]]\nmountpoint = \"/m\"\ncodec = \"lz4\"\nstrict = true";
    config.add("later.toml".as_ref(), later).unwrap();
    assert_eq!(config.memory_limit, None);
    let mount = &config.mounts[Path::new("/m")];
    assert_eq!(mount.origin, "later.toml, line 2");
    assert_eq!(mount.spec.source.as_deref(), Some(Path::new("/s")));
    assert_eq!(mount.spec.cache, Some(Size::Bytes(2 << 20)));
    assert_eq!(mount.spec.codec.as_deref(), Some("lz4"));
    assert!(mount.spec.write_back && mount.spec.strict);
}

#[test]
fn a_daemon_that_is_not_roots_has_mounts_only() {
    let (_dir, path) = files("[[mount]]\nmountpoint = \"/m\"\nsize_kb = 4096", &[]);
    let settings = Settings::new(&args(&path), 1000).unwrap();
    assert_eq!((settings.num_devices, settings.config.mounts.len()), (0, 1));
    // What is the system's is not read.
    let settings = Settings::new(&DaemonArgs::default(), 1000).unwrap();
    assert_eq!(settings.config, Config::default());
    for (text, word) in [
        ("num_devices = 2", "num_devices in the configuration"),
        ("[[device]]\nnumber = 0", "[[device]] in"),
    ] {
        let (_dir, path) = files(text, &[]);
        let error = Settings::new(&args(&path), 1000).unwrap_err().to_string();
        assert!(
            error.contains(word) && error.contains("uid 1000"),
            "{error}"
        );
    }
    let args = DaemonArgs {
        num_devices: Some(1),
        ..DaemonArgs::default()
    };
    let error = Settings::new(&args, 1000).unwrap_err().to_string();
    assert!(error.contains("--num-devices"), "{error}");
}

#[test]
fn the_command_lines_memory_limit_wins() {
    let (_dir, path) = files("memory_limit_kb = 1024", &[]);
    let args = DaemonArgs {
        memory_limit: Some(Size::Bytes(8 << 20)),
        ..args(&path)
    };
    let settings = Settings::new(&args, 0).unwrap();
    assert_eq!(settings.config.memory_limit, Some(8 << 20));
}

#[test]
fn every_bad_value_is_named_with_file_line_and_key() {
    let cases: &[(&str, usize, &[&str])] = &[
        (
            "numdevices = 4",
            1,
            &["numdevices", "unknown field", "num_devices"],
        ),
        (
            "\n\nnum_devices = \"four\"",
            3,
            &["num_devices", "string", "four", "give an integer"],
        ),
        (
            "num_devices = 0",
            1,
            &["num_devices", "0 is out of range", "1 to 64"],
        ),
        ("num_devices = 65", 1, &["num_devices", "65", "1 to 64"]),
        ("num_devices = -1", 1, &["num_devices", "-1"]),
        ("num_devices = 1.5", 1, &["num_devices", "1.5"]),
        (
            "num_devices = 1\nnum_devices = 2",
            2,
            &["num_devices", "duplicate"],
        ),
        ("num_devices =", 1, &["num_devices"]),
        ("group = 7", 1, &["group", "integer", "give a string"]),
        ("log = \"compcached=loud\"", 1, &["log", "compcached=loud"]),
        ("memory_limit_kb = -1", 1, &["memory_limit_kb", "-1"]),
        ("[[mount]]\nsource = \"/s\"", 1, &["mountpoint"]),
        (
            "[[mount]]\nmountpoint = \"m\"",
            2,
            &["mountpoint", "\"m\" is not an absolute path"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\nrevalidate = 86401",
            3,
            &["revalidate", "86401", "0 to 86400"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\ngive_up_after = 0",
            3,
            &["give_up_after", "0", "1 to 86400"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\noptions = [\"ro\", \"loop\"]",
            3,
            &["options", "\"loop\"", "nosuid"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\n\n[[mount]]\nmountpoint = \"/m\"",
            4,
            &["second [[mount]]", "/m"],
        ),
        ("workers = 1000", 1, &["workers", "1000", "0 to 64"]),
        (
            "driver = \"zram\"",
            1,
            &["driver", "zram", "auto, kernel or user"],
        ),
        (
            "transport = \"nbd\"",
            1,
            &["transport", "nbd", "fuse-uring"],
        ),
        (
            "cpu_latency = \"fast\"",
            1,
            &["cpu_latency", "fast", "auto, off, or microseconds"],
        ),
        (
            "[[device]]\nnumber = 0\nbacking_encryption = \"yes\"",
            3,
            &["backing_encryption", "yes", "on or off"],
        ),
        (
            "dead_slots = \"at once\"",
            1,
            &["dead_slots", "at once", "auto or clusters"],
        ),
        (
            "[process]\nmlock = true",
            2,
            &["mlock", "unknown field", "lock_memory"],
        ),
        (
            "[process]\nlock_memory = 1",
            2,
            &["lock_memory", "integer", "give true or false"],
        ),
        (
            "[process]\noom_score_adj = -1001",
            2,
            &["oom_score_adj", "-1001", "-1000"],
        ),
        ("process = 1", 1, &["process"]),
        ("[[device]]\ncodec = \"lz4\"", 1, &["number", "missing"]),
        ("[[device]]\nnumber = 64", 2, &["number", "64", "0 to 63"]),
        (
            "[[device]]\nnumber = 0\ndisksize_kb = 0",
            3,
            &["disksize_kb", "0 is out of range"],
        ),
        (
            "[[device]]\nnumber = 0\ndisksize_kb = -4",
            3,
            &["disksize_kb", "-4"],
        ),
        (
            "[[device]]\nnumber = 0\ndisksize_kb = 17179869185",
            3,
            &["disksize_kb", "17179869184"],
        ),
        (
            "[[device]]\nnumber = 0\nmemlimit_kb = \"1G\"",
            3,
            &["memlimit_kb", "1G"],
        ),
        (
            "[[device]]\nnumber = 0\nbacking_swap = \"swap\"",
            3,
            &["backing_swap", "absolute"],
        ),
        (
            "[[device]]\nnumber = 0\ncodec = \"gzip\"",
            3,
            &["codec", "gzip", "lzo", "zstd"],
        ),
        (
            "[[device]]\nnumber = 0\nrecompress = \"gzip\"",
            3,
            &["recompress", "gzip", "zstd", "'off'"],
        ),
        (
            "[[device]]\nnumber = 0\nrecompress_after = 86401",
            3,
            &["recompress_after", "86401", "1 to 86400"],
        ),
        (
            "[[device]]\nnumber = 0\nrecompress_cpu = 0",
            3,
            &["recompress_cpu", "0 is out of range", "1 to 100"],
        ),
        (
            "[[device]]\nnumber = 0\nswap_on = \"yes\"",
            3,
            &["swap_on", "yes", "give true or false"],
        ),
        (
            "[[device]]\nnumber = 0\npriority = 32768",
            3,
            &["priority", "32768", "32767"],
        ),
        (
            "[[device]]\nnumber = 0\nsize = 1",
            3,
            &["size", "unknown field"],
        ),
        (
            "[[device]]\nnumber = 0\n\n[[device]]\nnumber = 0",
            4,
            &["second", "number 0"],
        ),
        ("[device]\nnumber = 0", 1, &["device"]),
        ("this is not TOML", 1, &[]),
        ("log = \"unterminated", 1, &["log"]),
    ];
    for (text, line, words) in cases {
        let error = parse(text).expect_err(text);
        let ConfigError::Content { line: found, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(found, line, "{text:?}: {error}");
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("configuration test.toml, line {line}: ")),
            "{message}"
        );
        for word in *words {
            assert!(
                message.contains(word),
                "{text:?}: {word:?} is not in: {message}"
            );
        }
    }
}

#[test]
fn a_bad_file_changes_nothing() {
    let mut config = Config::default();
    config.add(Path::new("good"), "num_devices = 3").unwrap();
    let before = config.clone();
    config
        .add(Path::new("bad"), "num_devices = 5\nworkers = \"x\"")
        .unwrap_err();
    config
        .add(
            Path::new("bad"),
            "num_devices = 5\n[[device]]\nnumber=1\n[[device]]\nnumber=1",
        )
        .unwrap_err();
    assert_eq!(config, before);
}

#[test]
fn later_files_win_key_by_key() {
    let (_dir, path) = files(
        "num_devices = 2\nlog = \"warn\"\n[process]\nlock_memory = false\n\
         [[device]]\nnumber = 0\ndisksize_kb = 4096\ncodec = \"lzo\"",
        &[
            (
                "20-b.toml",
                "num_devices = 4\n[[device]]\nnumber = 0\ncodec = \"wkdm\"\nswap_on = true",
            ),
            (
                "10-a.toml",
                "num_devices = 3\ngroup = \"adm\"\n[process]\noom_score_adj = 5",
            ),
            ("30-c.toml", "[[device]]\nnumber = 3"),
            ("40-ignored.conf", "nonsense"),
        ],
    );
    let config = Config::load(Some(&path)).unwrap();
    assert_eq!(config.num_devices, Some(4));
    assert_eq!(config.group.as_deref(), Some("adm"));
    assert_eq!(config.log, "warn");
    assert!(!config.process.lock_memory && config.process.io_flusher);
    assert_eq!(config.process.oom_score_adj, 5);
    let device = &config.devices[&0];
    assert_eq!(device.params.disksize, Some(4 << 20));
    assert_eq!(device.params.codec.as_deref(), Some("wkdm"));
    assert!(device.swap_on);
    assert!(config.devices.contains_key(&3));
}

#[test]
fn the_command_line_wins_over_the_files() {
    let (_dir, path) = files(
        "num_devices = 2\n[[device]]\nnumber = 0\ndisksize_kb = 4096\ncodec = \"lzo\"",
        &[],
    );
    let args = DaemonArgs {
        num_devices: Some(5),
        disksize_kb: Some(8192),
        backing_swap: Some("relative".into()),
        backing_encryption: Some(BackingEncryption::Off),
        runtime_dir: Some("rt".into()),
        ..args(&path)
    };
    let settings = Settings::new(&args, 0).unwrap();
    assert_eq!(settings.num_devices, 5);
    let params = &settings.config.devices[&0].params;
    assert_eq!(params.disksize, Some(8 << 20));
    assert_eq!(params.codec.as_deref(), Some("lzo"));
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        params.backing_swap.as_deref(),
        Some(&*here.join("relative"))
    );
    assert_eq!(params.backing_encryption, Some(BackingEncryption::Off));
    assert_eq!(settings.runtime_dir, here.join("rt"));
    assert_eq!(settings.dev_dir, Path::new("/dev"));
}

#[test]
fn defaults_without_a_word() {
    let (_dir, path) = files("", &[]);
    let settings = Settings::new(&args(&path), 0).unwrap();
    assert_eq!(settings.num_devices, 16);
    assert!(settings.config.devices.is_empty());
}

#[test]
fn a_device_past_the_last_is_refused() {
    let (_dir, path) = files("num_devices = 2\n[[device]]\nnumber = 2", &[]);
    let error = Settings::new(&args(&path), 0).unwrap_err().to_string();
    assert!(
        error.contains("line 2") && error.contains("number 2"),
        "{error}"
    );
    assert!(error.contains("num_devices to 3"), "{error}");
}

#[test]
fn sizes_on_the_command_line_do_not_overflow() {
    let (_dir, path) = files("", &[]);
    let args = DaemonArgs {
        disksize_kb: Some(u64::MAX),
        ..args(&path)
    };
    let error = Settings::new(&args, 0).unwrap_err().to_string();
    assert!(
        error.contains("disksize_kb") && error.contains("out of range"),
        "{error}"
    );
}

#[test]
fn files_that_can_not_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let error = Config::load(Some(&missing)).unwrap_err().to_string();
    assert!(
        error.contains("missing.toml") && error.contains("cannot be read"),
        "{error}"
    );

    let error = Config::load(Some(dir.path())).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");

    let binary = dir.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    let error = Config::load(Some(&binary)).unwrap_err().to_string();
    assert!(error.contains("binary.toml"), "{error}");

    let (_dir, path) = files("", &[("1.toml", "num_devices = 0")]);
    let error = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("compcache.toml.d/1.toml, line 1"), "{error}");
}
