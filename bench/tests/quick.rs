//! Every subject runs to its end, in its quick form.

use std::process::Command;

#[test]
fn codecs_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_compcache-bench"))
        .args(["codec", "--quick", "--json", "--plot"])
        .arg(directory.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    for codec in [
        "lz4 (C)",
        "lz4_flex",
        "zstd:1 (C)",
        "lz4",
        "lzo",
        "wkdm",
        "wks:fast",
        "wks:balanced",
        "zstd:1",
    ] {
        let row = rows.iter().find(|row| row["codec"] == codec).expect(codec);
        let ratio = row["ratio"].as_f64().unwrap();
        assert!(ratio > 0.0 && ratio <= 1.0, "{codec}: {ratio}");
        assert!(row["compress_mb_s"].as_f64().unwrap() > 0.0, "{codec}");
    }
    for plot in ["codec-anonymous.svg", "codec-file.svg"] {
        let svg = std::fs::read_to_string(directory.path().join(plot)).unwrap();
        assert!(
            svg.starts_with("<svg ") && svg.contains("wks:fast"),
            "{svg}"
        );
    }
}

#[test]
fn pools_are_compared() {
    let run = Command::new(env!("CARGO_BIN_EXE_compcache-bench"))
        .args(["pool", "--quick", "--json"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    let rows: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    // As root there are rows of zram too.
    for pool in ["ours lz4", "ours lzo", "ours wkdm", "ours zstd:1"] {
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["pool"] == pool).expect(pool);
        let moments = row["moments"].as_array().unwrap();
        assert_eq!(moments.len(), 5, "{pool}");
        for moment in moments {
            let overhead = moment[1]["overhead"].as_f64().unwrap();
            assert!(overhead > 0.0, "{pool}: {moment}");
        }
    }
    // Recompressed pages take less of the pool than the same ones as they were stored first. The
    // reserve beside them does not count: so small a pool has more of it than of chunks, and how much
    // there is at a moment is the keeper's to say.
    let filled = |row: &serde_json::Value| {
        let moment = &row["moments"][0][1];
        let value = |name: &str| moment[name].as_f64().unwrap();
        value("compressed") * (1.0 + value("overhead"))
    };
    let rows = rows.as_array().unwrap();
    let name = |row: &serde_json::Value| row["pool"].as_str().unwrap().to_owned();
    let cold = rows
        .iter()
        .find(|row| name(row).ends_with(", cold"))
        .unwrap();
    let warm = name(cold).replace(", cold", "");
    let warm = rows.iter().find(|row| name(row) == warm).unwrap();
    assert!(filled(cold) < filled(warm), "{cold}, {warm}");
}

/// What `args` print as JSON, and that nothing of them is left on the machine.
fn json(args: &[&str]) -> serde_json::Value {
    let run = Command::new(env!("CARGO_BIN_EXE_compcache-bench"))
        .args(args)
        .args(["--quick", "--json"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    for table in ["/proc/swaps", "/proc/mounts"] {
        let text = std::fs::read_to_string(table).unwrap();
        assert!(!text.contains("compcache-bench"), "{text}");
    }
    serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
fn swap_is_compared() {
    if !compcache_test_needs::root() {
        return;
    }
    let report = json(&[
        "swap",
        "--only",
        "balanced",
        "--processes",
        "1,2",
        "--same-memory",
        "all",
        "--light",
        "all",
    ]);
    let rows = report["rows"].as_array().unwrap();
    for processes in [1, 2] {
        let row = rows
            .iter()
            .find(|row| {
                starts(&row["area"], "ours wks:balanced (") && row["processes"] == processes
            })
            .unwrap_or_else(|| panic!("{report}"));
        assert_eq!(row["phases"].as_array().unwrap().len(), 5);
        for value in ["total_s", "faults", "pool_bytes", "swapped_gib"] {
            assert!(row[value].as_f64().unwrap() > 0.0, "{value}: {row}");
        }
    }
    // Memory of ours is measured again with as much as the peer took, and beside no swap.
    let same = &report["same_memory"];
    assert_eq!(same["peer"], "zram lzo-rle");
    for (name, trials) in same["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry[0], &entry[1]))
    {
        assert!(starts(name, "ours "), "{same}");
        assert!(!trials.as_array().unwrap().is_empty(), "{same}");
    }
    let rows = same["rows"].as_array().unwrap();
    assert!(
        rows.iter().any(|row| row["area"] == "zram lzo-rle"),
        "{same}"
    );
    let light = report["light"].as_array().unwrap();
    let ours = light.iter().find(|row| starts(&row["area"], "ours "));
    assert!(
        ours.unwrap()["slowdown"].as_f64().unwrap() > 0.0,
        "{light:?}"
    );
}

/// Whether a value is a text that begins so.
fn starts(value: &serde_json::Value, with: &str) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(with))
}

#[test]
fn devices_are_compared() {
    if !compcache_test_needs::root() {
        return;
    }
    let report = json(&["device", "--only", "lz4"]);
    let rows = report["rows"].as_array().unwrap();
    for (write, depth) in [(true, 1), (false, 1), (true, 32), (false, 32)] {
        let row = rows
            .iter()
            .find(|row| {
                starts(&row["device"], "ours lz4 (")
                    && row["write"] == write
                    && row["depth"] == depth
            })
            .unwrap_or_else(|| panic!("{report}"));
        assert!(row["iops"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn files_are_compared() {
    if !compcache_test_needs::root() {
        return;
    }
    let plots = tempfile::tempdir().unwrap();
    let report = json(&["files", "--plot", plots.path().to_str().unwrap()]);
    let rows = report["rows"].as_array().unwrap();
    let row = |workload: &str, place: &str| {
        rows.iter()
            .find(|row| starts(&row["workload"], workload) && row["place"] == place)
            .unwrap_or_else(|| panic!("{workload}, {place}: {report}"))
    };
    for workload in [
        "random",
        "zipf",
        "fits, seq",
        "fits, ran",
        "hot, pread 4K",
        "hot, pread 64K",
        "hot, mmap",
        "scan",
        "adapt",
        "write",
        "git status",
        "grep",
        "sqlite3",
        "cargo build",
        "pgbench",
    ] {
        // Some need programs that are not everywhere; those that are left out are named.
        let name = workload.trim_start_matches("cargo ").trim_end_matches('3');
        let left_out = report["left_out"].as_array().unwrap();
        if left_out
            .iter()
            .any(|entry| entry[0] == name || workload == "git status" && entry[0] == "stat")
        {
            continue;
        }
        for place in ["bare directory", "ours wks:balanced"] {
            let row = row(workload, place);
            assert!(row["total_s"].as_f64().unwrap() > 0.0, "{row}");
        }
        let ours = row(workload, "ours wks:balanced");
        let hits = ours["values"].as_array().unwrap();
        assert!(hits.iter().any(|value| value[0] == "pool MiB"), "{ours}");
    }
    let back = row("write", "ours wks:balanced, write-back");
    assert!(back["steady_to"].as_f64().unwrap() > 0.0, "{back}");
    let adapt = row("adapt", "ours wks:balanced");
    assert!(adapt["series"].as_array().unwrap().len() > 1, "{adapt}");
    for plot in [
        "files-total-throttled.svg",
        "files-total.svg",
        "files-adapt.svg",
    ] {
        let svg = std::fs::read_to_string(plots.path().join(plot)).unwrap();
        assert!(svg.starts_with("<svg "), "{svg}");
    }
}

#[test]
fn nonsense_is_refused() {
    for args in [
        &["codec", "--pages", "0"][..],
        &["codec", "--rounds", "x"],
        &["pool", "--pages", "-1"],
        &["swap", "--processes", "1,0"],
        &["device", "--peer", "/dev/sda"],
        &["files", "--throttle", "20M"],
        &["files", "--limit", "0"],
        &["files", "--cache", "200%"],
        &["files", "--scale", "0"],
        &["files", "--workload", "sleep"],
        &["nothing"],
        &[],
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_compcache-bench"))
            .args(args)
            .output()
            .unwrap();
        assert!(!run.status.success(), "{args:?}");
        assert!(!run.stderr.is_empty(), "{args:?}");
    }
}
