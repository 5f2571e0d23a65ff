//! The sources of the project, for tests that look at them.

use std::fs;
use std::path::Path;

/// The project's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Calls `see` with each Rust source below `root`, by its path from there, and its text. What is built or hidden is
/// left out.
pub(crate) fn each_source(root: &Path, see: &mut dyn FnMut(&str, &str)) {
    each_below(root, root, see);
}

fn each_below(root: &Path, directory: &Path, see: &mut dyn FnMut(&str, &str)) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let entry = entry.expect("a source");
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().expect("its type").is_dir() {
            if name != "target" && !name.starts_with('.') {
                each_below(root, &path, see);
            }
        } else if name.ends_with(".rs") {
            let text = String::from_utf8(fs::read(&path).expect("a source")).expect("UTF-8");
            let below = path.strip_prefix(root).expect("below the root");
            see(&below.display().to_string(), &text);
        }
    }
}
