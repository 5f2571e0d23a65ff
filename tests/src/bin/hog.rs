//! A program that needs memory: it does what it is told on standard input, line by line, and
//! answers each line with `ok` or with what is wrong.
//!
//! ```text
//! fill     writes every page
//! change   checks every page and writes its next version
//! verify   checks every page
//! random   checks and changes as many pages as there are, in random order
//! ```

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use compcache_tests::content::{Kind, Page, WORDS};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, pages, seed] = arguments.as_slice() else {
        eprintln!("usage: compcache-test-hog KIND PAGES SEED");
        return ExitCode::from(2);
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|known| known.name() == kind)
        .expect("a kind of content");
    let mut hog = Hog {
        kind,
        seed: seed.parse().expect("a seed"),
        count: pages.parse().expect("a number of pages"),
        pages: Vec::new(),
        versions: Vec::new(),
    };
    for line in io::stdin().lock().lines() {
        let answer = match line.expect("standard input").as_str() {
            "fill" => hog.fill(),
            "change" => hog.each(0, 1, true),
            "verify" => hog.each(0, 1, false),
            // A prime that divides no number of pages in use goes through all in a far order.
            "random" => hog.each(hog.count / 3, 1_000_003, true),
            other => Err(format!("unknown command {other}")),
        };
        let answer = answer.err().unwrap_or_else(|| "ok".to_owned());
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")
            .and_then(|()| out.flush())
            .expect("standard output");
    }
    ExitCode::SUCCESS
}

struct Hog {
    kind: Kind,
    seed: u64,
    count: usize,
    pages: Vec<Page>,
    versions: Vec<u64>,
}

impl Hog {
    fn fill(&mut self) -> Result<(), String> {
        self.pages = Vec::with_capacity(self.count);
        self.versions = vec![0; self.count];
        let mut page = Page([0; WORDS]);
        for index in 0..self.count {
            self.kind.fill(&mut page, self.seed, index as u64, 0);
            self.pages.push(page.clone());
        }
        Ok(())
    }

    /// Checks every page, from `first` on in steps of `step`, and writes the next version.
    fn each(&mut self, first: usize, step: usize, change: bool) -> Result<(), String> {
        let mut expected = Page([0; WORDS]);
        for turn in 0..self.pages.len() {
            let index = (first + turn * step) % self.pages.len();
            let version = &mut self.versions[index];
            self.kind
                .fill(&mut expected, self.seed, index as u64, *version);
            if self.pages[index] != expected {
                return Err(format!("page {index} is not its version {version}"));
            }
            if change {
                *version += 1;
                self.kind
                    .fill(&mut self.pages[index], self.seed, index as u64, *version);
            }
        }
        Ok(())
    }
}
