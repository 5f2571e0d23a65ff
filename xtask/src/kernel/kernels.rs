//! Which kernels a task is for.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::debian::{Release, State};
use crate::workspace;

/// Which kernels.
#[derive(Args)]
pub(crate) struct Kernels {
    /// A release (6.1.0-56-cloud-amd64), a series of Debian's (6.1, 6.12, 6.12-deb13, 7.3-amd64:
    /// its newest package; cloud flavour if none is named), or `running` [default: of build: running; of check, test
    /// and bench: 6.1 and 7.3]
    #[arg(long = "kernel", value_name = "RELEASE")]
    kernels: Vec<String>,

    /// Each kernel that is supported, cloud and generic
    #[arg(long, conflicts_with = "kernels")]
    pub(super) all: bool,

    #[command(flatten)]
    place: Place,
}

/// Where what is fetched is kept.
#[derive(Args)]
pub(crate) struct Place {
    /// Where kernels, headers and tools are kept, unpacked, from one run to the next
    /// [default: target/kernel/state]
    #[arg(long, value_name = "DIRECTORY", env = "COMPCACHE_KERNEL_STATE")]
    state: Option<PathBuf>,
}

impl Place {
    pub(super) fn open(&self) -> Result<State> {
        let default = || workspace::kernel_target().join("state");
        State::open(self.state.clone().unwrap_or_else(default))
    }
}

/// What is built if nobody says for which kernel.
pub(super) const RUNNING: &[&str] = &["running"];

/// What CI boots, and what is checked, tested and measured by default.
pub(super) const DEFAULT: &[&str] = &["6.1", "7.3"];

/// Each kernel that is supported.
const ALL: [&str; 5] = ["6.1", "6.12-deb12", "6.12-deb13", "7.2", "7.3"];

impl Kernels {
    pub(super) fn state(&self) -> Result<State> {
        self.place.open()
    }

    /// The kernels that were asked for, `default` if none was.
    pub(super) fn releases(&self, state: &State, default: &[&str]) -> Result<Vec<Release>> {
        let names: Vec<String> = if self.all {
            ["cloud", "amd64"]
                .iter()
                .flat_map(|f| ALL.map(|s| format!("{s}-{f}")))
                .collect()
        } else if self.kernels.is_empty() {
            default.iter().map(|name| (*name).to_owned()).collect()
        } else {
            self.kernels.clone()
        };
        names
            .iter()
            .map(|name| Release::resolve(state, name))
            .collect()
    }
}
