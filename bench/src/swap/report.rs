//! How `swap` is printed and drawn.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::comparison;
use super::light::Light;
use super::row::{Row, To, entry, fault_entry};
use super::same_memory::SameMemory;
use crate::load::memory::Phase;
use crate::plot::{self, Named, Titles};
use crate::report::Report;
use crate::table::{Table, short};

/// The rows, and what they are compared with.
#[derive(Debug, Serialize)]
pub(crate) struct SwapReport {
    /// Bytes that all processes together have.
    pub(crate) bytes: u64,
    /// Bytes that they may hold in memory.
    pub(crate) limit: u64,
    pub(crate) references: Vec<String>,
    /// The rows, all of them under the same limit.
    pub(crate) rows: Vec<Row>,
    /// The first reference and ours with the same memory in all.
    pub(crate) same_memory: Option<SameMemory>,
    /// Ours and the first reference beside no swap, if all pages fit.
    pub(crate) light: Vec<Light>,
}

/// Bytes in MiB; nothing for none.
fn mib(bytes: f64) -> String {
    match bytes {
        0.0 => "-".into(),
        bytes => format!("{:.1}", bytes / f64::from(1 << 20)),
    }
}

impl Report for SwapReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} MiB of pages, {} MiB of memory",
            self.bytes >> 20,
            self.limit >> 20,
        )?;
        let mut processes: Vec<usize> = self.rows.iter().map(|row| row.processes).collect();
        processes.dedup();
        for processes in processes {
            let rows = self.rows.iter().filter(|row| row.processes == processes);
            let (rows, title) = (rows.collect::<Vec<_>>(), comparison::processes(processes));
            print_rows(out, &title, &rows, &self.references)?;
        }
        if let Some(same) = &self.same_memory {
            print_same_memory(out, same)?;
        }
        if !self.light.is_empty() {
            print_light(out, &self.light)?;
        }
        writeln!(
            out,
            "\n(medians of the rounds; x: divided by the peer's in the same round; faults: those of\n \
             uniform and skewed that read from the area, us; CPU s: processes + daemon + kernel\n \
             threads; others: everything else that ran meanwhile; MiB after skewed: held, the pages\n \
             that the area holds; pool, these compressed; all memory, with the processes' own)"
        )
    }

    fn plot(&self, directory: &Path) -> Result<()> {
        let first = self.rows.first().map(|row| row.processes);
        let rows = || self.rows.iter().filter(|row| Some(row.processes) == first);
        let reference = self.references.first().map_or("", String::as_str);
        let (bytes, limit) = (self.bytes >> 20, self.limit >> 20);
        let title = format!("{bytes} MiB of pages in {limit} MiB of memory: total time");
        totals(&directory.join("swap-total.svg"), &title, reference, rows())?;
        if let Some(same) = &self.same_memory {
            let path = directory.join("swap-same-memory.svg");
            let title = "The same memory in all: total time";
            totals(&path, title, &same.peer, same.rows.iter())?;
        }
        let swapping = rows().filter(|row| row.faults > 0.0);
        let ranges =
            swapping.map(|row| Named::new(&row.area, row.ours, [row.fault_us[0], row.fault_us[1]]));
        plot::ranges(
            &directory.join("swap-faults.svg"),
            &Titles {
                title: "Time of a fault: p50 (dot) and p99 (bar)",
                x: "microseconds: less is better",
                y: "",
            },
            &ranges.collect::<Vec<_>>(),
        )
    }
}

fn print_rows(
    out: &mut dyn Write,
    title: &str,
    rows: &[&Row],
    references: &[String],
) -> io::Result<()> {
    let rows = || rows.iter().copied();
    let names = Phase::ALL.map(Phase::name);
    let mut times = table().column("total s", |row| short(row.total_s));
    for (at, name) in names.iter().enumerate() {
        times = times.column(name, move |row| short(row.phases[at].1));
    }
    times = times.column("faults", |row| format!("{:.0}", row.faults));
    for (at, quantile) in QUANTILES.into_iter().enumerate() {
        times = times.column(quantile, move |row| short(row.fault_us[at]));
    }
    writeln!(out)?;
    times.print(out, title, rows())?;

    writeln!(out)?;
    table()
        .column("CPU s", |row| short(row.cpu_s.iter().sum()))
        .column("process", |row| short(row.cpu_s[0]))
        .column("daemon", |row| short(row.cpu_s[1]))
        .column("kernel", |row| short(row.cpu_s[2]))
        .column("others", |row| short(row.others_cpu_s))
        .column("s/GiB", |row| if_any(row.swapped_gib, row.cpu_s_per_gib))
        .column("held MiB", |row| mib(row.held_bytes))
        .column("pool MiB", |row| mib(row.pool_bytes))
        .column("all MiB", |row| mib(row.all_bytes))
        .print(out, "", rows())?;

    for reference in references {
        if rows().any(|row| row.area == *reference) {
            print_ratios(out, rows(), reference)?;
        }
    }
    Ok(())
}

