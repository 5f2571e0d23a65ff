//! The module's file, and loading it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::root::{MAX_DEVICES, NAME, Root};

/// Where `modprobe` looks for the options of modules, the first wins.
const OPTIONS: [&str; 4] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// Why the module could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not without root.
    #[error("not loaded: only root may load the module {NAME}")]
    NotRoot,
    /// Not installed.
    #[error(
        "not loaded: module {NAME} not found for {0}: install it for this kernel (package \
         ramzswap-dkms, or cargo xtask kernel build)"
    )]
    Missing(String),
    /// `modprobe` could not be started.
    #[error("not loaded: cannot run modprobe: {0}; load it by hand (insmod)")]
    Modprobe(io::Error),
    /// `modprobe` failed.
    #[error("not loaded: {0}")]
    Refused(String),
}

/// The module's file for the kernel that runs, by its `modules.dep`.
#[must_use]
pub fn find(root: &Root) -> Option<PathBuf> {
    let directory = root.modules.join(&root.release);
    let table = std::fs::read(directory.join("modules.dep")).ok()?;
    let file = in_table(&table)?;
    // Relative to the directory; depmod of old wrote absolute paths.
    Some(directory.join(file))
}

/// The file of our module in the lines `FILE: DEPENDENCIES…`.
fn in_table(table: &[u8]) -> Option<&Path> {
    table
        .split(|&b| b == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .map(|(file, _)| Path::new(file.trim()))
        .find(|file| is_module(file))
}

/// Whether a file is our module, compressed or not.
fn is_module(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let tail = name.and_then(|name| name.strip_prefix(NAME)?.strip_prefix(".ko"));
    tail.is_some_and(|tail| matches!(tail, "" | ".xz" | ".zst" | ".gz"))
}

/// Loads the module, with `num_devices` devices unless the administrator's modprobe.d says how
/// many.
///
/// # Errors
/// [`LoadError`]; nothing is loaded then.
pub fn load(root: &Root, num_devices: u32) -> Result<(), LoadError> {
    if root.is_loaded() {
        return Ok(());
    }
    if find(root).is_none() {
        return Err(LoadError::Missing(root.release.clone()));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(LoadError::NotRoot);
    }
    let mut modprobe = Command::new("modprobe");
    // It lies in sbin, which is not in everybody's PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    modprobe
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .arg(NAME);
    if !OPTIONS.iter().any(|dir| has_option(Path::new(dir))) {
        modprobe.arg(format!("num_devices={}", num_devices.min(MAX_DEVICES)));
    }
    let output = modprobe
        .stdin(Stdio::null())
        .output()
        .map_err(LoadError::Modprobe)?;
    if output.status.success() && root.is_loaded() {
        return Ok(());
    }
    let how = match (output.status.code(), output.status.signal()) {
        (_, Some(signal)) => format!("modprobe was ended by signal {signal}"),
        (code, None) => format!("modprobe ended with exit status {}", code.unwrap_or(0)),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(LoadError::Refused(reason(&how, stderr.trim())))
}

/// What went wrong, with what is to be done if that is known.
fn reason(how: &str, stderr: &str) -> String {
    let stderr = if stderr.is_empty() { how } else { stderr };
    let remedy = if stderr.contains("Key was rejected") || stderr.contains("Required key") {
        "; Secure Boot takes signed modules only: enrol the key of DKMS (mokutil --import)"
    } else {
        "; the reason is in the kernel's log (dmesg)"
    };
    format!("{}{remedy}", stderr.replace('\n', "; "))
}

/// Whether the files of this directory of modprobe set the number of devices.
fn has_option(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "conf"))
        .filter_map(|entry| std::fs::read(entry.path()).ok())
        .any(|text| sets_devices(&String::from_utf8_lossy(&text)))
}

fn sets_devices(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some("options")
            && words.next() == Some(NAME)
            && words.any(|word| word.starts_with("num_devices="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(table: &str) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::below(dir.path(), "6.1.0-test");
        let modules = root.modules.join("6.1.0-test");
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::write(modules.join("modules.dep"), table).unwrap();
        (dir, root)
    }

    #[test]
    fn the_module_is_found_in_the_table() {
        for file in [
            "updates/dkms/ramzswap.ko",
            "updates/dkms/ramzswap.ko.xz",
            "extra/ramzswap.ko.zst",
        ] {
            let (_dir, root) = root_with(&format!(
                "kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko\n{file}:\n"
            ));
            assert_eq!(
                find(&root),
                Some(root.modules.join("6.1.0-test").join(file))
            );
        }
        let (_dir, root) = root_with("extra/ramzswap2.ko:\nextra/zram.ko: extra/ramzswap.ko\n");
        assert_eq!(find(&root), None);
        let none = Root::below(Path::new("/nonexistent"), "6.1.0-test");
        assert_eq!(find(&none), None);
    }

    #[test]
    fn a_module_that_is_not_there_is_not_loaded() {
        let (_dir, root) = root_with("kernel/fs/ext4/ext4.ko:\n");
        let message = load(&root, 4).unwrap_err().to_string();
        assert!(
            message.starts_with("not loaded: module ramzswap not found for 6.1.0-test"),
            "{message}"
        );
        assert!(message.contains("ramzswap-dkms"), "{message}");
    }

    #[test]
    fn the_administrators_number_of_devices_wins() {
        assert!(sets_devices(
            "# x\noptions ramzswap codec=lz4 num_devices=2\n"
        ));
        assert!(!sets_devices("options ramzswap codec=lz4\n"));
        assert!(!sets_devices("options zram num_devices=2\n"));
        assert!(!sets_devices("#options ramzswap num_devices=2\n"));
    }

    #[test]
    fn secure_boot_is_explained() {
        let message = reason(
            "",
            "modprobe: ERROR: could not insert: Key was rejected by service",
        );
        assert!(message.contains("mokutil"), "{message}");
        assert!(reason("modprobe ended with exit status 1", "").contains("exit status 1"));
    }
}
