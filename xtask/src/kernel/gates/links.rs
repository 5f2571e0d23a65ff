//! Gates on symbols and relocations.

use object::elf;

use super::code::Code;
use super::violation::Violation;

/// What the Rust objects may have of what the kernel's loader knows.
pub(super) const RELOCATIONS: [u32; 4] = [
    elf::R_X86_64_32S,
    elf::R_X86_64_64,
    elf::R_X86_64_PC32,
    elf::R_X86_64_PLT32,
];

/// What a module may have: gcc's jump labels refer to their keys by 64 bits.
pub(super) const MODULE_RELOCATIONS: [u32; 5] = [
    elf::R_X86_64_32S,
    elf::R_X86_64_64,
    elf::R_X86_64_PC32,
    elf::R_X86_64_PLT32,
    elf::R_X86_64_PC64,
];

/// What the kernel has under the names that compilers call.
const KERNEL: [&str; 6] = ["memcpy", "memset", "memmove", "memcmp", "bcmp", "strlen"];

/// Beginnings of names: the shim's, the vector object's, the kernel's thunks.
const OURS: [&str; 4] = ["rzk_", "ks_", "__x86_indirect_thunk_", "__x86_return_thunk"];

/// A symbol that is neither the shim's nor the kernel's has come in unseen.
pub(super) fn undefined(code: &Code) -> Vec<Violation> {
    let known = |symbol: &str| {
        KERNEL.contains(&symbol) || OURS.iter().any(|start| symbol.starts_with(start))
    };
    let unknown = code.undefined.iter().filter(|symbol| !known(symbol));
    unknown
        .map(|symbol| violation("symbol", symbol, "is undefined, and not the shim's"))
        .collect()
}

/// compiler_builtins has weak definitions of the kernel's functions, and vector code.
pub(super) fn builtins(code: &Code) -> Vec<Violation> {
    let foreign = |symbol: &str| {
        KERNEL.contains(&symbol)
            || symbol.contains("compiler_builtins")
            || (symbol.starts_with("__") && symbol.ends_with("ti3"))
    };
    let found = code.defined.iter().filter(|symbol| foreign(symbol));
    found
        .map(|symbol| violation("builtins", symbol, "is compiler_builtins'"))
        .collect()
}

/// The loader refuses a module with another relocation ("Unknown rela relocation").
pub(super) fn relocations(code: &Code, known: &[u32]) -> Vec<Violation> {
    let others = code.relocations.iter().filter(|r| !known.contains(&r.kind));
    let one = |r: &super::code::Relocation| {
        let what = format!("has relocation {} for {}", r.kind, r.target);
        violation("relocation", &r.section, &what)
    };
    others.map(one).collect()
}

fn violation(gate: &'static str, place: &str, what: &str) -> Violation {
    Violation {
        gate,
        place: place.into(),
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Relocation;
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unknown_symbols() {
        let undefined_of = |names: &[&str]| {
            undefined(&Code {
                undefined: strings(names),
                ..Code::default()
            })
            .len()
        };
        assert_eq!(
            undefined_of(&["memcpy", "rzk_alloc", "__x86_return_thunk", "ks_new"]),
            0
        );
        assert_eq!(undefined_of(&["memcpy", "_Unwind_Resume", "printk"]), 2);
    }

    #[test]
    fn builtins_members() {
        let of = |names: &[&str]| {
            builtins(&Code {
                defined: strings(names),
                ..Code::default()
            })
            .len()
        };
        assert_eq!(
            of(&["memcpy", "__udivti3", "_RNvCs_17compiler_builtins3mem"]),
            3
        );
        assert_eq!(of(&["rz_write", "_RNvCs_8ramzswap3mem"]), 0);
    }

    #[test]
    fn relocations_that_the_loader_lacks() {
        let with = |kind| Relocation {
            section: ".text".into(),
            kind,
            target: "a".into(),
        };
        let found = |kinds: &[u32]| {
            let relocations = kinds.iter().map(|kind| with(*kind)).collect();
            relocations_of(&Code {
                relocations,
                ..Code::default()
            })
        };
        assert_eq!(found(&RELOCATIONS), 0);
        assert_eq!(
            found(&[elf::R_X86_64_GOTPCREL, elf::R_X86_64_REX_GOTPCRELX]),
            2
        );
    }

    fn relocations_of(code: &Code) -> usize {
        relocations(code, &RELOCATIONS).len()
    }
}
