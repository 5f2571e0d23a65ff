//! The gate on `.modinfo`: what the loader compares, and what decides which of the kernel's
//! functions a module may call.

use super::code::Code;
use super::violation::Violation;

/// `kernel_fpu_begin` and others are for modules with a licence that the kernel takes for free.
const LICENSE: &str = "license=Dual MIT/GPL";

/// Finds what is missing or wrong for a release.
pub(super) fn check(code: &Code, release: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut missing = |what: String| {
        found.push(Violation {
            gate: "modinfo",
            place: ".modinfo".into(),
            what,
        });
    };
    if !code.info.iter().any(|entry| entry == LICENSE) {
        missing(format!("has no {LICENSE}"));
    }
    if !code
        .info
        .iter()
        .any(|entry| entry.starts_with("description="))
    {
        missing("has no description".into());
    }
    let magic = format!("vermagic={release} ");
    if !code.info.iter().any(|entry| entry.starts_with(&magic)) {
        let entry = code
            .info
            .iter()
            .find(|entry| entry.starts_with("vermagic="));
        missing(format!("is for another kernel than {release}: {entry:?}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(info: &[&str]) -> usize {
        let info = info.iter().map(ToString::to_string).collect();
        check(
            &Code {
                info,
                ..Code::default()
            },
            "6.1.0-9-amd64",
        )
        .len()
    }

    #[test]
    fn what_modinfo_must_say() {
        let good = [
            "license=Dual MIT/GPL",
            "description=a",
            "vermagic=6.1.0-9-amd64 SMP",
        ];
        assert_eq!(found(&good), 0);
        assert_eq!(found(&["license=MIT", good[1], good[2]]), 1);
        assert_eq!(found(&[good[0], good[1], "vermagic=6.1.0-99-amd64 SMP"]), 1);
        assert_eq!(found(&[]), 3);
    }
}
