//! Debian's packages, fetched and unpacked into a directory of their own, for use beside the
//! running system: nothing here installs, and nothing reads or changes the machine's own package
//! data but the list of its mirrors.

mod archive;
mod foreign;
mod release;
mod sources;
mod state;

pub(crate) use archive::Archive;
pub(crate) use release::Release;
pub(crate) use state::State;
