//! What is kept from one run to the next: Debian's packages, unpacked.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use super::archive::Archive;
use crate::command;

/// The state directory, and the Debian releases in it that were asked for.
#[derive(Debug)]
pub(crate) struct State {
    directory: PathBuf,
    debian12: OnceLock<Archive>,
    debian13: OnceLock<Archive>,
}

impl State {
    /// # Errors
    ///
    /// The directory cannot be made.
    pub(crate) fn open(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        Ok(Self {
            directory,
            debian12: OnceLock::new(),
            debian13: OnceLock::new(),
        })
    }

    /// The archive of Debian 12 or 13, its lists fetched.
    ///
    /// # Errors
    ///
    /// As [`Archive::open`].
    pub(crate) fn debian(&self, number: u32) -> Result<&Archive> {
        let cell = if number == 12 {
            &self.debian12
        } else {
            &self.debian13
        };
        if cell.get().is_none() {
            let _ = cell.set(Archive::open(&self.directory, number)?);
        }
        Ok(cell.get().expect("set above"))
    }

    /// A program of the machine, or else Debian 12's `packages`, unpacked with all that they
    /// depend on.
    ///
    /// # Errors
    ///
    /// The packages cannot be fetched, or have no such program.
    pub(crate) fn program(&self, program: &str, packages: &[&str]) -> Result<PathBuf> {
        match command::find(program) {
            Some(path) => Ok(path),
            None => self.unpacked_program(12, program, packages),
        }
    }

    /// A program of Debian `number`'s `packages`, whatever the machine has.
    ///
    /// # Errors
    ///
    /// The packages cannot be fetched, or have no such program.
    pub(crate) fn unpacked_program(
        &self,
        number: u32,
        program: &str,
        packages: &[&str],
    ) -> Result<PathBuf> {
        let archive = self.debian(number)?;
        archive.unpack_with_dependencies(packages)?;
        let places = ["usr/bin", "bin", "usr/sbin", "sbin"];
        let mut files = places
            .iter()
            .map(|place| archive.root().join(place).join(program));
        files
            .find(|file| file.exists())
            .with_context(|| format!("Debian {number}'s {packages:?} have no {program}"))
    }
}
