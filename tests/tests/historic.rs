//! The sequence that users of the original ramzswap know, word for word, and the statistics that
//! their scripts parse.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, LoopFile, MIB, Outcome};
use compcached::types::State;

/// Every line of `--stats`: its label, and its value without the unit.
fn parse(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| {
            let (label, value) = line
                .split_once(":\t")
                .unwrap_or_else(|| panic!("not label, colon, tab: {line:?}"));
            (label.to_owned(), value.to_owned())
        })
        .collect()
}

/// The values by label, as numbers; the unit is checked.
fn numbers(lines: &[(String, String)]) -> BTreeMap<&str, u64> {
    lines
        .iter()
        .filter(|(label, _)| label != "BackingSwap")
        .map(|(label, value)| {
            let unit = match label.as_str() {
                "GoodCompress" | "NoCompress" => " %",
                "DiskSize" | "MemLimit" | "OrigDataSize" | "ComprDataSize" | "MemUsedTotal" => {
                    " kB"
                }
                _ => "",
            };
            let number = value
                .strip_suffix(unit)
                .unwrap_or_else(|| panic!("{label}: no {unit:?} in {value:?}"));
            assert!(number.len() >= 8, "{label}: {value:?} is not 8 wide");
            let number = number.trim_start().parse();
            (label.as_str(), number.expect("a number"))
        })
        .collect()
}

const LABELS: [&str; 15] = [
    "DiskSize",
    "NumReads",
    "NumWrites",
    "FailedReads",
    "FailedWrites",
    "InvalidIO",
    "NotifyFree",
    "ZeroPages",
    "GoodCompress",
    "NoCompress",
    "PagesStored",
    "PagesUsed",
    "OrigDataSize",
    "ComprDataSize",
    "MemUsedTotal",
];

fn swapped_on(node: &Path) -> bool {
    compcache_device::swap::find(node)
        .expect("/proc/swaps")
        .is_some()
}

/// `compcached --num-devices 4 &`, `rzscontrol DEVICE --init`, `swapon DEVICE`, `--stats`,
/// `swapoff DEVICE`, `--reset`, as one shell script, with a program in between that needs more
/// memory than it may have.
#[test]
fn the_sequence() {
    let Some(mut bed) = Bed::new() else { return };
    let device = bed.node(0);
    let shell = |bed: &Bed, script: &str| {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", script, "sh"]).arg(&device);
        for program in ["COMPCACHED", "RZSCONTROL"] {
            command.env(program, compcache_tests::binary(&program.to_lowercase()));
        }
        bed.set_environment(&mut command);
        Outcome::of(&mut command)
    };
    // The daemon is not waited for: rzscontrol comes when it may not listen yet.
    let out = shell(
        &bed,
        "$COMPCACHED --num-devices 4 >/dev/null 2>&1 &
         $RZSCONTROL $1 --init
         swapon $1",
    );
    assert_eq!(out.success(), "");
    assert!(swapped_on(&device));
    let (daemon, devices) = bed.status();
    assert_eq!(devices.len(), 4);
    let ram = 25 * rustix::system::sysinfo().totalram as u64 / 100;
    assert!(devices[0].disksize.abs_diff(ram) < MIB, "25 % of RAM");
    assert_eq!(devices[0].state, State::Ready);
    assert_eq!(std::fs::read_link(&device).ok(), devices[0].block_device);

    let group = Cgroup::new(32 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 96 * MIB, 1);
    hog.fill();
    hog.change();
    hog.verify();
    let text = shell(&bed, "$RZSCONTROL $1 --stats").success();
    let lines = parse(&text);
    let labels: Vec<_> = lines.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, LABELS);
    let values = numbers(&lines);
    assert_eq!(values["DiskSize"], devices[0].disksize / 1024);
    assert!(values["NumWrites"] > 16_384, "{text}");
    assert!(values["NumReads"] > 8_192, "{text}");
    for none in ["FailedReads", "FailedWrites"] {
        assert_eq!(values[none], 0, "{text}");
    }
    assert!((40..=95).contains(&values["GoodCompress"]), "{text}");
    assert!((5..=50).contains(&values["NoCompress"]), "{text}");
    assert!(values["PagesStored"] > 8_192, "{text}");
    assert_eq!(values["OrigDataSize"], values["PagesStored"] * 4, "{text}");
    assert!(values["ComprDataSize"] < values["OrigDataSize"], "{text}");
    assert!(
        values["ComprDataSize"] > values["OrigDataSize"] / 10,
        "{text}"
    );
    assert!(values["MemUsedTotal"] >= values["ComprDataSize"], "{text}");
    assert!(values["MemUsedTotal"] < values["OrigDataSize"], "{text}");
    let used = values["PagesUsed"] * 4;
    assert!(used.abs_diff(values["MemUsedTotal"]) < 4, "{text}");

    drop(hog);
    drop(group);
    let refused = shell(&bed, "$RZSCONTROL $1 --reset");
    assert_eq!(refused.code(), 1, "{refused}");
    refused.refused(&["swapped on"]);
    assert_eq!(
        shell(&bed, "swapoff $1 && $RZSCONTROL $1 --reset").success(),
        ""
    );
    let refused = shell(&bed, "$RZSCONTROL $1 --stats");
    assert_eq!(refused.code(), 1, "{refused}");
    refused.refused(&["not initialised"]);
    assert!(!swapped_on(&device));
    assert!(!device.exists());
    assert_eq!(bed.device(0).state, State::New);
    assert_eq!(bed.device(0).stats, Default::default());
    let pid = rustix::process::Pid::from_raw(daemon.pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    bed.assert_nothing_left();
    // A bed with a daemon of its own from here on works as before.
    bed.start(&[]);
}

