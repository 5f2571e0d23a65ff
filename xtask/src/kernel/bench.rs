//! `cargo xtask kernel bench`: instructions of the driver and of zram, counted in one guest.
//!
//! Each set of pages has a guest of its own, in which `kernel/guest/bench/bench.sh` measures all
//! contenders. It says `BENCH SET.CONTENDER.KEY VALUE`; what is printed are ratios to zram's lz4.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::kernels::{DEFAULT, Kernels};
use super::values::{Values, split};
use super::{module, objects, pages, promises, test};
use crate::guest::{self, Counting, Machine, Ours, Outcome, Qemu, Script};
use crate::{command, workspace};

/// What is compared if nothing else is asked for.
const CONTENDERS: &str = "zram/lz4,zram/lzo-rle,ramzswap/lz4,ramzswap/lzo,ramzswap/wks:fast,\
    ramzswap/wks:balanced";

/// The contender that ratios are to.
const REFERENCE: &str = "zram-lz4";

/// The keys of what is measured, by the numbers of `mark` in `measure.c`; what lies between has none.
const PARTS: [&str; 12] = [
    "",
    "write",
    "read",
    "overwrite",
    "write32",
    "read32",
    "discard",
    "out",
    "in",
    "munmap",
    "exit",
    "touch",
];

#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    kernels: Kernels,

    /// DRIVER/CODEC[/PARAMETER=VALUE], separated by commas
    #[arg(long, value_name = "LIST", default_value = CONTENDERS)]
    contenders: String,

    /// The sets of pages to take: python, node, compiler, database [default: all]
    #[arg(long, value_name = "SET")]
    set: Vec<String>,

    /// device, cold, half, fault, touch, separated by commas [default: all]
    #[arg(long, value_name = "LIST")]
    parts: Option<String>,

    /// Counts instructions with a lock prefix instead, by a plugin of QEMU; each contender has a
    /// guest of its own
    #[arg(long)]
    locks: bool,

    /// Prints all values as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the bench.
///
/// # Errors
///
/// Something could not be fetched, built or started, or a guest failed.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    let state = bench.kernels.state()?;
    let qemu = Qemu::find(&state)?;
    let script = Script::read(&workspace::root().join("kernel/guest/bench/bench.sh"))?;
    let sets = pages::sets(&workspace::kernel_target().join("pages"), &bench.set)?;
    let objects = objects::build(&state)?;
    let mut values = Values::new();
    for release in bench.kernels.releases(&state, DEFAULT)? {
        let module = module::build(&state, &release, &objects)?;
        let image = test::image(&state, &release, Some(&module), Ours::Without)?;
        let out = workspace::kernel_target().join(&release.name).join("bench");
        fs::create_dir_all(&out)?;
        for (set, file) in &sets {
            let files = [(format!("pages/{set}.bin"), fs::read(file)?)];
            let initramfs = out.join("bench.cpio");
            guest::with_script(&image, &script, &files, &initramfs)?;
            for (contenders, counting) in bench.guests(&out)? {
                eprintln!("{}: {set}, {contenders}", release.name);
                let machine = bench.machine(&script, set, &contenders, counting.clone());
                let log = out.join(format!("{set}.log"));
                let result = qemu.boot(&machine, &image.kernel, &initramfs, &log, false)?;
                let outcome = Outcome::judge(&result.console, result.timed_out, &script.allowed);
                if !outcome.passed() {
                    bail!("{set}: {}; console: {}", outcome.reason(), log.display());
                }
                let prefix = format!("{}.", release.name);
                values.extend(values_in(&result.console).map(|(k, v)| (prefix.clone() + &k, v)));
                if bench.locks {
                    let name = format!("{prefix}{set}.{}", contenders.replace('/', "-"));
                    let counted = fs::read_to_string(out.join(COUNTS))?;
                    let locks = locks_in(&counted, &name, &values);
                    values.extend(locks);
                }
            }
        }
    }
    if bench.json {
        println!("{}", json(&values));
    } else {
        print!("{}{}", table(&values), promises::table(&values));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that the plugin writes.
const COUNTS: &str = "counts";

impl Bench {
    /// The contenders of each guest.
    fn guests(&self, out: &Path) -> Result<Vec<(String, Counting)>> {
        if !self.locks {
            return Ok(vec![(self.contenders.clone(), Counting::Clock)]);
        }
        let plugin = plugin(out)?;
        let counts = out.join(COUNTS);
        let counting = Counting::Plugin(format!("{},out={}", plugin.display(), counts.display()));
        let one = |contender: &str| (contender.to_string(), counting.clone());
        Ok(self.contenders.split(',').map(one).collect())
    }

    fn machine(&self, script: &Script, set: &str, contenders: &str, counting: Counting) -> Machine {
        let mut append = format!("bench.sets={set} bench.contenders={contenders}");
        if self.locks {
            // With one CPU the kernel would take the lock prefixes out of its own code and of that of
            // modules in C.
            append += " noreplace-smp";
        }
        // What the plugin counts besides must be of one measurement.
        let parts = self
            .parts
            .clone()
            .or_else(|| self.locks.then(|| "device,fault".into()));
        if let Some(parts) = parts {
            append += &format!(" bench.parts={parts}");
        }
        Machine {
            smp: 1,
            memory: script.memory,
            append,
            timeout: script.timeout.max(Duration::from_secs(3600)),
            counting: Some(counting),
        }
    }
}

/// Compiles the plugin.
fn plugin(out: &Path) -> Result<PathBuf> {
    let source = workspace::root().join("kernel/guest/bench/count.c");
    let plugin = out.join("count.so");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-shared", "-fPIC", "-o"])
        .arg(&plugin)
        .arg(&source);
    command::output(&mut gcc).context("cannot compile QEMU's plugin")?;
    Ok(plugin)
}

/// The `BENCH KEY VALUE` lines of a console.
fn values_in(console: &str) -> impl Iterator<Item = (String, f64)> {
    console.lines().filter_map(|line| {
        let mut words = line.trim().strip_prefix("BENCH ")?.split(' ');
        Some((words.next()?.to_string(), words.next()?.parse().ok()?))
    })
}

/// `part N instructions I modules M locked L locked-in-modules K`, for each page as values of a
/// contender, which has measured of how many pages each part was.
fn locks_in(text: &str, name: &str, measured: &Values) -> Values {
    let mut values = Values::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["part", number, counts @ ..] = words.as_slice() else {
            continue;
        };
        let part = number.parse().ok().and_then(|n: usize| PARTS.get(n));
        let Some(part) = part.filter(|part| !part.is_empty()) else {
            continue;
        };
        let Some(pages) = measured.get(&format!("{name}.{part}.count")) else {
            continue;
        };
        for count in counts
            .chunks_exact(2)
            .filter(|count| count[0].starts_with("locked"))
        {
            if let Ok(value) = count[1].parse::<f64>() {
                values.insert(format!("{name}.{part}.{}", count[0]), value / pages);
            }
        }
    }
    values
}

