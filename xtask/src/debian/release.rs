//! Names of Debian's kernels: full releases, and series that stand for their newest package.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use compcache_host::proc;

use super::state::State;

/// A kernel to build for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// As `uname -r` says it: `6.1.0-56-cloud-amd64`.
    pub(crate) name: String,
    /// Debian's release whose archive has it; `None`: the machine's own headers.
    pub(crate) debian: Option<u32>,
}

/// What an alias asks for.
#[derive(Debug, PartialEq, Eq)]
struct Series {
    numbers: Vec<u64>,
    debian: Option<u32>,
    flavour: &'static str,
}

impl Release {
    /// The kernel that a name stands for.
    ///
    /// # Errors
    ///
    /// The name is none, no archive has such a kernel, or the archives cannot be read.
    pub(crate) fn resolve(state: &State, name: &str) -> Result<Self> {
        if name == "running" {
            let running = proc::read(Path::new("/proc/sys/kernel/osrelease"))?;
            return Ok(Release {
                name: String::from_utf8_lossy(running.trim_ascii()).into_owned(),
                debian: None,
            });
        }
        let series = parse(name).with_context(|| {
            format!("{name} is no kernel: try 6.1, 6.12-deb13, 7.3-amd64, or a full release")
        })?;
        for number in series
            .debian
            .map_or_else(|| vec![12, 13], |number| vec![number])
        {
            let archive = state.debian(number)?;
            let images = [
                archive.names("linux-image-")?,
                archive.names("linux-binary-")?,
            ]
            .concat();
            let headers = archive.names("linux-headers-")?;
            if let Some(found) = newest(&series, name, &images, &headers) {
                return Ok(Release {
                    name: found,
                    debian: Some(number),
                });
            }
        }
        bail!(
            "Debian 12 and 13 (with backports and security) have no kernel {name}; \
             `apt-cache search linux-headers` on such a machine lists what they have"
        )
    }
}

/// `SERIES[-deb12|-deb13][-cloud|-amd64|-cloud-amd64]`, or a full release.
fn parse(name: &str) -> Option<Series> {
    let debian = match (name.contains("deb12"), name.contains("deb13")) {
        (true, _) => Some(12),
        (_, true) => Some(13),
        _ => None,
    };
    let flavour = match name.strip_suffix("-amd64").unwrap_or("") {
        "" => "cloud-amd64",
        rest if rest.ends_with("-cloud") => "cloud-amd64",
        _ => "amd64",
    };
    let version = name.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = version.split('.').map(|n| n.parse().ok()).collect();
    let numbers = numbers.filter(|numbers| numbers.len() >= 2)?;
    Some(Series {
        numbers,
        debian,
        flavour,
    })
}

/// The newest release of a series for which there are an image and headers; `name` itself if
/// it is one.
fn newest(series: &Series, name: &str, images: &[String], headers: &[String]) -> Option<String> {
    let with_image = |release: &&str| {
        let image = |kind: &str| {
            images
                .iter()
                .any(|i| *i == format!("linux-{kind}-{release}"))
        };
        image("image") || image("binary")
    };
    let releases = headers
        .iter()
        .filter_map(|package| package.strip_prefix("linux-headers-"));
    let releases: Vec<&str> = releases.filter(with_image).collect();
    if releases.contains(&name) {
        return Some(name.into());
    }
    let of_series = |release: &&&str| {
        // A metapackage, `linux-headers-6.12-amd64`, has a version with two numbers only.
        let numbers = numbers(release);
        let flavour = release.split_once('-').is_some_and(|(_, rest)| {
            rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-') == series.flavour
        });
        flavour && numbers.len() > 2 && numbers.starts_with(&series.numbers)
    };
    let newest = releases
        .iter()
        .filter(of_series)
        .max_by_key(|release| numbers(release));
    newest.map(|release| (*release).to_string())
}

/// The numbers of a release, in order, without those of `amd64`.
fn numbers(release: &str) -> Vec<u64> {
    let version = release.trim_end_matches("amd64");
    let digits = version.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str, releases: &[&str]) -> Option<String> {
        let with = |kind: &str| {
            releases
                .iter()
                .map(|r| format!("linux-{kind}-{r}"))
                .collect()
        };
        let (images, headers): (Vec<_>, Vec<_>) = (with("image"), with("headers"));
        newest(&parse(name)?, name, &images, &headers)
    }

    const PACKAGES: [&str; 9] = [
        "6.1.0-9-cloud-amd64",
        "6.1.0-56-cloud-amd64",
        "6.1.0-57-amd64",
        "6.1.0-57-rt-amd64",
        "6.12.99+deb13-cloud-amd64",
        "6.12.115+deb13-cloud-amd64",
        "6.12.115+deb13.1-cloud-amd64",
        "6.12-cloud-amd64",
        "cloud-amd64",
    ];

    #[test]
    fn a_series_is_its_newest_package() {
        assert_eq!(
            find("6.1", &PACKAGES).as_deref(),
            Some("6.1.0-56-cloud-amd64")
        );
        assert_eq!(
            find("6.1-amd64", &PACKAGES).as_deref(),
            Some("6.1.0-57-amd64")
        );
        assert_eq!(
            find("6.12", &PACKAGES).as_deref(),
            Some("6.12.115+deb13.1-cloud-amd64")
        );
        assert_eq!(find("6.12-deb13-cloud", &PACKAGES), find("6.12", &PACKAGES));
        assert_eq!(find("7.3", &PACKAGES), None);
    }

    #[test]
    fn a_release_is_itself() {
        for release in ["6.1.0-9-cloud-amd64", "6.1.0-57-rt-amd64"] {
            assert_eq!(find(release, &PACKAGES).as_deref(), Some(release));
        }
    }

    #[test]
    fn kernels_without_an_image_do_not_count() {
        let headers = ["linux-headers-7.3.4+deb13-cloud-amd64".to_string()];
        assert_eq!(newest(&parse("7.3").unwrap(), "7.3", &[], &headers), None);
        let images = ["linux-binary-7.3.4+deb13-cloud-amd64".to_string()];
        let found = newest(&parse("7.3").unwrap(), "7.3", &images, &headers);
        assert_eq!(found.as_deref(), Some("7.3.4+deb13-cloud-amd64"));
    }

    #[test]
    fn names_that_are_none() {
        for name in ["", "six", "6", "-amd64"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
