//! How `swap` is printed.

use std::io::{self, Write};

use serde::Serialize;

use super::contest;
use super::light::Light;
use super::row::{Row, entry, fault_entry};
use super::same_memory::SameMemory;
use super::toucher::Phase;
use crate::report::{Report, short};

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
    /// Ours and the first reference beside no swap, where all pages fit.
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
            let rows: Vec<&Row> = self
                .rows
                .iter()
                .filter(|row| row.processes == processes)
                .collect();
            print_rows(out, &contest::processes(processes), &rows, &self.references)?;
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

fn print_times(out: &mut dyn Write, title: &str, rows: &[&Row]) -> io::Result<()> {
    write!(out, "\n{title:<25} {:>7}", "total s")?;
    for phase in Phase::ALL {
        write!(out, " {:>7}", phase.name())?;
    }
    writeln!(
        out,
        " {:>8} {:>7} {:>7} {:>7}",
        "faults", "p50 us", "p99", "p99.9"
    )?;
    for row in rows {
        write!(out, "{:<25} {:>7}", row.area, short(row.total_s))?;
        for (_, seconds) in &row.phases {
            write!(out, " {:>7}", short(*seconds))?;
        }
        let [p50, p99, p999] = row.fault_us.map(short);
        writeln!(out, " {:>8.0} {p50:>7} {p99:>7} {p999:>7}", row.faults)?;
    }
    Ok(())
}

fn print_costs(out: &mut dyn Write, rows: &[&Row]) -> io::Result<()> {
    writeln!(
        out,
        "\n{:<25} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "",
        "CPU s",
        "process",
        "daemon",
        "kernel",
        "others",
        "s/GiB",
        "held MiB",
        "pool MiB",
        "all MiB"
    )?;
    for row in rows {
        let [process, daemon, kernel] = row.cpu_s.map(short);
        writeln!(
            out,
            "{:<25} {:>7} {process:>8} {daemon:>7} {kernel:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
            row.area,
            short(row.cpu_s.iter().sum()),
            short(row.others_cpu_s),
            if row.swapped_gib > 0.0 {
                short(row.cpu_s_per_gib)
            } else {
                "-".into()
            },
            mib(row.held_bytes),
            mib(row.pool_bytes),
            mib(row.all_bytes),
        )?;
    }
    Ok(())
}

fn print_ratios(out: &mut dyn Write, rows: &[&Row], reference: &str) -> io::Result<()> {
    let title = format!("x {reference}");
    writeln!(
        out,
        "\n{title:<25} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7} {:>9} {:>8} {:>8} {:>8}",
        "total", "pages/s", "p50", "p99", "p99.9", "CPU s", "CPU s/GiB", "pool", "pool/held", "all"
    )?;
    for row in rows {
        let of = |list| short(entry(list, reference));
        let [p50, p99, p999] = fault_entry(row, reference).map(short);
        let swaps = |ratio: String| {
            if row.pool_bytes > 0.0 {
                ratio
            } else {
                "-".into()
            }
        };
        writeln!(
            out,
            "{:<25} {:>7} {:>8} {p50:>7} {p99:>7} {p999:>7} {:>7} {:>9} {:>8} {:>8} {:>8}",
            row.area,
            of(&row.total_to),
            of(&row.throughput_to),
            of(&row.cpu_to),
            if row.swapped_gib > 0.0 {
                of(&row.cpu_s_per_gib_to)
            } else {
                "-".into()
            },
            swaps(of(&row.pool_to)),
            swaps(of(&row.pool_per_byte_to)),
            of(&row.all_to),
        )?;
    }
    Ok(())
}

fn print_same_memory(out: &mut dyn Write, same: &SameMemory) -> io::Result<()> {
    let title = format!("memory of {}", same.peer);
    writeln!(
        out,
        "\n{title:<25} {:>9} {:>8} {:>6} {:>8} {:>6} {:>7} {:>7} {:>7} {:>9}",
        "limit MiB", "all MiB", "x", "total s", "x", "p50 x", "p99 x", "p99.9 x", "CPU s x"
    )?;
    for row in &same.rows {
        let of = |list| short(entry(list, &same.peer));
        let [p50, p99, p999] = fault_entry(row, &same.peer).map(short);
        writeln!(
            out,
            "{:<25} {:>9} {:>8} {:>6} {:>8} {:>6} {p50:>7} {p99:>7} {p999:>7} {:>9}",
            row.area,
            mib(row.limit as f64),
            mib(row.all_bytes),
            of(&row.all_to),
            short(row.total_s),
            of(&row.total_to),
            of(&row.cpu_to),
        )?;
    }
    writeln!(
        out,
        "(ours under the limit with which they take as much memory in all as {} took under its own;\n \
         where x is not within {:.0} % of 1, no limit was found)",
        same.peer,
        super::search::TOLERANCE * 100.0
    )
}

fn print_light(out: &mut dyn Write, light: &[Light]) -> io::Result<()> {
    writeln!(
        out,
        "\n{:<25} {:>8} {:>8} {:>15} {:>9} {:>9} {:>8}",
        "all pages fit", "total s", "x none", "quartiles", "CPU s x", "daemon s", "swapped"
    )?;
    for row in light {
        let [first, third] = row.quartiles;
        writeln!(
            out,
            "{:<25} {:>8} {:>8.3} {:>15} {:>9.3} {:>9.3} {:>8.0}",
            row.area,
            short(row.total_s),
            row.slowdown,
            format!("{first:.3} - {third:.3}"),
            row.cpu,
            row.daemon_cpu_s,
            row.pages_swapped,
        )?;
    }
    Ok(())
}
