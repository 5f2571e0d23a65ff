//! Memory that is taken by pages.

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) original: u64,
    /// The chunks alone.
    pub(crate) compressed: u64,
    /// The pool with the chunks in it: what lies between and beside them counts.
    pub(crate) pool: u64,
    /// All memory: the pool, its reserve, tables, the program that serves.
    pub(crate) all: u64,
}
