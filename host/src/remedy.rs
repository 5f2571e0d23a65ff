//! What a user can do about an error, as its message ends.

/// A remedy as it follows a message; nothing if there is none.
#[must_use]
pub fn suffix(remedy: Option<&str>) -> String {
    remedy.map_or_else(String::new, |remedy| format!("; {remedy}"))
}
