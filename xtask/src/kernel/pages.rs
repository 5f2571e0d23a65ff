//! Sets of pages for the bench: the anonymous memory of programs that are started for it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use compcache_host::maps::{self, Mapped};
use compcache_host::proc;

use crate::workspace;

const PAGE: usize = 4096;

/// The most pages of a set: 12 MiB, so that all of them, stored and read, fit into a guest.
const MOST: usize = 3072;

/// How long a program may take to fill its memory.
const WAIT: Duration = Duration::from_secs(120);

/// Pages that follow each other are taken in blocks, so that neighbours stay neighbours.
const BLOCK: usize = 64;

/// A program that fills memory, says so by a line, and waits.
struct Source {
    name: &'static str,
    /// What the line has in it.
    ready: &'static str,
    program: &'static str,
    /// Debian's package of all that it calls.
    package: &'static str,
    arguments: &'static [&'static str],
    /// What it is told; its standard input then stays open.
    input: &'static str,
}

const SOURCES: [Source; 4] = [
    Source {
        name: "python",
        ready: "READY",
        program: "python3",
        package: "python3",
        arguments: &["-c", PYTHON],
        input: "",
    },
    Source {
        name: "node",
        ready: "READY",
        program: "node",
        package: "nodejs",
        arguments: &["-e", NODE],
        input: "",
    },
    Source {
        name: "compiler",
        ready: ".file",
        program: "sh",
        package: "g++",
        arguments: &["-c", COMPILER],
        input: "",
    },
    Source {
        name: "database",
        ready: "READY",
        program: "sqlite3",
        package: "sqlite3",
        arguments: &["-batch", ":memory:"],
        input: DATABASE,
    },
];

const PYTHON: &str = "
import ast, datetime, inspect, json, random, sys, argparse, decimal
random.seed(5)
words = inspect.getsource(argparse).split()
users = {f'user-{i:06d}': {'id': i, 'name': ' '.join(random.choices(words, k=3)),
         'score': random.random() * 100, 'tags': random.sample(words, 4),
         'since': datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=i * 37)}
         for i in range(22000)}
texts = [json.dumps({k: str(v) for k, v in u.items()}) for u in list(users.values())[:4000]]
trees = [ast.parse(inspect.getsource(m)) for m in (argparse, decimal, json, inspect, ast)]
floats = [random.gauss(0, 1) for _ in range(60000)]
print('READY', flush=True)
sys.stdin.read()
";

const NODE: &str = "
const users = new Map();
for (let i = 0; i < 60000; i++)
    users.set('key' + i, {a: i, b: 'v' + i * 7, c: [i, i + 1], d: Math.sqrt(i)});
const texts = [];
for (let i = 0; i < 20000; i++) texts.push(JSON.stringify(users.get('key' + i)));
console.log('READY');
process.stdin.resume();
";

/// The compiler writes what it made into a pipe that nobody reads, and so waits with all of it in
/// its memory.
const COMPILER: &str = "
exec $(g++ -print-prog-name=cc1plus) -quiet -imultiarch x86_64-linux-gnu -O2 -o - - <<'END'
#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
std::map<std::string, std::vector<std::regex>> a;
int b(const std::string &s) { return std::regex_match(s, a[s].at(0)); }
int c(std::vector<std::string> &v) { std::sort(v.begin(), v.end()); return v.size(); }
END
";

const DATABASE: &str = "
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, score REAL, tags TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90000)
    INSERT INTO t SELECT i, 'user-' || (i * 7919 % 100003), i * 0.37,
        hex(randomblob(4)) || ',' || (i % 97) || ',' || (i % 13) FROM n;
CREATE INDEX by_name ON t(name);
SELECT 'READY';
";

/// The files of the sets that are `wanted` (all, if none is named), `NAME.bin`, made if they are
/// not there yet; programs that the machine lacks, in whole or in part, are named and left out.
///
/// # Errors
///
/// There is no set of such a name, a program cannot be looked into, or no set was made.
pub(super) fn sets(directory: &Path, wanted: &[String]) -> Result<Vec<(String, PathBuf)>> {
    if let Some(name) = wanted
        .iter()
        .find(|name| SOURCES.iter().all(|s| s.name != *name))
    {
        let names = SOURCES.each_ref().map(|source| source.name).join(", ");
        bail!("there is no set of pages {name}: there are {names}");
    }
    fs::create_dir_all(directory)?;
    let mut found = Vec::new();
    let is_wanted = |source: &&Source| wanted.is_empty() || wanted.iter().any(|w| w == source.name);
    for source in SOURCES.iter().filter(is_wanted) {
        let file = directory.join(format!("{}.bin", source.name));
        if !file.exists() {
            eprintln!("taking the pages of {}", source.name);
            let running = match Running::start(source) {
                Ok(running) => running,
                Err(error) => {
                    let (name, package) = (source.name, source.package);
                    eprintln!("no pages of {name}: {error:#}; Debian's package is {package}");
                    continue;
                }
            };
            fs::write(&file, thinned(running.pages()?).concat())?;
        }
        found.push((source.name.to_string(), file));
    }
    if found.is_empty() {
        let packages = SOURCES.each_ref().map(|source| source.package).join(", ");
        bail!("no program to take pages from: install one of {packages}");
    }
    Ok(found)
}

