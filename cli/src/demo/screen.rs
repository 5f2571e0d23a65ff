//! What the user sees while the demo runs: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use compcache_host::printable::Printable;
use compcached::size::human;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::hog::{Phase, Report};
use crate::lease::Sample;

/// Time between two lines if there is no terminal.
const PERIOD: Duration = Duration::from_secs(2);

/// Shows progress on standard error.
pub(super) struct Screen {
    bars: Option<Bars>,
    /// The phase that was shown last.
    phase: Option<Phase>,
    /// When a line was written last.
    last: Instant,
    /// What is known of the device, for the next line.
    device: String,
}

struct Bars {
    program: ProgressBar,
    device: ProgressBar,
}

impl Screen {
    pub(super) fn new() -> Self {
        Screen {
            bars: None,
            phase: None,
            last: Instant::now(),
            device: String::new(),
        }
    }

    /// A line of text that stays, and what follows is below it.
    pub(super) fn start(&mut self, text: &str) {
        self.phase = None;
        self.device.clear();
        eprintln!("{}", Printable(text));
        self.bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            Bars {
                program: all.add(bar("{prefix:>10} [{bar:32}] {percent:>3}%  {msg}")),
                device: all.add(bar("{prefix:>10} [{bar:32.cyan}] {msg}")),
            }
        });
    }

    /// How far the program is.
    pub(super) fn progress(&mut self, report: &Report) {
        let Report::Progress { phase, done, total } = report else {
            return;
        };
        let is_new = self.phase.replace(*phase) != Some(*phase);
        if let Some(bars) = &self.bars {
            bars.program.set_prefix(phase.label());
            bars.program.set_length(*total);
            bars.program.set_position(*done);
        } else if is_new || self.last.elapsed() >= PERIOD {
            self.last = Instant::now();
            let percent = done * 100 / (*total).max(1);
            eprintln!("{:>10} {percent:>3}%{}", phase.label(), self.device);
        }
    }

    /// What the device holds; `expected` bytes of pages fill its bar.
    pub(super) fn device(&mut self, sample: &Sample, memory: Option<u64>, expected: u64) {
        let original = sample.original();
        let ratio = sample
            .ratio()
            .map_or_else(String::new, |ratio| format!(", ratio {ratio:.2}"));
        let text = format!(
            "{} held in {}{ratio}",
            human(original),
            human(sample.memory)
        );
        match &self.bars {
            Some(bars) => {
                if let Some(memory) = memory {
                    bars.program
                        .set_message(format!("{} of memory", human(memory)));
                }
                bars.device.set_prefix("device");
                bars.device.set_length(expected.max(original));
                bars.device.set_position(original);
                bars.device.set_message(text);
            }
            None => self.device = format!("  device: {text}"),
        }
    }

    /// The program has ended: takes the bars away.
    pub(super) fn finish(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.program.finish_and_clear();
            bars.device.finish_and_clear();
        }
    }
}

fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::no_length().with_style(style)
}
