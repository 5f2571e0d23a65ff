//! The daemon's log: the journal if systemd gave one, standard error elsewhere, where an event is one line
//! whatever names it has in it.

use std::fmt;
use std::io::{self, IsTerminal};

use compcache_host::printable::Printable;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Overrides the level, in the notation of `EnvFilter`: `debug`, `compcached=trace,warn`.
pub const VARIABLE: &str = "COMPCACHE_LOG";

/// As [`begin_as`], under the name of the program.
///
/// # Errors
/// What is wrong with the filter.
pub fn begin(verbose: u8, configured: &str) -> Result<(), String> {
    begin_as(None, verbose, configured)
}

/// Begins to log. A process that is not the daemon's first has a `name`, which stands in each line, and in
/// the journal as `compcache-NAME`. `verbose` counts the `-v` given and wins over `configured`, which comes from
/// the configuration; [`VARIABLE`] wins over both. Does nothing when called again.
///
/// # Errors
/// What is wrong with the filter.
pub fn begin_as(name: Option<&str>, verbose: u8, configured: &str) -> Result<(), String> {
    let (source, text) = match (std::env::var(VARIABLE), verbose) {
        (Ok(text), _) if !text.is_empty() => (VARIABLE, text),
        (_, 0) => ("log", configured.to_owned()),
        (_, 1) => ("-v", "debug".to_owned()),
        (_, _) => ("-vv", "trace".to_owned()),
    };
    let filter = parse(&text).map_err(|e| format!("{source}: {e}"))?;
    let journal = if stderr_is_journal() {
        tracing_journald::layer().ok().map(|layer| match name {
            Some(name) => layer.with_syslog_identifier(format!("compcache-{name}")),
            None => layer,
        })
    } else {
        None
    };
    let plain = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_timer(TimeAndName(name.map(|name| {
                let pid = std::process::id();
                format!(" {name}[{pid}]")
            })))
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
    });
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(plain);
    // Fails only if this process logs already.
    let _ = subscriber.try_init();
    Ok(())
}

/// Writes a field of an event, the message or `NAME=VALUE`. Names of files may be in it.
fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(to, "{field}=")?;
    }
    write!(to, "{}", Printable(format_args!("{value:?}")))
}

/// Writes the time, and which process it is.
struct TimeAndName(Option<String>);

impl FormatTime for TimeAndName {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        SystemTime.format_time(to)?;
        to.write_str(self.0.as_deref().unwrap_or_default())
    }
}

/// Reads a filter.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(text)
        .map_err(|_| {
            format!(
                "{text:?} is not a log filter: give error, warn, info, debug or trace, or directives \
                 as in compcached=debug,warn"
            )
        })
}

/// Whether standard error is the journal's socket, by `JOURNAL_STREAM` = `DEVICE:INODE`
/// (systemd.exec(5)).
fn stderr_is_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == journal_name(&stat))
}

fn journal_name(stat: &rustix::fs::Stat) -> String {
    format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = fs::File::create(&path).unwrap();
        let log = tracing_subscriber::fmt::layer()
            .with_writer(move || file.try_clone().unwrap())
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .without_time()
            .with_ansi(false)
            .with_target(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            tracing::info!(path = %"/a\x1b[2J", "mounted {}", "/b\nERROR all is lost\r");
        });
        let text = fs::read_to_string(path).unwrap();
        let expected = " INFO mounted /b\\x0aERROR all is lost\\x0d path=/a\\x1b[2J\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn filters() {
        for good in ["info", "warn", "compcached=trace,warn", "debug"] {
            parse(good).unwrap();
        }
        let error = parse("compcached=loud").unwrap_err();
        assert!(error.contains("compcached=loud"), "{error}");
    }

    #[test]
    fn the_journal_is_known_by_its_inode() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let name = journal_name(&rustix::fs::fstat(&file).unwrap());
        assert_eq!(name, format!("{}:{}", metadata.dev(), metadata.ino()));
    }
}
