//! Redis: started, and filled through its socket.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use compcache_engine::Page;
use compcache_random::Random;

use crate::capture;
use crate::process::Running;

/// How many users and sessions it holds.
const USERS: u64 = 120_000;

/// The pages of a server that holds users as hashes, sessions as strings, and their visits as
/// lists.
pub(super) fn pages(most: usize) -> Result<Vec<Page>> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("socket");
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .args(["--daemonize", "no", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(directory.path());
    let mut server = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = server.0.stdout.take().context("it has no output")?;
    let mut log = BufReader::new(stdout);
    let mut line = String::new();
    // "Ready to accept connections", and which kind of them in later versions.
    while !line.contains("eady to accept connections") {
        line.clear();
        if log.read_line(&mut line)? == 0 {
            bail!("it ended before it was ready");
        }
    }
    fill(UnixStream::connect(&socket)?)?;
    capture::of_process(server.0.id(), most)
}

/// Sends commands in their inline form (a line of words each), and waits until all are done.
fn fill(mut stream: UnixStream) -> Result<()> {
    let mut random = Random::new(23);
    let mut text = String::from("CLIENT REPLY OFF\r\n");
    for user in 0..USERS {
        let (visits, token) = (random.below(1000), random.next_u64());
        let score = random.below(100_000) as f64 / 100.0;
        text += &format!(
            "HSET user:{user} name user{user} visits {visits} score {score} group g{}\r\n\
             SET session:{token:016x} user={user};csrf={:016x};expires=17000{user:06}\r\n\
             RPUSH visits:{} {user} {visits}\r\n",
            visits % 16,
            random.next_u64(),
            user % 3000,
        );
        if text.len() > 1 << 16 {
            stream.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    text += "CLIENT REPLY ON\r\n";
    stream.write_all(text.as_bytes())?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    if answer != *b"+OK\r\n" {
        bail!("it answers {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