/// `mkswap` on our device works as well as our ready header.
#[test]
fn mkswap_works_too() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let node = bed.node(0);
    let path = node.to_str().expect("UTF-8");
    bed.rzscontrol(&[path, "--disksize_kb=65536", "--init"])
        .success();
    let text = bed.rzscontrol(&[path, "--stats"]).success();
    assert!(text.starts_with("DiskSize:\t   65536 kB\n"), "{text}");
    let run = |program: &str, arguments: &[&str]| {
        Outcome::of(Command::new(program).args(arguments).arg(&node)).success()
    };
    let label = run("blkid", &["-p", "-o", "value", "-s", "TYPE"]);
    assert_eq!(label.trim(), "swap", "the ready header is a swap area's");
    run("mkswap", &["--label", "other"]);
    run("swapon", &["--priority", "7"]);
    assert_eq!(bed.device(0).swap.map(|swap| swap.priority), Some(7));
    run("swapoff", &[]);
    bed.rzscontrol(&[path, "--reset"]).success();
}

/// With a backing swap, `--stats` has four lines more.
#[test]
fn statistics_with_a_backing_swap() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let partition = LoopFile::swap(&bed.directory().join("partition"), 32 * MIB);
    let path = partition.device().to_str().expect("UTF-8");
    bed.rzscontrol(&["ramzswap0", "-b", path, "-m", "16384", "-i"])
        .success();
    let text = bed.rzscontrol(&["ramzswap0", "-s"]).success();
    let lines = parse(&text);
    let labels: Vec<_> = lines.iter().map(|(label, _)| label.as_str()).collect();
    let mut expected = vec!["BackingSwap", "DiskSize", "MemLimit"];
    expected.extend(&LABELS[1..]);
    expected.extend(["BDevNumReads", "BDevNumWrites"]);
    assert_eq!(labels, expected);
    assert_eq!(lines[0].1.trim(), path);
    let values = numbers(&lines);
    assert_eq!(values["DiskSize"], 32 * 1024);
    assert_eq!(values["MemLimit"], 16_384);
    bed.rzscontrol(&["ramzswap0", "-r"]).success();
}

/// The daemon takes the module parameters of the original for device 0.
#[test]
fn module_parameters_initialise_device_0() {
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&[
        "--num_devices=2",
        "--disksize_kb",
        "32768",
        "--codec=lzo",
        "-v",
    ]);
    let (_, devices) = bed.status();
    assert_eq!(devices[0].disksize, 32 * MIB);
    assert_eq!(devices[0].codec, "lzo");
    assert_eq!(devices[0].state, State::Ready);
    assert!(devices[0].block_device.is_some());
    assert_eq!(devices[1].state, State::New);
    assert!(devices[1].block_device.is_none());
    bed.stop();
    bed.assert_nothing_left();
}
