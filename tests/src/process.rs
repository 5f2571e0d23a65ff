//! What the kernel says of a process (proc(5)).

use compcache_host::proc;

/// All of `/proc/PID/FILE`.
///
/// # Panics
/// If there is no such process, or the kernel does not say.
#[must_use]
pub fn proc_file(pid: u32, file: &str) -> Vec<u8> {
    proc::of(pid, file).expect("what the kernel says of a process")
}

/// The word after the key `name` in `/proc/PID/status`.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn status_word(pid: u32, name: &str) -> String {
    let text = proc_file(pid, "status");
    let word = proc::after(&text, name).and_then(|mut words| words.next());
    let word = word.unwrap_or_else(|| panic!("no {name} in {}", String::from_utf8_lossy(&text)));
    String::from_utf8_lossy(word).into_owned()
}

/// The number after the key `name` in `/proc/PID/status`.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn status_field(pid: u32, name: &str) -> u64 {
    status_word(pid, name).parse().expect("a number")
}

/// A limit of a process, as `/proc/PID/limits` has it.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Such as `Max open files`.
    pub name: String,
    /// The soft limit: a number or `unlimited`.
    pub soft: String,
    /// The hard limit.
    pub hard: String,
}

/// The limits of a process.
///
/// # Panics
/// If there is no such process, or they are not as the kernel writes them.
#[must_use]
pub fn limits(pid: u32) -> Vec<Limit> {
    /// Bytes that a name takes, blanks included (`proc_pid_limits` in `fs/proc/base.c`).
    const NAME: usize = 25;
    let text = proc_file(pid, "limits");
    let parse = |line: &[u8]| {
        let (name, values) = line.split_at_checked(NAME)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
        let mut values = proc::words(values).map(text);
        Some(Limit {
            name: text(name),
            soft: values.next()?,
            hard: values.next()?,
        })
    };
    // The first line has the columns' names.
    let lines = proc::lines(&text).skip(1);
    lines.map(|line| parse(line).expect("a limit")).collect()
}
