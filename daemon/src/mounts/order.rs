//! In which order mounts are taken down that lie in one another, or show one another.

use std::path::{Path, PathBuf};

use crate::types::MountStatus;

/// What a mount shows, if it shows a directory, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// SOURCE.
    pub source: Option<PathBuf>,
    /// The mount point.
    pub mountpoint: PathBuf,
}

impl From<&MountStatus> for Span {
    fn from(status: &MountStatus) -> Span {
        Span {
            source: (!status.source.is_empty()).then(|| PathBuf::from(&status.source)),
            mountpoint: PathBuf::from(&status.mountpoint),
        }
    }
}

impl Span {
    /// Whether it needs what is mounted at `path`: it lies there, or shows what is there.
    fn needs(&self, path: &Path) -> bool {
        let source = self.source.as_deref();
        self.mountpoint != path
            && (self.mountpoint.starts_with(path) || source.is_some_and(|s| s.starts_with(path)))
    }
}

/// Each mount before those that it needs. Of mounts that need each other, any is first.
pub fn take_down_order<T>(mounts: Vec<T>, span: impl Fn(&T) -> Span) -> Vec<T> {
    let mut left: Vec<(Span, T)> = mounts.into_iter().map(|m| (span(&m), m)).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_needed =
            |(span, _): &(Span, T)| left.iter().any(|(other, _)| other.needs(&span.mountpoint));
        let free = left.iter().position(|mount| !is_needed(mount));
        ordered.push(left.remove(free.unwrap_or(0)).1);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(mounts: &[(&str, &str)]) -> Vec<String> {
        let spans = mounts.iter().map(|(source, mountpoint)| Span {
            source: (!source.is_empty()).then(|| source.into()),
            mountpoint: mountpoint.into(),
        });
        let ordered = take_down_order(spans.collect(), Span::clone);
        let text = |span: &Span| span.mountpoint.display().to_string();
        ordered.iter().map(text).collect()
    }

    #[test]
    fn inner_ones_and_those_that_show_another_come_first() {
        for (mounts, expected) in [
            (vec![("/s", "/a"), ("/s", "/b")], vec!["/a", "/b"]),
            (
                vec![("/s", "/a"), ("", "/a/b"), ("/s", "/ab")],
                vec!["/a/b", "/a", "/ab"],
            ),
            (
                vec![("/s", "/m"), ("/m/sub", "/z"), ("/z", "/a")],
                vec!["/a", "/z", "/m"],
            ),
            // Over what it shows.
            (vec![("/s", "/s"), ("/s", "/s/t")], vec!["/s/t", "/s"]),
            // Each other.
            (vec![("/b", "/a"), ("/a", "/b")], vec!["/a", "/b"]),
        ] {
            assert_eq!(order(&mounts), expected, "{mounts:?}");
        }
    }
}
