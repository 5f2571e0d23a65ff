//! Every subject runs to its end, in its quick form.

use std::process::Command;

#[test]
fn codecs_are_compared() {
    let run = Command::new(env!("CARGO_BIN_EXE_compcache-bench"))
        .args(["codec", "--quick", "--json"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    let rows: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let rows = rows.as_array().unwrap();
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
}

#[test]
fn nonsense_is_refused() {
    for args in [
        &["codec", "--pages", "0"][..],
        &["codec", "--rounds", "x"],
        &["pool", "--pages", "-1"],
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
