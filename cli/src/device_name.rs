//! Devices as users name them.

use std::path::Path;

use crate::error::CliError;

/// The number of the device that `name` names: `ramzswapN`, `/dev/ramzswapN` or
/// `DEV_DIR/ramzswapN`, with N in decimal.
///
/// # Errors
/// [`CliError::NoSuchDevice`].
pub(crate) fn number(name: &str, dev_dir: &Path) -> Result<u32, CliError> {
    parse(Path::new(name), dev_dir).ok_or_else(|| CliError::NoSuchDevice {
        name: name.to_owned(),
        dev_dir: dev_dir.display().to_string(),
    })
}

fn parse(name: &Path, dev_dir: &Path) -> Option<u32> {
    let parent = name.parent()?;
    if !(parent.as_os_str().is_empty() || parent == Path::new("/dev") || parent == dev_dir) {
        return None;
    }
    let digits = name.file_name()?.to_str()?.strip_prefix("ramzswap")?;
    let number: u32 = digits.parse().ok()?;
    // Neither +1 nor 01.
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let parse = |name: &str| parse(Path::new(name), Path::new("/tmp/dev"));
        assert_eq!(parse("/dev/ramzswap0"), Some(0));
        assert_eq!(parse("ramzswap17"), Some(17));
        assert_eq!(parse("/tmp/dev/ramzswap3"), Some(3));
        for bad in [
            "",
            "/",
            "ramzswap",
            "/dev/ramzswap",
            "/dev/sda",
            "/dev/ramzswap-1",
            "/dev/ramzswap+1",
            "/dev/ramzswap01",
            "/dev/ramzswap0x",
            "/tmp/ramzswap0",
            "./ramzswap0",
            "/dev/ramzswap4294967296",
            "/dev/ramzswap0/..",
            "..",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_error_names_the_device() {
        for name in ["/dev/sda1", ""] {
            let error = number(name, Path::new("/dev")).unwrap_err().to_string();
            let wanted =
                format!("\"{name}\": no such device: use /dev/ramzswapN, with N from 0 on");
            assert_eq!(error, wanted);
        }
    }
}
