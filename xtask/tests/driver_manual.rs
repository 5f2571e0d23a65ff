//! ramzswap(4) and docs/kernel.md name every parameter of the module and every attribute of its devices.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).expect(path)
}

/// The word behind each `start` in a source of C.
fn names<'a>(source: &'a str, start: &str) -> Vec<&'a str> {
    let behind = source.split(start).skip(1);
    behind
        .map(|rest| rest.split([',', ')']).next().unwrap_or_default().trim())
        .collect()
}

#[test]
fn parameters_and_attributes_are_in_the_manual() {
    let (main, control) = (read("kernel/shim/main.c"), read("kernel/shim/control.c"));
    let parameters = names(&main, "\nMODULE_PARM_DESC(");
    let attributes: Vec<&str> = ["\nREAD_ONLY(", "\nWRITE_ONLY(", "\nREAD_WRITE("]
        .iter()
        .flat_map(|start| names(&control, start))
        .collect();
    assert_eq!((parameters.len(), attributes.len()), (8, 17));
    let manuals = ["kernel/dkms/ramzswap.4.in", "docs/kernel.md"].map(|path| (path, read(path)));
    for name in parameters.iter().chain(&attributes) {
        for (path, manual) in &manuals {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let named = manual
                .split(|c: char| !is_word(c))
                .any(|word| word == *name);
            assert!(named, "{path} does not name {name}");
        }
    }
}
