//! What a mount gives up: the dirty pages that SOURCE did not take.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Pages that are lost with a mount, in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Where it was mounted.
    pub mountpoint: PathBuf,
    /// Why it was given up.
    pub reason: String,
    /// Files of which something is lost; 0 with some `bytes` if nobody knows which.
    pub files: usize,
    /// Bytes that are lost.
    pub bytes: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss {
            mountpoint,
            reason,
            files,
            bytes,
        } = self;
        write!(f, "{}: given up: {reason}; ", mountpoint.display())?;
        match files {
            0 if *bytes > 0 => write!(f, "up to {bytes} bytes that SOURCE did not take are lost"),
            0 => write!(f, "no file had dirty pages"),
            1 => write!(
                f,
                "{bytes} bytes of 1 file that SOURCE did not take are lost"
            ),
            _ => write!(
                f,
                "{bytes} bytes of {files} files that SOURCE did not take are lost"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_says_why_and_how_much() {
        let mut loss = Loss {
            mountpoint: "/mnt".into(),
            reason: "SOURCE does not answer".into(),
            files: 2,
            bytes: 8192,
        };
        assert_eq!(
            loss.to_string(),
            "/mnt: given up: SOURCE does not answer; 8192 bytes of 2 files that SOURCE did not \
             take are lost"
        );
        loss.files = 0;
        assert!(
            loss.to_string()
                .ends_with("; up to 8192 bytes that SOURCE did not take are lost")
        );
        loss.bytes = 0;
        assert!(loss.to_string().ends_with("no file had dirty pages"));
    }
}
