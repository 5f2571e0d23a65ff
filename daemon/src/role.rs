//! What a process of the daemon's own does for it.

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Serves mounts.
    Mounts,
}

impl Role {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Mounts => "mounts",
        }
    }
}
