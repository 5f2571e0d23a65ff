//! Every subject runs to its end, in its quick form.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compcache-bench"));
    command.args(args).output().unwrap()
}

/// What `args` print as JSON.
fn json(args: &[&str]) -> Value {
    let run = bench(&[args, &["--quick", "--json"]].concat());
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// What `args` print that swap or mount, and that nothing of them is left on the machine: only one test
/// at once may do that.
fn json_alone(args: &[&str]) -> Value {
    static MACHINE: Mutex<()> = Mutex::new(());
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let report = json(args);
    for table in ["/proc/swaps", "/proc/mounts"] {
        let text = std::fs::read_to_string(table).unwrap();
        assert!(!text.contains("compcache-bench"), "{text}");
    }
    report
}

/// The rows, or what else is a list.
fn list(value: &Value) -> &[Value] {
    let list = value.as_array();
    list.unwrap_or_else(|| panic!("no list: {value}"))
}

/// The row of a report that is looked for.
fn find<'a>(rows: &'a Value, what: &str, is_it: impl Fn(&Value) -> bool) -> &'a Value {
    let found = list(rows).iter().find(|row| is_it(row));
    found.unwrap_or_else(|| panic!("no {what}: {rows}"))
}

fn number(value: &Value) -> f64 {
    let number = value.as_f64();
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

/// Whether a value is a text that begins so.
fn starts(value: &Value, with: &str) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(with))
}

/// Checks that there are plots with a text in them.
fn check_plots(directory: &Path, names: &[&str], wanted: &str) {
    for name in names {
        let svg = std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains(wanted), "{svg}");
    }
}

#[test]
fn codecs_are_compared() {
    let plots = tempfile::tempdir().unwrap();
    let report = json(&["codec", "--plot", plots.path().to_str().unwrap()]);
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
        let row = find(&report["rows"], codec, |row| row["codec"] == codec);
        let ratio = number(&row["ratio"]);
        assert!(ratio > 0.0 && ratio <= 1.0, "{codec}: {ratio}");
        assert!(number(&row["compress_mb_s"]) > 0.0, "{codec}");
        // A quick run has one source.
        let of_source = number(&list(&row["sources"])[0]["ratio"]);
        assert!((of_source / ratio - 1.0).abs() < 1e-9, "{row}");
    }
    let names = ["codec-anonymous.svg", "codec-file.svg"];
    check_plots(plots.path(), &names, "wks:fast");
}

#[test]
fn a_table_has_a_row_for_each_codec() {
    let run = bench(&["codec", "--quick", "--only", "wks"]);
    let text = String::from_utf8_lossy(&run.stdout);
    for kind in ["anonymous ", "file "] {
        let table = text.split("\n\n").find(|table| table.starts_with(kind));
        let table = table.unwrap_or_else(|| panic!("no {kind}: {text}"));
        for name in ["lz4 (C)", "wks:balanced", "wks:fast"] {
            let row = table.lines().find(|line| line.starts_with(name));
            // Every cell stands under its heading: all lines end in the same column.
            let heading = table.lines().next().unwrap();
            assert_eq!(row.unwrap().len(), heading.len(), "{table}");
        }
    }
}

#[test]
fn threads_share_a_cache() {
    let rows = json(&["ccache"]);
    for work in ["hit", "refault", "stream", "write"] {
        for threads in [1, 2, 4] {
            let is = |row: &Value| row["work"] == work && row["threads"] == threads;
            let row = find(&rows, work, is);
            for key in ["pages_per_second", "to_a_cache_each"] {
                assert!(number(&row[key]) > 0.0, "{row}");
            }
        }
    }
}

#[test]
fn pools_are_compared() {
    let rows = json(&["pool"]);
    let is = |name: &str| find(&rows, name, |row| row["pool"] == name);
    // As root there are rows of zram too.
    for pool in ["ours lz4", "ours lzo", "ours wkdm", "ours zstd:1"] {
        let moments = list(&is(pool)["moments"]);
        assert_eq!(moments.len(), 5, "{pool}");
        for moment in moments {
            assert!(number(&moment[1]["overhead"]) > 0.0, "{pool}: {moment}");
        }
    }
    // Recompressed pages take less of the pool than the same ones as they were stored first. The
    // reserve beside them does not count: so small a pool has more of it than of chunks, and how much
    // there is at a moment is the keeper's to say.
    let filled = |row: &Value| {
        let moment = &row["moments"][0][1];
        number(&moment["compressed"]) * (1.0 + number(&moment["overhead"]))
    };
    let name = |row: &Value| row["pool"].as_str().unwrap().to_owned();
    let cold = find(&rows, "cold pool", |row| name(row).ends_with(", cold"));
    let warm = is(&name(cold).replace(", cold", ""));
    assert!(filled(cold) < filled(warm), "{cold}, {warm}");
}