/// For each kernel and set: a line for each key, a column for each contender, as ratios to
/// [`REFERENCE`], whose column has the values.
fn table(values: &Values) -> String {
    // A key is RELEASE.SET.CONTENDER.KEY; a release has points, a contender has none.
    let mut groups: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, f64>>> = BTreeMap::new();
    let mut contenders: Vec<&str> = Vec::new();
    for (key, &value) in values {
        let Some((group, contender, key)) = split(key) else {
            continue;
        };
        groups
            .entry(group)
            .or_default()
            .entry(key)
            .or_default()
            .insert(contender, value);
        if contender != REFERENCE && !contenders.contains(&contender) {
            contenders.push(contender);
        }
    }
    let mut text = String::new();
    for (group, keys) in groups {
        text += &format!("{group}\n{:<28}{REFERENCE:>14}", "");
        contenders
            .iter()
            .for_each(|name| text += &format!("{name:>24}"));
        text.push('\n');
        for (key, row) in keys {
            let reference = row.get(REFERENCE).copied();
            // Locked operations are few to a page.
            let cell = |value: f64| match key.contains("locked") {
                true => format!("{value:.2}"),
                false => format!("{value:.0}"),
            };
            text += &format!(
                "{key:<28}{:>14}",
                reference.map_or_else(|| "-".into(), cell)
            );
            for name in &contenders {
                let cell = match (row.get(name), reference) {
                    (Some(value), Some(reference)) if reference != 0.0 => {
                        format!("{} {:.2}", cell(*value), value / reference)
                    }
                    (Some(value), _) => cell(*value),
                    (None, _) => "-".into(),
                };
                text += &format!("{cell:>24}");
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

fn json(values: &Values) -> String {
    let fields = values
        .iter()
        .map(|(key, value)| format!("  \"{key}\": {value}"));
    format!("{{\n{}\n}}", fields.collect::<Vec<_>>().join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_console() {
        let console = "BENCH python.zram-lz4.write 39874\r\nother\r\nBENCH a.b -\r\n";
        let values: Vec<_> = values_in(console).collect();
        assert_eq!(values, [("python.zram-lz4.write".to_string(), 39874.0)]);
    }

    #[test]
    fn a_table_has_ratios() {
        let values = Values::from([
            ("6.1.0-5-amd64.python.zram-lz4.write".into(), 40000.0),
            (
                "6.1.0-5-amd64.python.ramzswap-wks:fast.write".into(),
                24000.0,
            ),
        ]);
        let text = table(&values);
        assert!(text.contains("6.1.0-5-amd64.python\n"), "{text}");
        assert!(
            text.contains("24000 0.60") && text.contains("ramzswap-wks:fast"),
            "{text}"
        );
        assert!(json(&values).contains("\"6.1.0-5-amd64.python.zram-lz4.write\": 40000"));
    }

    #[test]
    fn counts_of_the_plugin_are_of_each_page() {
        let counts = "part 0 instructions 9 modules 9 locked 9 locked-in-modules 9\n\
                      part 1 instructions 900 modules 90 locked 25 locked-in-modules 20\n\
                      part 2 instructions 100 modules 10 locked 28 locked-in-modules 5\n";
        let measured = Values::from([("python.zram-lz4.write.count".into(), 10.0)]);
        let values = locks_in(counts, "python.zram-lz4", &measured);
        assert_eq!(values["python.zram-lz4.write.locked"], 2.5);
        assert_eq!(values["python.zram-lz4.write.locked-in-modules"], 2.0);
        assert_eq!(values.len(), 2);
    }
}
