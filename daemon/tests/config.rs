//! Configuration files: what they set, and what is wrong with bad ones.

use std::fs;
use std::path::{Path, PathBuf};

use compcached::DaemonArgs;
use compcached::args::{DEFAULT_NUM_DEVICES, NUM_DEVICES};
use compcached::config::{Config, ConfigError};
use compcached::protocol::{
    DEFAULT_DIRTY_AFTER, DEFAULT_GIVE_UP_AFTER, DEFAULT_REVALIDATE, DIRTY_AFTER, GIVE_UP_AFTER,
    REVALIDATE,
};
use compcached::settings::Settings;
use compcached::size::Size;
use compcached::types::{
    BackingEncryption, Channel, CpuLatencySetting, DeadSlots, DriverChoice, PRIORITY,
    RECOMPRESS_AFTER, RECOMPRESS_CPU,
};

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
    assert_eq!(fast.settings.cache, Some(Size::Bytes(1 << 30)));
    assert_eq!(
        (&build.source, build.settings.size),
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
    let mount = &config.mounts[Path::new("/mnt/fast")].spec.settings;
    assert!(mount.is_write_back() && mount.is_strict());
    assert_eq!((mount.dirty_after, mount.revalidate), (Some(5), Some(5)));
    assert_eq!(mount.give_up_after, Some(300));
    assert_eq!(mount.dirty_limit, Some(Size::Bytes(64 << 20)));
    assert_eq!(mount.allow_other, Some(false));
    assert_eq!(mount.flags.as_deref().unwrap(), ["ro", "noexec"]);
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
    let settings = &mount.spec.settings;
    assert_eq!(settings.cache, Some(Size::Bytes(2 << 20)));
    assert_eq!(settings.codec.as_deref(), Some("lz4"));
    assert!(settings.is_write_back() && settings.is_strict());
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
            &["numdevices", "unknown", "num_devices, group, log"],
        ),
        (
            "\n\nnum_devices = \"four\"",
            3,
            &["num_devices", "\"four\" is a string", "from 1 to 64"],
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
            &["num_devices", "second time"],
        ),
        ("num_devices =", 1, &["num_devices", "has no value"]),
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
            &["mlock", "unknown", "lock_memory"],
        ),
        (
            "[process]\nlock_memory = 1",
            2,
            &["lock_memory", "1 is an integer", "give true or false"],
        ),
        (
            "[process]\noom_score_adj = -1001",
            2,
            &["oom_score_adj", "-1001", "-1000"],
        ),
        (
            "process = 1",
            1,
            &["process", "1 is an integer", "[process], a table"],
        ),
        ("[[device]]\ncodec = \"lz4\"", 1, &["number", "missing"]),
        ("[[device]]\nnumber = 64", 2, &["number", "64", "0 to 63"]),
        (
            "[[device]]\nnumber = 0\ndisksize_kb = 0",
            3,
            &["disksize_kb", "\"0\" kB is zero"],
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
            &["size", "unknown", "disksize_kb, memlimit_kb"],
        ),
        (
            "[[device]]\nnumber = 0\n\n[[device]]\nnumber = 0",
            4,
            &["second", "number 0"],
        ),
        (
            "[device]\nnumber = 0",
            1,
            &["device", "[[device]], an array"],
        ),
        (
            "this is not TOML",
            1,
            &["`this is not TOML`", "KEY = VALUE"],
        ),
        ("log = \"unterminated", 1, &["log", "double quotes"]),
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

