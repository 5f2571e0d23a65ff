//! Programs whose memory is worth measuring: each is started, filled, read and ended.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use compcache_engine::page::{PAGE_SIZE, Page};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::capture::{self, Kind, Source};

/// Builds records as a web service would hold them, says so, and waits.
const PYTHON: &str = r#"
import random, sys
random.seed(7)
words = "page swap memory chunk frame slot device codec pool kernel".split()
people = {}
for i in range(60000):
    people[f"user{i:06}"] = {
        "id": i, "score": random.random(), "visits": random.randrange(1000),
        "tags": random.sample(words, 3), "address": f"{random.randrange(256)}.{i % 256}.0.1",
    }
graph = [[random.randrange(60000) for _ in range(8)] for _ in range(60000)]
print("ready", flush=True)
sys.stdin.read()
"#;

/// Fills a database that SQLite keeps in memory, says so, and waits.
const SQLITE: &str = r#"
import random, sqlite3, sys
random.seed(11)
words = "page swap memory chunk frame slot device codec pool kernel".split()
db = sqlite3.connect(":memory:")
db.execute("create table item (id integer primary key, name text, price real, stock int, note text)")
db.executemany("insert into item values (?, ?, ?, ?, ?)", (
    (i, f"{random.choice(words)} {i}", random.randrange(10**6) / 100, random.randrange(500),
     " ".join(random.choices(words, k=random.randrange(3, 20)))) for i in range(120000)))
db.execute("create index by_name on item (name)")
db.commit()
print("ready", flush=True)
sys.stdin.read()
"#;

/// Counts words into a hash of arrays, says so, and waits.
const PERL: &str = r#"
$| = 1; srand(13);
my %seen;
for my $i (0..120000) {
    my $word = join "", map { chr(97 + int rand 26) } 1..(3 + int rand 8);
    push @{$seen{$word}}, $i, rand();
}
print "ready\n";
<STDIN>;
"#;

/// How much a compiler holds when it is stopped, MiB.
const COMPILER_MIB: u64 = 64;

/// How often a compiler's size is looked at, ms.
const LOOK_EVERY_MS: i64 = 5;

/// Captures up to `most` pages of each program that this machine has. A program that is not
/// there or fails is named on standard error and left out.
pub(crate) fn sources(most: usize, quick: bool) -> Vec<Source> {
    type Capture = fn(usize) -> Result<Vec<Page>>;
    let mut all: Vec<(&str, Capture)> = vec![("python", |most| {
        waiting(Command::new("python3").args(["-c", PYTHON]), most)
    })];
    if !quick {
        all.push(("sqlite", |most| {
            waiting(Command::new("python3").args(["-c", SQLITE]), most)
        }));
        all.push(("perl", |most| {
            waiting(Command::new("perl").args(["-e", PERL]), most)
        }));
        all.push(("gcc", compiler));
    }
    let mut sources = Vec::new();
    for (name, capture) in all {
        match capture(most) {
            Ok(pages) if pages.is_empty() => eprintln!("{name}: left out, it has no pages"),
            Ok(pages) => sources.push(Source {
                name: name.into(),
                kind: Kind::Anonymous,
                pages,
            }),
            Err(error) => eprintln!("{name}: left out, {error:#}"),
        }
    }
    sources
}

/// A child that does not outlive its measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the child has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The pages of a program that writes a line when it is filled, and then waits for its input
/// to end.
fn waiting(command: &mut Command, most: usize) -> Result<Vec<Page>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Running(command.spawn().context("it does not start")?);
    let stdout = program.0.stdout.take().context("it has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim() != "ready" {
        bail!("it ended before it was filled");
    }
    capture::of_process(program.0.id(), most)
}

/// The pages of gcc's compiler proper in the middle of a large file.
fn compiler(most: usize) -> Result<Vec<Page>> {
    let found = Command::new("gcc")
        .arg("-print-prog-name=cc1")
        .output()
        .context("no gcc")?;
    let cc1 = String::from_utf8(found.stdout)?;
    let directory = tempfile::tempdir()?;
    let source = directory.path().join("large.c");
    write_large_c(&mut fs::File::create(&source)?)?;
    let mut command = Command::new(cc1.trim());
    command
        .args(["-quiet", "-O2", "-o"])
        .arg(directory.path().join("large.s"))
        .arg(&source);
    let mut cc1 = Running(
        command
            .stderr(Stdio::null())
            .spawn()
            .context("cc1 does not start")?,
    );
    let pid = Pid::from_child(&cc1.0);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let every = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK_EVERY_MS * 1_000_000,
    };
    while poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&every))? == 0 {
        if resident_mib(cc1.0.id())? >= COMPILER_MIB {
            kill_process(pid, Signal::STOP)?;
            return capture::of_process(cc1.0.id(), most);
        }
    }
    let status = cc1.0.wait()?;
    bail!("cc1 ended ({status}) before it held {COMPILER_MIB} MiB")
}

fn resident_mib(pid: u32) -> Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .context("no resident size")?
        .parse()?;
    Ok((pages * PAGE_SIZE as u64) >> 20)
}

fn write_large_c(file: &mut fs::File) -> Result<()> {
    let mut text = String::new();
    for i in 0..6000 {
        text += &format!(
            "struct node{i} {{ struct node{i} *next; int key, count[{n}]; const char *name; }};\n\
             int find{i}(struct node{i} *n, int key) {{\n\
             \x20 for (int depth = 0; n; n = n->next, depth++)\n\
             \x20   if (n->key == key + {i}) return n->count[depth % {n}] * {i} + (n->name ? n->name[0] : depth);\n\
             \x20 return -{i};\n}}\n",
            n = i % 9 + 1,
        );
    }
    Ok(file.write_all(text.as_bytes())?)
}
