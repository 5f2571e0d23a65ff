//! How `swap` is printed.

use std::io::{self, Write};

use serde::Serialize;

use super::comparison;
use super::light::Light;
use super::row::{Row, entry, fault_entry};
use super::same_memory::SameMemory;
use crate::load::memory::Phase;
use crate::report::Report;
use crate::table::{self, short};

/// The rows, and what they are compared with.
#[derive(Debug, Serialize)]
pub(crate) struct SwapReport {
    /// Bytes that all processes together have.
    pub(crate) bytes: u64,
    /// Bytes that they may hold in memory.
    pub(crate) limit: u64,
    /// The peers that the tables compare with.
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
}

fn print_rows(
    out: &mut dyn Write,
    title: &str,
    rows: &[&Row],
    references: &[String],
) -> io::Result<()> {
    print_times(out, title, rows)?;
    print_costs(out, rows)?;
    for reference in references {
        if rows.iter().any(|row| row.area == *reference) {
            print_ratios(out, rows, reference)?;
        }
    }
    Ok(())
}

/// A table after a blank line.
fn print_table<'a>(
    out: &mut dyn Write,
    title: &'a str,
    headings: &[&str],
    rows: impl IntoIterator<Item = (&'a str, Vec<String>)>,
) -> io::Result<()> {
    writeln!(out)?;
    table::print(out, title, headings, rows)
}

fn print_times(out: &mut dyn Write, title: &str, rows: &[&Row]) -> io::Result<()> {
    let mut headings = vec!["total s"];
    headings.extend(Phase::ALL.map(Phase::name));
    headings.extend(["faults", "p50 us", "p99", "p99.9"]);
    let cells = |row: &&'_ Row| {
        let mut cells = vec![short(row.total_s)];
        cells.extend(row.phases.iter().map(|&(_, seconds)| short(seconds)));
        cells.push(format!("{:.0}", row.faults));
        cells.extend(row.fault_us.map(short));
        cells
    };
    let rows = rows.iter().map(|row| (row.area.as_str(), cells(row)));
    print_table(out, title, &headings, rows)
}

/// A value of those that swap.
fn if_swapped(row: &Row, value: String) -> String {
    if row.swapped_gib > 0.0 {
        value
    } else {
        "-".into()
    }
}

fn print_costs(out: &mut dyn Write, rows: &[&Row]) -> io::Result<()> {
    let headings = [
        "CPU s", "process", "daemon", "kernel", "others", "s/GiB", "held MiB", "pool MiB",
        "all MiB",
    ];
    let cells = |row: &&'_ Row| {
        let mut cells = vec![short(row.cpu_s.iter().sum())];
        cells.extend(row.cpu_s.map(short));
        cells.push(short(row.others_cpu_s));
        cells.push(if_swapped(row, short(row.cpu_s_per_gib)));
        cells.extend([row.held_bytes, row.pool_bytes, row.all_bytes].map(mib));
        cells
    };
    let rows = rows.iter().map(|row| (row.area.as_str(), cells(row)));
    print_table(out, "", &headings, rows)
}

fn print_ratios(out: &mut dyn Write, rows: &[&Row], reference: &str) -> io::Result<()> {
    let headings = [
        "total",
        "pages/s",
        "p50",
        "p99",
        "p99.9",
        "CPU s",
        "CPU s/GiB",
        "pool",
        "pool/held",
        "all",
    ];
    let cells = |row: &&'_ Row| {
        let of = |list| short(entry(list, reference));
        let has_pool = |ratio| {
            if row.pool_bytes > 0.0 {
                ratio
            } else {
                "-".into()
            }
        };
        let [p50, p99, p999] = fault_entry(row, reference).map(short);
        vec![
            of(&row.total_to),
            of(&row.throughput_to),
            p50,
            p99,
            p999,
            of(&row.cpu_to),
            if_swapped(row, of(&row.cpu_s_per_gib_to)),
            has_pool(of(&row.pool_to)),
            has_pool(of(&row.pool_per_byte_to)),
            of(&row.all_to),
        ]
    };
    let rows = rows.iter().map(|row| (row.area.as_str(), cells(row)));
    print_table(out, &format!("x {reference}"), &headings, rows)
}

fn print_same_memory(out: &mut dyn Write, same: &SameMemory) -> io::Result<()> {
    let headings = [
        "limit MiB",
        "all MiB",
        "x",
        "total s",
        "x",
        "p50 x",
        "p99 x",
        "p99.9 x",
        "CPU s x",
    ];
    let cells = |row: &Row| {
        let of = |list| short(entry(list, &same.peer));
        let [p50, p99, p999] = fault_entry(row, &same.peer).map(short);
        vec![
            mib(row.limit as f64),
            mib(row.all_bytes),
            of(&row.all_to),
            short(row.total_s),
            of(&row.total_to),
            p50,
            p99,
            p999,
            of(&row.cpu_to),
        ]
    };
    let rows = same.rows.iter().map(|row| (row.area.as_str(), cells(row)));
    print_table(out, &format!("memory of {}", same.peer), &headings, rows)?;
    writeln!(
        out,
        "(ours under the limit with which they take as much memory in all as {} took under its own;\n \
         if x is not within {:.0} % of 1, no limit was found)",
        same.peer,
        super::search::TOLERANCE * 100.0
    )
}

fn print_light(out: &mut dyn Write, light: &[Light]) -> io::Result<()> {
    let headings = [
        "total s",
        "x none",
        "quartiles",
        "CPU s x",
        "daemon s",
        "swapped",
    ];
    let cells = |row: &Light| {
        let [first, third] = row.quartiles;
        vec![
            short(row.total_s),
            format!("{:.3}", row.slowdown),
            format!("{first:.3} - {third:.3}"),
            format!("{:.3}", row.cpu),
            format!("{:.3}", row.daemon_cpu_s),
            format!("{:.0}", row.pages_swapped),
        ]
    };
    let rows = light.iter().map(|row| (row.area.as_str(), cells(row)));
    print_table(out, "all pages fit", &headings, rows)
}
