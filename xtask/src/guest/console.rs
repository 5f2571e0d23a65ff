//! A guest's console: how its script ended, and what the kernel complained about.

/// The line that ends a guest's console.
const END: &str = "GUEST EXIT ";

/// The status of a script that cannot run.
const SKIPPED: u8 = 77;

/// What makes a line of the kernel's a complaint.
const COMPLAINTS: [&str; 20] = [
    "WARNING:",
    "BUG:",
    "kernel BUG",
    "Oops",
    "Call Trace",
    "Kernel panic",
    "general protection fault",
    "invalid opcode",
    "double fault",
    "INFO: task",
    "INFO: possible",
    "INFO: rcu",
    "possible recursive locking",
    "possible circular locking",
    "suspicious RCU usage",
    "KASAN",
    "UBSAN",
    "refcount_t:",
    "scheduling while atomic",
    "Unpatched return thunk",
];

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The script ended with this status.
    Status(u8),
    /// The script cannot run on this kernel, by the status that automake gave that
    /// meaning.
    Skipped,
    /// It took too long.
    TimedOut,
    /// The guest went away without an end.
    Died,
    /// The script ended well, but the kernel logged this.
    Complaint(String),
}

/// A guest's end.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
}

impl Outcome {
    /// Judges a console. `allowed` is what the kernel may say.
    pub(crate) fn judge(console: &str, timed_out: bool, allowed: &[String]) -> Self {
        let status = console.lines().rev().find_map(|line| {
            let (_, number) = line.split_once(END)?;
            number.trim().parse().ok()
        });
        let verdict = match (status, timed_out) {
            (_, true) => Verdict::TimedOut,
            (None, _) => Verdict::Died,
            (Some(0), _) => {
                complaint(console, allowed).map_or(Verdict::Status(0), Verdict::Complaint)
            }
            (Some(SKIPPED), _) => Verdict::Skipped,
            (Some(status), _) => Verdict::Status(status),
        };
        Self { verdict }
    }

    /// Whether all went well.
    pub(crate) fn passed(&self) -> bool {
        self.verdict == Verdict::Status(0)
    }

    /// How it ended, in a word.
    pub(crate) fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Status(0) => "ok",
            Verdict::Skipped => "skipped",
            _ => "FAILED",
        }
    }

    /// The script's status; 1 if the guest failed in another way.
    fn status(&self) -> u8 {
        match self.verdict {
            Verdict::Status(status) => status,
            Verdict::Skipped => SKIPPED,
            _ => 1,
        }
    }

    /// The status of a script that ran in several guests: that of the first in which it failed, else
    /// that of the first in which it skipped, else 0.
    pub(crate) fn status_of_all(outcomes: &[Outcome]) -> u8 {
        let bad = || outcomes.iter().map(Outcome::status).filter(|it| *it != 0);
        let failed = bad().find(|it| *it != SKIPPED);
        failed.or_else(|| bad().next()).unwrap_or(0)
    }

    /// Why it failed, in a line.
    pub(crate) fn reason(&self) -> String {
        match &self.verdict {
            Verdict::Status(status) => format!("the script ended with {status}"),
            Verdict::Skipped => "the script cannot run on this kernel".into(),
            Verdict::TimedOut => "timed out".into(),
            Verdict::Died => "the guest ended without a word".into(),
            Verdict::Complaint(line) => format!("the kernel logged: {line}"),
        }
    }
}

/// The last lines of a console, indented, without what would move the cursor of a terminal.
pub(crate) fn end_of(console: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| {
            let shown: String = line.chars().filter(|c| !c.is_control()).collect();
            format!("    | {shown}\n")
        })
        .collect()
}

/// The first line of the kernel's that is a complaint. Its lines begin with a time in brackets,
/// though others may have begun the line before it.
fn complaint(console: &str, allowed: &[String]) -> Option<String> {
    let kernel = |line: &str| {
        let at = line.match_indices('[').find(|(at, _)| {
            let time = line[at + 1..].split(']').next().unwrap_or("").trim();
            time.contains('.') && time.chars().all(|c| c.is_ascii_digit() || c == '.')
        });
        at.map(|(at, _)| line[at..].trim_end().to_string())
    };
    console.lines().filter_map(kernel).find(|line| {
        COMPLAINTS.iter().any(|complaint| line.contains(complaint))
            && !allowed
                .iter()
                .any(|pattern| line.contains(pattern.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_that_of_a_terminal() {
        assert_eq!(end_of("a\r\n\u{1b}[2Jb\n"), "    | a\n    | [2Jb\n");
        let many: String = (0..1000).map(|line| format!("{line}\n")).collect();
        assert!(end_of(&many).starts_with("    | 940\n"));
    }

    fn judge(console: &str) -> Verdict {
        Outcome::judge(console, false, &["dm-flakey".into()]).verdict
    }

    #[test]
    fn the_status_is_the_scripts() {
        assert_eq!(judge("a\r\nGUEST EXIT 0\r\n"), Verdict::Status(0));
        assert_eq!(
            judge("GUEST EXIT 7\r\n[    1.2] reboot: Power down\r\n"),
            Verdict::Status(7)
        );
        assert_eq!(judge("GUEST EXIT 77\r\n"), Verdict::Skipped);
        assert_eq!(judge("booting\r\n"), Verdict::Died);
        let late = Outcome::judge("GUEST EXIT 0", true, &[]);
        assert!(!late.passed());
    }

    #[test]
    fn a_script_in_several_guests_ends_with_what_went_wrong() {
        let table = [
            (["GUEST EXIT 0", "GUEST EXIT 0"], 0),
            (["GUEST EXIT 0", "GUEST EXIT 3"], 3),
            (["GUEST EXIT 4", "GUEST EXIT 3"], 4),
            (["GUEST EXIT 77", "GUEST EXIT 0"], 77),
            (["GUEST EXIT 77", "GUEST EXIT 3"], 3),
            (["GUEST EXIT 0", "no end"], 1),
        ];
        for (consoles, status) in table {
            let outcomes = consoles.map(|console| Outcome::judge(console, false, &[]));
            assert_eq!(Outcome::status_of_all(&outcomes), status, "{consoles:?}");
        }
    }

    #[test]
    fn complaints_of_the_kernel_fail_a_guest() {
        for line in [
            "[    2.345678] WARNING: CPU: 0 PID: 1 at mm/slub.c:1 free+0x1/0x2",
            "some output[   12.345678] BUG: scheduling while atomic: sh/1/0x2",
        ] {
            let verdict = judge(&format!("{line}\r\nGUEST EXIT 0\r\n"));
            assert!(
                matches!(verdict, Verdict::Complaint(_)),
                "{line}: {verdict:?}"
            );
        }
    }

    #[test]
    fn words_of_scripts_and_what_is_allowed_do_not() {
        for line in [
            "WARNING: printed by a script",
            "[    2.3] dm-flakey: WARNING: as told",
        ] {
            assert_eq!(
                judge(&format!("{line}\r\nGUEST EXIT 0\r\n")),
                Verdict::Status(0),
                "{line}"
            );
        }
    }
}
