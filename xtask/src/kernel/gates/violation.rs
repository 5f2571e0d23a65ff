//! What a gate finds.

/// Something that must not be: the gate's name, where, and what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) gate: &'static str,
    pub(crate) place: String,
    pub(crate) what: String,
}
