//! What the demo has shown, as a table.

use compcached::size::human;
use std::fmt;

use crate::cgroup::Counted;
use crate::lease::Sample;

/// The numbers of both runs. Sizes in bytes, times in seconds.
pub(super) struct Summary {
    /// Memory that the program needed.
    pub(super) size: u64,
    /// Memory that it got.
    pub(super) limit: u64,
    /// Pages that it verified.
    pub(super) pages: u64,
    /// Time with enough memory.
    pub(super) enough: f64,
    /// Time with the limit.
    pub(super) limited: f64,
    /// What its cgroup used.
    pub(super) usage: Counted,
    /// The device at its fullest.
    pub(super) peak: Sample,
    /// Pages read from the device.
    pub(super) read: u64,
    /// Pages written to the device.
    pub(super) written: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak = &self.peak;
        let rate = |pages: u64| {
            let bytes = pages * 4096;
            format!(
                "{} ({}/s)",
                human(bytes),
                human((bytes as f64 / self.limited) as u64)
            )
        };
        let memory = self
            .usage
            .memory_peak
            .map_or_else(|| human(self.limit), human);
        writeln!(
            f,
            "Verified: each of {} pages held what was written to it.\n",
            self.pages
        )?;
        writeln!(f, "{:<24}{:>14}{:>14}", "", "enough memory", "compressed")?;
        row(
            f,
            "time",
            &format!("{:.2} s", self.enough),
            &format!("{:.2} s", self.limited),
        )?;
        row(
            f,
            "time, as a ratio",
            "1.00",
            &format!("{:.2}", self.limited / self.enough),
        )?;
        row(f, "memory of the program", &human(self.size), &memory)?;
        row(f, "memory of the device", "-", &human(peak.memory))?;
        let both = self.usage.memory_peak.unwrap_or(self.limit) + peak.memory;
        row(f, "memory in all", &human(self.size), &human(both))?;
        writeln!(f, "\nThe device at its fullest:")?;
        line(f, "original", &human(peak.original()))?;
        line(f, "compressed", &human(peak.compressed))?;
        line(f, "memory used", &human(peak.memory))?;
        let ratio = peak
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        line(f, "ratio", &ratio)?;
        line(f, "swapped out", &rate(self.written))?;
        line(f, "swapped in", &rate(self.read))
    }
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, enough: &str, limited: &str) -> fmt::Result {
    writeln!(f, "  {label:<22}{enough:>14}{limited:>14}")
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {label:<22}{value:>14}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let summary = Summary {
            size: 512 << 20,
            limit: 256 << 20,
            pages: 131_072,
            enough: 2.0,
            limited: 5.0,
            usage: Counted {
                memory_peak: Some(256 << 20),
                ..Counted::default()
            },
            peak: Sample {
                pages: 65_536,
                compressed: 80 << 20,
                memory: 84 << 20,
            },
            read: 128_000,
            written: 256_000,
        };
        let expected = "\
Verified: each of 131072 pages held what was written to it.

                         enough memory    compressed
  time                          2.00 s        5.00 s
  time, as a ratio                1.00          2.50
  memory of the program           512M          256M
  memory of the device               -           84M
  memory in all                   512M          340M

The device at its fullest:
  original                        256M
  compressed                       80M
  memory used                      84M
  ratio                           3.20
  swapped out           1000M (200M/s)
  swapped in             500M (100M/s)
";
        assert_eq!(summary.to_string(), expected);
    }
}
