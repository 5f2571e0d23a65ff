//! What a user can do about an error, as its message ends.

/// A remedy as it follows a message; nothing if there is none.
#[must_use]
pub fn suffix(remedy: Option<&str>) -> String {
    remedy.map_or_else(String::new, |remedy| format!("; {remedy}"))
}

/// What to do if the kernel wants root's rights. `right` is the one that is missing if this is root already,
/// such as a capability.
#[must_use]
pub fn root(right: &str) -> String {
    of_user(rustix::process::geteuid().is_root(), right)
}

fn of_user(is_root: bool, right: &str) -> String {
    if is_root {
        format!(
            "root lacks {right} here: allow it in the container, unit or security policy that took it away"
        )
    } else {
        "run as root".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_asked_to_be_root() {
        assert_eq!(of_user(false, "CAP_SYS_ADMIN"), "run as root");
        let message = of_user(true, "CAP_SYS_ADMIN");
        assert!(
            message.starts_with("root lacks CAP_SYS_ADMIN here"),
            "{message}"
        );
    }
}