#[test]
fn swap_is_compared() {
    if !compcache_test_support::needs::root() {
        return;
    }
    let report = json_alone(&[
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
    for processes in [1, 2] {
        let row = find(&report["rows"], "row of ours", |row| {
            starts(&row["area"], "ours wks:balanced (") && row["processes"] == processes
        });
        assert_eq!(list(&row["phases"]).len(), 5);
        for value in ["total_s", "faults", "pool_bytes", "swapped_gib"] {
            assert!(number(&row[value]) > 0.0, "{value}: {row}");
        }
    }
    // Memory of ours is measured again with as much as the peer took, and beside no swap.
    let same = &report["same_memory"];
    assert_eq!(same["peer"], "zram lzo-rle");
    for entry in list(&same["trials"]) {
        assert!(starts(&entry[0], "ours "), "{same}");
        assert!(!list(&entry[1]).is_empty(), "{same}");
    }
    find(&same["rows"], "peer", |row| row["area"] == "zram lzo-rle");
    let ours = find(&report["light"], "ours", |row| {
        starts(&row["area"], "ours ")
    });
    assert!(number(&ours["slowdown"]) > 0.0, "{ours}");
}

#[test]
fn devices_are_compared() {
    if !compcache_test_support::needs::root() {
        return;
    }
    let report = json_alone(&["device", "--only", "lz4"]);
    for (write, depth) in [(true, 1), (false, 1), (true, 32), (false, 32)] {
        let row = find(&report["rows"], "row of ours", |row| {
            starts(&row["device"], "ours lz4 (") && row["write"] == write && row["depth"] == depth
        });
        assert!(number(&row["iops"]) > 0.0, "{row}");
    }
}

#[test]
fn files_are_compared() {
    if !compcache_test_support::needs::root() {
        return;
    }
    let plots = tempfile::tempdir().unwrap();
    let report = json_alone(&["files", "--plot", plots.path().to_str().unwrap()]);
    let row = |workload: &str, place: &str| {
        find(&report["rows"], &format!("{workload}, {place}"), |row| {
            starts(&row["workload"], workload) && row["place"] == place
        })
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
        let is_it =
            |entry: &Value| entry[0] == name || workload == "git status" && entry[0] == "stat";
        if list(&report["left_out"]).iter().any(is_it) {
            continue;
        }
        for place in ["bare directory", "ours zstd:1"] {
            let row = row(workload, place);
            assert!(number(&row["total_s"]) > 0.0, "{row}");
        }
        let ours = row(workload, "ours zstd:1");
        find(&ours["values"], "pool", |value| value[0] == "pool MiB");
    }
    let back = row("write", "ours zstd:1, write-back");
    assert!(number(&back["steady_to"]) > 0.0, "{back}");
    let adapt = row("adapt", "ours zstd:1");
    assert!(list(&adapt["series"]).len() > 1, "{adapt}");
    let names = [
        "files-total-throttled.svg",
        "files-total.svg",
        "files-adapt.svg",
    ];
    check_plots(plots.path(), &names, "");
}

#[test]
fn nonsense_is_refused() {
    for args in [
        &["codec", "--pages", "0"][..],
        &["codec", "--rounds", "x"],
        &["pool", "--pages", "-1"],
        &["swap", "--processes", "1,0"],
        &["files", "--throttle", "20M"],
        &["files", "--limit", "0"],
        &["files", "--cache", "200%"],
        &["files", "--scale", "0"],
        &["files", "--workload", "sleep"],
        &["nothing"],
        &[],
    ] {
        let run = bench(args);
        assert!(!run.status.success(), "{args:?}");
        assert!(!run.stderr.is_empty(), "{args:?}");
    }
}