/// A program that has filled its memory, and ends with its guard.
struct Running {
    name: &'static str,
    child: Child,
    /// Without a reader, the compiler's pipe would kill it.
    output: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// # Errors
    ///
    /// The machine lacks it or a part of it: it cannot be started, or does not fill its memory.
    fn start(source: &Source) -> Result<Self> {
        let mut child = Command::new(source.program)
            .args(source.arguments)
            .current_dir(workspace::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", source.program))?;
        let (input, output) = (child.stdin.as_mut(), child.stdout.take());
        let (input, output) = input.zip(output).context("both are piped")?;
        // One that has ended already is found out below.
        let _ = input.write_all(source.input.as_bytes());
        let mut running = Running {
            name: source.name,
            child,
            output: BufReader::new(output),
        };
        let mut line = String::new();
        running.output.read_line(&mut line)?;
        if !line.contains(source.ready) {
            bail!("{} did not fill its memory: {line:?}", source.program);
        }
        Ok(running)
    }

    fn pages(self) -> Result<Vec<Vec<u8>>> {
        let process = self.child.id();
        let end = Instant::now() + WAIT;
        while !sleeps(process)? {
            if Instant::now() > end {
                bail!("{} still works after {WAIT:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anonymous(process)
    }
}

/// Whether a process waits.
fn sleeps(process: u32) -> Result<bool> {
    let stat = proc::of(process, "stat")?;
    let state = proc::stat_fields(&stat).and_then(|mut fields| fields.next());
    Ok(state == Some(b"S"))
}

/// The pages of a process's memory that no file is behind, without those that are zero and those
/// that were there before.
fn anonymous(process: u32) -> Result<Vec<Vec<u8>>> {
    let maps = proc::of(process, "maps")?;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    let of_its_own = |mapped: &Mapped<'_>| mapped.is_private_memory() && mapped.name != b"[stack]";
    for mapped in maps::parse(&maps).into_iter().filter(of_its_own) {
        for at in mapped.addresses.step_by(PAGE) {
            let mut page = vec![0; PAGE];
            // What was never touched reads as zeroes, or not at all.
            let read = memory.read_exact_at(&mut page, at).is_ok();
            if read && page.iter().any(|&byte| byte != 0) && seen.insert(page.clone()) {
                pages.push(page);
            }
        }
    }
    Ok(pages)
}

/// At most [`MOST`] pages, in blocks from all over the memory.
fn thinned(pages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if pages.len() <= MOST {
        return pages;
    }
    let blocks: Vec<&[Vec<u8>]> = pages.chunks_exact(BLOCK).collect();
    let kept = MOST / BLOCK;
    (0..kept)
        .flat_map(|n| blocks[n * blocks.len() / kept])
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_sets_are_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("node.bin"), "").unwrap();
        let wanted = |name: &str| sets(directory.path(), &[name.to_string()]);
        assert_eq!(wanted("node").unwrap().len(), 1);
        let error = wanted("nodes").unwrap_err().to_string();
        assert!(error.contains("nodes: there are python, node"), "{error}");
    }

    fn pages_of(source: &Source) -> Vec<Vec<u8>> {
        Running::start(source).unwrap().pages().unwrap()
    }

    #[test]
    fn a_program_that_is_there_in_part_is_known_before_its_pages_are_taken() {
        let lacking = |program, arguments| Source {
            name: "shell",
            ready: "READY",
            program,
            package: "dash",
            arguments,
            input: "something",
        };
        for (source, word) in [
            (
                lacking("/nonexistent/program", &[]),
                "cannot start /nonexistent",
            ),
            (lacking("sh", &["-c", "exit 1"]), "did not fill its memory"),
            (
                lacking("sh", &["-c", "echo no such module"]),
                "no such module",
            ),
        ] {
            let error = format!("{:#}", Running::start(&source).err().unwrap());
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn pages_of_a_process_are_found_once_even_if_it_writes_on() {
        let source = Source {
            name: "shell",
            ready: "READY",
            program: "sh",
            package: "dash",
            arguments: &["-c", "echo READY; exec seq 1 1000000"],
            input: "",
        };
        assert!(!pages_of(&source).is_empty());
        let source = Source {
            arguments: &["-c", "a=$(seq 1 20000); echo READY; read b"],
            ..source
        };
        let pages = pages_of(&source);
        assert!(pages.len() > 20, "{}", pages.len());
        assert!(
            pages
                .iter()
                .any(|page| page.windows(12).any(|w| w == b"\n12345\n12346"))
        );
        let unique: HashSet<&Vec<u8>> = pages.iter().collect();
        assert_eq!(unique.len(), pages.len());
    }

    #[test]
    fn many_pages_are_thinned_in_blocks() {
        let page = |n: usize| n.to_le_bytes().to_vec();
        let pages: Vec<Vec<u8>> = (0..MOST * 3).map(page).collect();
        let kept = thinned(pages);
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[1], page(1));
        assert!(kept.last().unwrap() > &page(MOST * 2));
    }
}
