//! A program that changes files, so that tests can have several processes do that at once.
//!
//! ```text
//! append FILE COUNT TAG   appends so many lines that begin with the tag and a number
//! fcntl FILE COUNT        adds to the number in a file so many times, under a POSIX lock
//! flock FILE COUNT        likewise, under a lock of flock(2)
//! pages FILE COUNT TAG    writes so many whole pages, at random places in the first 64
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use compcache_tests::content::Page;
use compcache_tests::{PAGE, Random};
use rustix::fs::{FlockOperation, fcntl_lock, flock};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    let done = match arguments.as_slice() {
        ["append", file, count, tag] => append(file, number(count), tag),
        ["fcntl", file, count] => add(file, number(count), |file, how| Ok(fcntl_lock(file, how)?)),
        ["flock", file, count] => add(file, number(count), |file, how| Ok(flock(file, how)?)),
        ["pages", file, count, tag] => pages(file, number(count), number(tag)),
        _ => {
            eprintln!("usage: compcache-test-files append|fcntl|flock|pages FILE COUNT [TAG]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{arguments:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn append(path: &str, count: u64, tag: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    for line in 0..count {
        // Up to two pages, so that lines begin anywhere in a page.
        let filler = "-".repeat((line * 977 % 8000) as usize);
        let text = format!("{tag} {line} {filler}\n");
        let written = file.write(text.as_bytes())?;
        if written != text.len() {
            return Err(io::Error::other(format!(
                "{written} bytes of {}",
                text.len()
            )));
        }
    }
    Ok(())
}

fn add(
    path: &str,
    count: u64,
    lock: impl Fn(&File, FlockOperation) -> io::Result<()>,
) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    for _ in 0..count {
        lock(&file, FlockOperation::LockExclusive)?;
        let mut number = [0; 8];
        file.read_exact_at(&mut number, 0)?;
        let next = u64::from_ne_bytes(number) + 1;
        file.write_all_at(&next.to_ne_bytes(), 0)?;
        lock(&file, FlockOperation::Unlock)?;
    }
    Ok(())
}

fn pages(path: &str, count: u64, tag: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut random = Random::of(&[tag]);
    for number in 0..count {
        let page = Page::tagged(tag << 32 | number);
        file.write_all_at(page.bytes(), random.below(64) * PAGE)?;
    }
    Ok(())
}
