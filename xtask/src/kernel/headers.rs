//! A kernel's headers and build tools, and the gcc that they ask for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::debian::{Archive, Release, State};

/// What `make` needs to build a module.
#[derive(Debug)]
pub(crate) struct Headers {
    /// The directory for `make -C`.
    pub(crate) directory: PathBuf,
    /// A directory to put before `PATH`: its gcc and binutils are those that the kernel asks for.
    pub(crate) tools: Option<PathBuf>,
}

/// The headers of a kernel, fetched if they are Debian's.
///
/// # Errors
///
/// The machine has no headers of its running kernel, or packages cannot be fetched.
pub(crate) fn headers(state: &State, release: &Release) -> Result<Headers> {
    let Some(number) = release.debian else {
        let directory = Path::new("/lib/modules").join(&release.name).join("build");
        if !directory.join("Makefile").exists() {
            bail!(
                "no headers of the running kernel {0} in {1}; apt-get install linux-headers-{0}",
                release.name,
                directory.display()
            );
        }
        return Ok(Headers {
            directory,
            tools: None,
        });
    };
    let archive = state.debian(number)?;
    let package = format!("linux-headers-{}", release.name);
    archive.unpack(&closure(archive, &package))?;
    let sources = archive.root().join("usr/src");
    let directory = sources.join(&package);
    relocate(&directory.join("Makefile"), &sources)?;
    let tools = compiler(state, archive, &directory)?;
    Ok(Headers { directory, tools })
}

/// A package and the kernel's packages that it depends on.
pub(crate) fn closure(archive: &Archive, package: &str) -> Vec<String> {
    let mut found = vec![package.to_string()];
    let mut next = 0;
    while next < found.len() {
        let depends = archive
            .show(&found[next])
            .map(|(_, depends)| depends)
            .unwrap_or_default();
        for depend in depends {
            // `linux-base` is the scripts of an installed kernel.
            let ours = depend.starts_with("linux-") && depend != "linux-base";
            if ours && !found.contains(&depend) && archive.show(&depend).is_some() {
                found.push(depend);
            }
        }
        next += 1;
    }
    found
}

/// Lets a flavour's Makefile name the headers where they are, wherever an earlier run has found them. All else in
/// the packages is relative.
fn relocate(makefile: &Path, sources: &Path) -> Result<()> {
    let text = fs::read_to_string(makefile)
        .with_context(|| format!("cannot read {}", makefile.display()))?;
    let relocated = relocated(&text, &format!("{}/linux-headers-", sources.display()));
    if relocated != text {
        fs::write(makefile, relocated)
            .with_context(|| format!("cannot write {}", makefile.display()))?;
    }
    Ok(())
}

/// A text whose paths to headers begin with `here`.
fn relocated(text: &str, here: &str) -> String {
    let mut pieces = text.split("/usr/src/linux-headers-");
    let mut relocated = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // What an earlier run has put before.
        let path = relocated
            .rfind([' ', '\t', '\n', '='])
            .map_or(0, |at| at + 1);
        relocated.truncate(path);
        relocated.push_str(here);
        relocated.push_str(piece);
    }
    relocated
}

/// The directory of the gcc that the headers ask for, if the machine has none of its number.
/// The kernel's own tools are given the libraries that they lack.
fn compiler(state: &State, archive: &Archive, headers: &Path) -> Result<Option<PathBuf>> {
    let variables = fs::read_to_string(headers.join(".kernelvariables"))?;
    let wanted = wanted_compiler(&variables).context("the headers name no compiler")?;
    let kbuild = headers.join("scripts").canonicalize()?;
    let kbuild = kbuild
        .parent()
        .context("scripts are in the kernel's kbuild package")?;
    let mut tools = TOOLS
        .iter()
        .map(|tool| kbuild.join(tool))
        .filter(|tool| tool.exists());
    if !tools.all(|tool| runs(&tool)) {
        let package = kbuild.file_name().unwrap_or_default().to_string_lossy();
        archive.unpack_with_dependencies(&[&package])?;
        archive.adapt(kbuild)?;
    }
    if command::find(&wanted).is_some() {
        return Ok(None);
    }
    let program = state.unpacked_program(archive.number(), &wanted, &[&wanted, "binutils"])?;
    Ok(program.parent().map(Path::to_path_buf))
}

/// The kernel's tools that a build runs; Debian's choose one for the architecture.
const TOOLS: [&str; 5] = [
    "scripts/basic/fixdep",
    "scripts/mod/modpost",
    "scripts/mod/modpost.real-lsb-64",
    "tools/objtool/objtool",
    "tools/objtool/objtool.real-x86",
];

/// Whether the machine has the libraries of a program.
fn runs(program: &Path) -> bool {
    let output = std::process::Command::new(program)
        .env("LC_ALL", "C")
        .output();
    // Called without arguments each says how to call it. The loader's failures name a library.
    output.is_ok_and(|output| {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        !stderr.contains("shared libraries") && !stderr.contains("GLIBC_")
    })
}

/// `gcc-14` of `CC = … $(CROSS_COMPILE)gcc-14`.
fn wanted_compiler(variables: &str) -> Option<String> {
    let line = variables.lines().find(|line| line.starts_with("CC "))?;
    let start = line.rfind("gcc")?;
    Some(line[start..].split_whitespace().next()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_that_headers_ask_for() {
        let variables = "override ARCH = x86\nCCACHE = ccache\n\
            CC = $(if $(DEBIAN_KERNEL_USE_CCACHE),$(CCACHE)) $(CROSS_COMPILE)gcc-14\n";
        assert_eq!(wanted_compiler(variables).as_deref(), Some("gcc-14"));
        assert_eq!(wanted_compiler("HOSTCC = clang\n"), None);
    }

    #[test]
    fn a_makefile_is_relocated_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("Makefile");
        fs::write(
            &file,
            "include /usr/src/linux-headers-6.1-common/Makefile\n",
        )
        .unwrap();
        // Once more at the same place, and after the state has moved.
        for state in ["/state", "/state", "/another", "/c"] {
            relocate(&file, &Path::new(state).join("usr/src")).unwrap();
            let text = fs::read_to_string(&file).unwrap();
            let expected = format!("include {state}/usr/src/linux-headers-6.1-common/Makefile\n");
            assert_eq!(text, expected);
        }
    }
}
