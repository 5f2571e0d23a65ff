//! A test script and what its head says about the guest that it wants.
//!
//! ```text
//! # smp: 4               virtual CPUs (1)
//! # memory: 320          MiB (512)
//! # timeout: 300         seconds (300)
//! # kernels: 6.1 7.3     series that it runs on (all)
//! # of-all: 6.1          series that `--all` runs it on: a subject of the commands, not the kernel (all)
//! # may-skip: 6.1         series that lack what it needs: there it may skip (none)
//! # append: quiet        for the kernel's command line
//! # allow: Out of memory what the kernel may say, one pattern a line
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A script for a guest.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) smp: u32,
    /// MiB.
    pub(crate) memory: u32,
    pub(crate) timeout: Duration,
    pub(crate) append: String,
    pub(crate) allowed: Vec<String>,
    kernels: Vec<String>,
    of_all: Vec<String>,
    may_skip: Vec<String>,
}

impl Script {
    /// # Errors
    ///
    /// The file cannot be read, or its head has a word or a number that does not belong there.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the script {}", path.display()))?;
        let script = Self::parse(path, text);
        script.with_context(|| format!("in the head of {}", path.display()))
    }

    /// The file's name without its ending.
    pub(crate) fn name(&self) -> String {
        self.path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Whether the script is for a kernel.
    pub(crate) fn is_for(&self, release: &str) -> bool {
        self.kernels.is_empty() || is_of(release, &self.kernels)
    }

    /// Whether the script is for a kernel if all scripts run on all kernels.
    pub(crate) fn is_for_of_all(&self, release: &str) -> bool {
        self.is_for(release) && (self.of_all.is_empty() || is_of(release, &self.of_all))
    }

    /// Whether the script may skip on a kernel, which lacks what it needs.
    pub(crate) fn may_skip(&self, release: &str) -> bool {
        is_of(release, &self.may_skip)
    }

    fn parse(path: &Path, text: String) -> Result<Self> {
        let mut script = Self {
            path: path.into(),
            text: String::new(),
            smp: 1,
            memory: 512,
            timeout: Duration::from_secs(300),
            append: String::new(),
            allowed: Vec::new(),
            kernels: Vec::new(),
            of_all: Vec::new(),
            may_skip: Vec::new(),
        };
        for line in text.lines().take_while(|line| line.starts_with('#')) {
            let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once(": ") else {
                continue;
            };
            let value = value.trim();
            let number = || {
                value
                    .parse()
                    .with_context(|| format!("{key}: {value} is no number"))
            };
            let words = || value.split_whitespace().map(Into::into).collect();
            match key {
                "smp" => script.smp = number()?,
                "memory" => script.memory = number()?,
                "timeout" => script.timeout = Duration::from_secs(number()?.into()),
                "append" => script.append = value.into(),
                "allow" => script.allowed.push(value.into()),
                "kernels" => script.kernels = words(),
                "of-all" => script.of_all = words(),
                "may-skip" => script.may_skip = words(),
                _ => {}
            }
        }
        if script.smp == 0 || script.memory < 64 {
            bail!(
                "smp: {} and memory: {} must be at least 1 and 64",
                script.smp,
                script.memory
            );
        }
        script.text = text;
        Ok(script)
    }
}

/// Whether a kernel is of one of these series.
fn is_of(release: &str, series: &[String]) -> bool {
    series.iter().any(|series| {
        release
            .strip_prefix(series.as_str())
            .is_some_and(|rest| rest.starts_with(['.', '-', '+']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Script> {
        Script::parse(Path::new("kernel/guest/tests/a.sh"), text.into())
    }

    #[test]
    fn the_head_is_read_and_nothing_below_it() {
        let text = "#!/bin/sh\n# What this: tests\n# smp: 4\n# memory: 320\n# timeout: 60\n\
                    # kernels: 6.1 7.3\n# append: a=b c\n# allow: Out of memory\n\
                    # allow: oom\nset -e\n# smp: 9\n";
        let script = parse(text).unwrap();
        assert_eq!(
            (script.smp, script.memory, script.timeout.as_secs()),
            (4, 320, 60)
        );
        assert_eq!((script.append.as_str(), script.allowed.len()), ("a=b c", 2));
        assert_eq!(script.name(), "a");
        assert!(script.is_for("6.1.0-56-cloud-amd64") && script.is_for("7.3.4+deb13-amd64"));
        assert!(!script.is_for("6.12.117+deb12-cloud-amd64"));
    }

    #[test]
    fn numbers_are_checked() {
        assert!(parse("# smp: many\n").is_err());
        assert!(parse("# smp: 0\n").is_err());
        assert!(parse("# memory: 10\n").is_err());
        let any = parse("echo\n").unwrap();
        assert!(any.is_for("anything") && !any.may_skip("6.1.0-56-cloud-amd64"));
        let may = parse("# may-skip: 6.1\n").unwrap();
        assert!(may.is_for("7.3.4") && may.may_skip("6.1.0-56-cloud-amd64"));
        assert!(!may.may_skip("6.12.117"));
        let one = parse("# kernels: 6.1 7.3\n# of-all: 6.1\n").unwrap();
        let of_all = |release| (one.is_for(release), one.is_for_of_all(release));
        assert_eq!(of_all("6.1.0-56-cloud-amd64"), (true, true));
        assert_eq!(of_all("7.3.4"), (true, false));
        assert_eq!(of_all("6.12.117"), (false, false));
    }
}