/// What a value is that the key does not take, and what it takes, in words of the manual.
#[test]
fn no_message_has_words_of_a_parser() {
    const HUGE: &str = "99999999999999999999";
    let cases: &[(&str, &[&str])] = &[
        (
            "num_devices = 99999999999999999999",
            &["num_devices", HUGE, "from 1 to 64"],
        ),
        (
            "num_devices = 999999999999999999999999999999999999999999",
            &["num_devices", "from 1 to 64"],
        ),
        ("num_devices = 0x100", &["256 is out of range", "1 to 64"]),
        (
            "num_devices = 1.5",
            &["1.5 is not a whole number", "1 to 64"],
        ),
        (
            "num_devices = 2026-12-01",
            &["2026-12-01 is a date", "from 1 to 64"],
        ),
        ("num_devices =", &["num_devices", "has no value"]),
        ("num_devices = # none", &["num_devices", "has no value"]),
        ("workers = [1]", &["workers", "an array", "from 0 to 64"]),
        ("workers.least = 1", &["workers", "a table", "from 0 to 64"]),
        (
            "memory_limit_kb = 99999999999999999999",
            &["memory_limit_kb", HUGE, "17179869184 kB"],
        ),
        (
            "memory_limit_kb = true",
            &["true is a boolean", "a whole number of kilobytes"],
        ),
        ("log = 2026-12-01T00:00:00Z", &["log", "a date or time"]),
        (
            "log = \"compcached=loud\"",
            &[
                "log",
                "compcached=loud",
                "error, warn, info, debug or trace",
            ],
        ),
        ("group = [\"adm\"]", &["group", "an array", "a string"]),
        (
            "driver = 5",
            &["driver", "5 is an integer", "auto, kernel or user"],
        ),
        ("driver = auto", &["driver", "`auto`", "double quotes"]),
        ("cpu_latency = 2", &["cpu_latency", "as in \"2\""]),
        (
            "drivers = \"auto\"",
            &["drivers", "unknown", "driver, transport"],
        ),
        (
            "process = 5",
            &["process", "5 is an integer", "[process], a table"],
        ),
        (
            "[[process]]",
            &["process", "an array", "[process], a table"],
        ),
        ("device = 5", &["device", "5 is an integer", "[[device]]"]),
        ("device = [5]", &["device", "5 is an integer", "[[device]]"]),
        ("[device]", &["device", "a table", "[[device]]"]),
        (
            "mount = \"/m\"",
            &["mount", "\"/m\" is a string", "[[mount]]"],
        ),
        ("[[device]]", &["number", "missing", "number = 0"]),
        (
            "[[device]]\nnumber = 0\nbacking_swap = 5",
            &["backing_swap", "5 is an integer", "absolute path"],
        ),
        (
            "[[device]]\nnumber = 0\ncodec = 1",
            &["codec", "1 is an integer", "zstd"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\noptions = \"ro\"",
            &["options", "\"ro\" is a string", "an array", "nosuid"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\noptions = [1]",
            &["options", "1 is an integer", "nosuid"],
        ),
        (
            "[[mount]]\nmountpoint = \"/m\"\nsizekb = 1",
            &["sizekb", "size_kb"],
        ),
        ("[process]\n[process]", &["process", "second time"]),
        ("[process", &["process"]),
        ("= 5", &["`= 5`", "KEY = VALUE"]),
        ("log = \"a\\q\"", &["log", "double quotes"]),
    ];
    for (text, words) in cases {
        let message = parse(text).expect_err(text).to_string();
        let line = text.lines().count();
        let place = format!("configuration test.toml, line {line}: ");
        assert!(message.starts_with(&place), "{text:?}: {message}");
        for word in *words {
            assert!(
                message.contains(word),
                "{text:?}: {word:?} is not in: {message}"
            );
        }
        for jargon in [
            "i128",
            "i64",
            "u32",
            "struct",
            "sequence",
            " map",
            "field",
            "expected",
            "literal",
            "invalid",
            "duplicate",
            "level filter",
        ] {
            assert!(
                !message.contains(jargon),
                "{text:?}: {jargon:?} in: {message}"
            );
        }
    }
}

#[test]
fn a_file_that_is_not_utf8_is_named_with_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latin1.toml");
    for (bytes, words) in [
        (
            &b"workers = 1\ngroup = \"caf\xe9\"\n"[..],
            &["line 2: ", "key `group`", "0xE9"][..],
        ),
        (b"# caf\xe9", &["line 1: ", "0xE9"]),
        (b"\n\n\xff\xfe", &["line 3: ", "0xFF"]),
    ] {
        fs::write(&path, bytes).unwrap();
        let message = Config::load(Some(&path)).unwrap_err().to_string();
        for word in words.iter().chain(&["latin1.toml", "UTF-8 text"]) {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
        assert!(!message.contains("stream"), "{message}");
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
        disksize: Some(8 << 20),
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

/// The example says the ranges and defaults that the code has.
#[test]
fn the_example_has_the_ranges_of_the_code() {
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "#")
        .collect();
    let text = words.join(" ");
    for (key, range) in [
        ("num_devices", NUM_DEVICES),
        ("recompress_after", RECOMPRESS_AFTER),
        ("recompress_cpu", RECOMPRESS_CPU),
        ("priority", PRIORITY),
        ("dirty_after", DIRTY_AFTER),
        ("revalidate", REVALIDATE),
        ("give_up_after", GIVE_UP_AFTER),
    ] {
        let (before, _) = text.split_once(&format!("Example: {key} = ")).expect(key);
        let typed = before.rsplit("Type: ").next().unwrap();
        assert!(
            typed.starts_with(&format!("integer, {range}")),
            "{key}, {range}: {typed}"
        );
    }
    for (key, default) in [
        ("num_devices", DEFAULT_NUM_DEVICES),
        ("dirty_after", DEFAULT_DIRTY_AFTER),
        ("revalidate", DEFAULT_REVALIDATE),
        ("give_up_after", DEFAULT_GIVE_UP_AFTER),
    ] {
        let words = format!("Default: {default}. Example: {key} = ");
        assert!(text.contains(&words), "{words}");
    }
}

/// One parameter has one parser, whichever way it is given.
#[test]
fn options_and_keys_take_the_same_numbers() {
    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: DaemonArgs,
    }
    for (option, key, value, words) in [
        ("num-devices", "num_devices", "0", "from 1 to 64"),
        (
            "num-devices",
            "num_devices",
            "99999999999999999999",
            "from 1 to 64",
        ),
        (
            "disksize_kb",
            "disksize_kb",
            "0",
            "the smallest size is one page, 4 kB",
        ),
        (
            "disksize_kb",
            "disksize_kb",
            "-1",
            "the smallest size is one page, 4 kB",
        ),
        (
            "disksize_kb",
            "disksize_kb",
            "99999999999999999999",
            "the limit is 17179869184 kB",
        ),
        (
            "memlimit_kb",
            "memlimit_kb",
            "17179869185",
            "the limit is 17179869184 kB",
        ),
    ] {
        let argument = format!("--{option}={value}");
        let line = <Line as clap::Parser>::try_parse_from(["compcached", &argument]);
        let of_device = if key == "num_devices" {
            ""
        } else {
            "[[device]]\nnumber = 0\n"
        };
        let file = parse(&format!("{of_device}{key} = {value}"));
        for message in [line.unwrap_err().to_string(), file.unwrap_err().to_string()] {
            assert!(
                message.contains(value) && message.contains(words),
                "{message}"
            );
        }
    }
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