const QUANTILES: [&str; 3] = ["p50 us", "p99", "p99.9"];

fn table<'a>() -> Table<'a, Row> {
    Table::new(|row: &Row| row.area.clone())
}

/// A value of those that have any of something.
fn if_any(something: f64, value: f64) -> String {
    short(if something > 0.0 { value } else { f64::NAN })
}

fn print_ratios<'a>(
    out: &mut dyn Write,
    rows: impl Iterator<Item = &'a Row>,
    reference: &str,
) -> io::Result<()> {
    let of = |list: &To| short(entry(list, reference));
    let fault = |row: &Row, quantile: usize| short(fault_entry(row, reference)[quantile]);
    let of_pool = |row: &Row, list: &To| if_any(row.pool_bytes, entry(list, reference));
    writeln!(out)?;
    table()
        .column("total", |row| of(&row.total_to))
        .column("pages/s", |row| of(&row.throughput_to))
        .column("p50", |row| fault(row, 0))
        .column("p99", |row| fault(row, 1))
        .column("p99.9", |row| fault(row, 2))
        .column("CPU s", |row| of(&row.cpu_to))
        .column("CPU s/GiB", |row| {
            if_any(row.swapped_gib, entry(&row.cpu_s_per_gib_to, reference))
        })
        .column("pool", |row| of_pool(row, &row.pool_to))
        .column("pool/held", |row| of_pool(row, &row.pool_per_byte_to))
        .column("all", |row| of(&row.all_to))
        .print(out, &format!("x {reference}"), rows)
}

fn print_same_memory(out: &mut dyn Write, same: &SameMemory) -> io::Result<()> {
    let of = |list: &To| short(entry(list, &same.peer));
    let fault = |row: &Row, quantile: usize| short(fault_entry(row, &same.peer)[quantile]);
    writeln!(out)?;
    table()
        .column("limit MiB", |row| mib(row.limit as f64))
        .column("all MiB", |row| mib(row.all_bytes))
        .column("x", |row| of(&row.all_to))
        .column("total s", |row| short(row.total_s))
        .column("x", |row| of(&row.total_to))
        .column("p50 x", |row| fault(row, 0))
        .column("p99 x", |row| fault(row, 1))
        .column("p99.9 x", |row| fault(row, 2))
        .column("CPU s x", |row| of(&row.cpu_to))
        .print(out, &format!("memory of {}", same.peer), &same.rows)?;
    writeln!(
        out,
        "(ours under the limit with which they take as much memory in all as {} took under its own;\n \
         if x is not within {:.0} % of 1, no limit was found)",
        same.peer,
        super::search::TOLERANCE * 100.0
    )
}

fn print_light(out: &mut dyn Write, light: &[Light]) -> io::Result<()> {
    let quartiles = |row: &Light| row.quartiles.map(|q| format!("{q:.3}")).join(" - ");
    writeln!(out)?;
    Table::new(|row: &Light| row.area.clone())
        .column("total s", |row| short(row.total_s))
        .column("x none", |row| format!("{:.3}", row.slowdown))
        .column("quartiles", quartiles)
        .column("CPU s x", |row| format!("{:.3}", row.cpu))
        .column("daemon s", |row| format!("{:.3}", row.daemon_cpu_s))
        .column("swapped", |row| format!("{:.0}", row.pages_swapped))
        .print(out, "all pages fit", light)
}

fn totals<'a>(
    path: &Path,
    title: &str,
    peer: &str,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<()> {
    let titles = Titles {
        title,
        x: &format!("total time / {peer}'s: less is better"),
        y: "",
    };
    let bars = rows.map(|row| Named::new(&row.area, row.ours, [entry(&row.total_to, peer)]));
    plot::bars(path, &titles, &bars.collect::<Vec<_>>())
}
