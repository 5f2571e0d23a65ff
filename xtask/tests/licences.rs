//! What the crates are made from may be used under our licence, and comes from where it should.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licences that ask for no more than to be named. No copyleft.
const ALLOWED: [&str; 6] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "Unicode-3.0",
];

/// Where crates come from that are not ours.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Our workspaces whose crates are all fetched by a build of them.
const WORKSPACES: [&str; 3] = [".", "kernel/core", "kernel/simd"];

/// Whether one of the choices that a licence expression gives is allowed (SPDX 2.3, annex D; before it `/`
/// was OR). One that is not understood is not.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let found = any(&mut rest);
    found == Some(true) && rest.is_empty()
}

fn any(words: &mut &[&str]) -> Option<bool> {
    let mut found = all(words)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        found |= all(words)?;
    }
    Some(found)
}

fn all(words: &mut &[&str]) -> Option<bool> {
    let mut found = one(words)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        found &= one(words)?;
    }
    Some(found)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    let (found, rest) = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let found = any(words)?;
            let [")", rest @ ..] = *words else {
                return None;
            };
            (found, rest)
        }
        [name, "WITH", exception, rest @ ..] => {
            let name = format!("{name} WITH {exception}");
            (ALLOWED.contains(&name.as_str()), rest)
        }
        [name, rest @ ..] => (ALLOWED.contains(name), rest),
        [] => return None,
    };
    *words = rest;
    Some(found)
}

/// All packages that a workspace is made from on this platform.
fn packages(workspace: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--locked", "--format-version=1"])
        .args(["--filter-platform", &platform])
        .current_dir(root.join(workspace));
    let output = cargo.output().expect("cargo");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{workspace}: {errors}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = document["packages"].as_array().expect("packages");
    packages.clone()
}

#[test]
fn every_crate_is_under_an_allowed_licence_and_from_the_registry() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for workspace in WORKSPACES {
        for package in packages(workspace) {
            let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            let (name, version) = (text("name"), text("version"));
            let licence = text("license");
            if !is_allowed(&licence) {
                wrong.push(format!("{name} {version}: licence '{licence}'"));
            }
            let source = text("source");
            if !source.is_empty() && source != REGISTRY {
                wrong.push(format!("{name} {version}: from {source}"));
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} packages");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "Unlicense OR MIT",
        "GPL-2.0-only OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in [
        "",
        "GPL-2.0-only",
        "MIT AND GPL-2.0-only",
        "MIT AND (GPL-2.0-only OR MPL-2.0)",
        "GPL-2.0-only WITH Linux-syscall-note",
        "MIT OR",
        "(MIT",
        "MIT MIT",
    ] {
        assert!(!is_allowed(bad), "{bad}");
    }
}
