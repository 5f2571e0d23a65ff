//! The demo's built-in program: fills memory, changes and touches every page, and checks each.
//!
//! It runs as a process of its own (`compcache hog`, hidden) and tells its parent how far it is in
//! lines of JSON, each one a [`Report`], on standard output.

pub(crate) mod content;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use compcache_random::Random;
use content::{Content, PAGE_SIZE, Page};

/// Time between two reports of progress.
const PERIOD: Duration = Duration::from_millis(100);

/// What the program does one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Fills every page.
    Fill,
    /// Goes through all pages in order, checks and changes each.
    Sweep,
    /// Checks and changes as many pages at random, three of four in a quarter of the memory.
    Touch,
    /// Checks every page.
    Verify,
}

impl Phase {
    /// All of them in order.
    pub(crate) const ALL: [Phase; 4] = [Phase::Fill, Phase::Sweep, Phase::Touch, Phase::Verify];

    /// What the user sees while it lasts.
    #[must_use]
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Phase::Fill => "filling",
            Phase::Sweep => "sweeping",
            Phase::Touch => "touching",
            Phase::Verify => "verifying",
        }
    }
}

/// A line that the program writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "lowercase")]
pub(crate) enum Report {
    /// So far in this phase.
    Progress {
        /// The phase.
        phase: Phase,
        /// Pages done in it.
        done: u64,
        /// Pages to do in it.
        total: u64,
    },
    /// A page held something else than what was written to it. The last line.
    Bad {
        /// The page's number.
        page: u64,
    },
    /// Every page was checked. The last line.
    Done {
        /// Pages of memory, each of which was checked at least once.
        pages: u64,
        /// Seconds since the start.
        seconds: f64,
    },
}

/// Runs the program over `bytes` of memory, rounded down to pages. Gives whether every page held
/// what was written to it.
///
/// # Errors
/// Those of writing to `out`, and of memory that can't be reserved.
pub(crate) fn run(bytes: u64, seed: u64, out: &mut dyn Write) -> io::Result<bool> {
    let start = Instant::now();
    let mut hog = Hog::new(bytes, seed)?;
    for phase in Phase::ALL {
        let mut last = Instant::now();
        let total = hog.total;
        for done in 0..total {
            if let Err(page) = hog.step(phase, done) {
                write_line(out, &Report::Bad { page })?;
                return Ok(false);
            }
            if last.elapsed() >= PERIOD {
                last = Instant::now();
                write_line(
                    out,
                    &Report::Progress {
                        phase,
                        done: done + 1,
                        total,
                    },
                )?;
            }
        }
        write_line(
            out,
            &Report::Progress {
                phase,
                done: total,
                total,
            },
        )?;
    }
    let seconds = start.elapsed().as_secs_f64();
    write_line(
        out,
        &Report::Done {
            pages: hog.total,
            seconds,
        },
    )?;
    Ok(true)
}

fn write_line(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// The program's memory.
struct Hog {
    content: Content,
    pages: Vec<Page>,
    /// How often each page was changed.
    versions: Vec<u32>,
    total: u64,
    random: Random,
    /// What a page should hold.
    expected: Box<Page>,
}

impl Hog {
    fn new(bytes: u64, seed: u64) -> io::Result<Self> {
        let total = bytes / PAGE_SIZE as u64;
        let count = usize::try_from(total).map_err(io::Error::other)?;
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).map_err(io::Error::other)?;
        Ok(Hog {
            content: Content::new(seed),
            pages,
            versions: vec![0; count],
            total,
            random: Random::new(!seed),
            expected: Box::new(Page([0; _])),
        })
    }

    /// Does page number `done` of a phase. Fails with the number of a page that is not what it
    /// should be.
    fn step(&mut self, phase: Phase, done: u64) -> Result<(), u64> {
        match phase {
            Phase::Fill => {
                self.content.write(&mut self.expected, done, 0);
                self.pages.push((*self.expected).clone());
                Ok(())
            }
            Phase::Sweep => {
                self.check(done)?;
                self.change(done);
                Ok(())
            }
            Phase::Touch => {
                let hot = if self.random.below(4) < 3 {
                    self.total.div_ceil(4)
                } else {
                    self.total
                };
                let index = self.random.below(hot);
                self.check(index)?;
                self.change(index);
                Ok(())
            }
            Phase::Verify => self.check(done),
        }
    }

    fn check(&mut self, index: u64) -> Result<(), u64> {
        let at = index as usize;
        self.content
            .write(&mut self.expected, index, self.versions[at]);
        if self.pages[at] == *self.expected {
            Ok(())
        } else {
            Err(index)
        }
    }

    fn change(&mut self, index: u64) {
        let at = index as usize;
        self.versions[at] += 1;
        self.content
            .change(&mut self.pages[at], index, self.versions[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(out: &[u8]) -> Vec<Report> {
        let text = std::str::from_utf8(out).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn all_phases_run_and_every_page_is_checked() {
        let mut out = Vec::new();
        assert!(run(1 << 20, 3, &mut out).unwrap());
        let reports = reports(&out);
        let finished: Vec<_> = reports
            .iter()
            .filter_map(|report| match report {
                Report::Progress { phase, done, total } if done == total => Some(*phase),
                _ => None,
            })
            .collect();
        assert_eq!(finished, Phase::ALL);
        assert!(matches!(
            reports.last(),
            Some(Report::Done { pages: 256, .. })
        ));
    }

    #[test]
    fn a_changed_bit_is_found() {
        let mut hog = Hog::new(1 << 20, 9).unwrap();
        for index in 0..hog.total {
            hog.step(Phase::Fill, index).unwrap();
        }
        for index in 0..hog.total {
            hog.step(Phase::Sweep, index).unwrap();
        }
        hog.pages[77].0[500] ^= 1 << 40;
        assert_eq!(
            (0..hog.total).find_map(|index| hog.step(Phase::Verify, index).err()),
            Some(77)
        );
    }

    #[test]
    fn swapped_pages_are_found() {
        let mut hog = Hog::new(1 << 20, 9).unwrap();
        for index in 0..hog.total {
            hog.step(Phase::Fill, index).unwrap();
        }
        hog.pages.swap(10, 20);
        assert!((0..hog.total).any(|index| hog.step(Phase::Verify, index).is_err()));
    }

    #[test]
    fn a_closed_pipe_ends_it() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(run(1 << 20, 3, &mut Closed).is_err());
    }
}
