//! Gates on instructions.

use std::collections::BTreeSet;

use iced_x86::{CpuidFeature, Instruction, Mnemonic, OpKind, Register};
use object::elf;

use super::code::{Code, Function};
use super::violation::Violation;

/// What the core calls between `kernel_fpu_begin` and `kernel_fpu_end`.
pub(super) const VECTOR_ENTRIES: [&str; 2] = ["ks_compress", "ks_decompress"];

/// The alignment that vector code gives its stack; the kernel gives 8.
const ALIGNMENT: u64 = 32;

/// How far into a function its frame is set up.
const PROLOGUE: usize = 12;

/// A return that is not the kernel's return thunk cannot be patched: "Unpatched return thunk in
/// use", and no protection if a processor needs it.
pub(super) fn bare_returns(code: &Code) -> Vec<Violation> {
    let mut found = Vec::new();
    for function in &code.functions {
        let returns = |i: &Instruction| matches!(i.mnemonic(), Mnemonic::Ret | Mnemonic::Retf);
        // The thunk itself, if a module brings one.
        let thunk = function.symbol.starts_with("__x86_");
        if !thunk && function.instructions().iter().any(returns) {
            found.push(violation("return", function, "has a bare ret"));
        }
    }
    found
}

/// Vector and x87 registers belong to the interrupted program, but for what is called by
/// `entries`, and by those alone.
pub(super) fn vector_registers(code: &Code, entries: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    if entries.is_empty() {
        for function in &code.functions {
            if let Some(what) = first_vector(function) {
                found.push(violation("vector", function, &what));
            }
        }
        return found;
    }
    for entry in code
        .functions
        .iter()
        .filter(|f| f.global && !entries.contains(&&*f.symbol))
    {
        for function in reachable(code, entry) {
            if let Some(what) = first_vector(function) {
                let what = format!("{what}, and is called from {}", entry.symbol);
                found.push(violation("vector", function, &what));
            }
        }
    }
    found
}

/// Vector code takes a stack for granted that is aligned to more than the kernel's 8 bytes.
pub(super) fn realigned(code: &Code) -> Vec<Violation> {
    let mut found = Vec::new();
    for entry in code.functions.iter().filter(|function| function.global) {
        let aligns = |i: &Instruction| {
            i.mnemonic() == Mnemonic::And
                && i.op0_register() == Register::RSP
                && i.immediate(1) == ALIGNMENT.wrapping_neg()
        };
        let vector = reachable(code, entry)
            .iter()
            .any(|f| first_vector(f).is_some());
        if vector && !entry.instructions().iter().take(PROLOGUE).any(aligns) {
            found.push(violation(
                "alignment",
                entry,
                "does not align its stack to 32",
            ));
        }
    }
    for name in VECTOR_ENTRIES {
        if code.function(name).is_none() {
            let what = "is not there: the gate would be blind".into();
            found.push(Violation {
                gate: "alignment",
                place: name.into(),
                what,
            });
        }
    }
    found
}

/// A function that is called by its address, or from another object, must begin with ENDBR64
/// if the kernel checks indirect calls (`#CP` otherwise).
pub(super) fn endbr(code: &Code) -> Vec<Violation> {
    let taken: BTreeSet<&str> = code
        .relocations
        .iter()
        .filter(|relocation| [elf::R_X86_64_64, elf::R_X86_64_32S].contains(&relocation.kind))
        .map(|relocation| relocation.target.as_str())
        .collect();
    let mut found = Vec::new();
    for function in &code.functions {
        let called = function.global || taken.contains(function.symbol.as_str());
        let begins = function.instructions().first().map(Instruction::mnemonic);
        if called && begins != Some(Mnemonic::Endbr64) {
            found.push(violation("endbr", function, "does not begin with endbr64"));
        }
    }
    found
}

/// A function with all that it calls or jumps to, in this object.
fn reachable<'a>(code: &'a Code, entry: &'a Function) -> Vec<&'a Function> {
    let mut found = vec![entry];
    let mut next = 0;
    while next < found.len() {
        for target in found[next].targets.values() {
            if let Some(function) = code.function(target)
                && !found.iter().any(|known| known.symbol == function.symbol)
            {
                found.push(function);
            }
        }
        next += 1;
    }
    found
}

/// The first instruction that uses a register of the FPU, in words.
fn first_vector(function: &Function) -> Option<String> {
    let uses = |instruction: &&Instruction| {
        let x87 = [CpuidFeature::FPU, CpuidFeature::MMX];
        let register = |n: u32| {
            instruction.op_kind(n) == OpKind::Register && {
                let register = instruction.op_register(n);
                register.is_vector_register() || register.is_st() || register.is_mm()
            }
        };
        instruction
            .cpuid_features()
            .iter()
            .any(|feature| x87.contains(feature))
            || (0..instruction.op_count()).any(register)
    };
    let instructions = function.instructions();
    let first = instructions.iter().find(uses)?;
    Some(format!(
        "uses the FPU: {:?} at {:#x}",
        first.mnemonic(),
        first.ip()
    ))
}

fn violation(gate: &'static str, function: &Function, what: &str) -> Violation {
    Violation {
        gate,
        place: function.name.clone(),
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::testing::one;
    use super::super::code::{Function, Relocation};
    use super::*;

    const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const RET: u8 = 0xc3;
    const JMP: [u8; 5] = [0xe9, 0, 0, 0, 0];
    /// pxor %xmm0,%xmm0
    const XMM: [u8; 4] = [0x66, 0x0f, 0xef, 0xc0];
    /// vpxor %ymm0,%ymm0,%ymm0
    const YMM: [u8; 4] = [0xc5, 0xfd, 0xef, 0xc0];
    /// fld1
    const X87: [u8; 2] = [0xd9, 0xe8];
    /// crc32 %rax,%rdx: of SSE 4.2, but on general registers.
    const CRC: [u8; 6] = [0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xd0];
    /// and $-32,%rsp
    const ALIGN: [u8; 4] = [0x48, 0x83, 0xe4, 0xe0];

    #[test]
    fn returns() {
        assert_eq!(bare_returns(&one("f", true, &[0x90, RET])).len(), 1);
        assert!(bare_returns(&one("f", true, &JMP)).is_empty());
        // The byte of a ret within another instruction is none: mov $0xc3,%eax.
        assert!(bare_returns(&one("f", true, &[0xb8, 0xc3, 0, 0, 0])).is_empty());
        assert_eq!(bare_returns(&one("f", true, &[0xc2, 8, 0])).len(), 1);
    }

    #[test]
    fn vector_registers_in_the_core() {
        for bytes in [&XMM[..], &YMM, &X87] {
            assert_eq!(
                vector_registers(&one("f", false, bytes), &[]).len(),
                1,
                "{bytes:x?}"
            );
        }
        assert!(vector_registers(&one("f", false, &CRC), &[]).is_empty());
    }

    /// A `ks_*` entry with these bytes, and a local function that it calls.
    fn with_callee(entry: &str, bytes: &[u8], callee: &[u8]) -> Code {
        let mut code = one(entry, true, bytes);
        code.functions[0].targets.insert(1, "inner".into());
        let inner = Function {
            name: "inner".into(),
            symbol: "inner".into(),
            ..Function::default()
        };
        code.functions.push(Function {
            bytes: callee.to_vec(),
            ..inner
        });
        code
    }

    #[test]
    fn vector_registers_outside_the_section_that_saves_them() {
        let entries = ["ks_compress"];
        assert!(vector_registers(&with_callee("ks_compress", &JMP, &YMM), &entries).is_empty());
        assert_eq!(
            vector_registers(&with_callee("ks_new", &JMP, &YMM), &entries).len(),
            1
        );
        assert!(vector_registers(&with_callee("ks_new", &JMP, &CRC), &entries).is_empty());
    }

    #[test]
    fn vector_entries_realign() {
        let others = ["ks_compress", "ks_decompress"];
        let found = |bytes: &[u8]| {
            let mut code = with_callee("ks_compress", bytes, &YMM);
            code.functions
                .extend(with_callee("ks_decompress", &ALIGN, &YMM).functions);
            realigned(&code)
        };
        assert_eq!(found(&JMP).len(), 1);
        assert!(found(&[&ALIGN[..], &JMP].concat()).is_empty());
        // and $-16,%rsp is not enough.
        assert_eq!(found(&[0x48, 0x83, 0xe4, 0xf0]).len(), 1);
        assert_eq!(realigned(&one("ks_new", true, &JMP)).len(), others.len());
    }

    #[test]
    fn endbr_where_an_address_is_taken() {
        assert_eq!(endbr(&one("rz_init", true, &JMP)).len(), 1);
        assert!(endbr(&one("rz_init", true, &ENDBR)).is_empty());
        let mut code = one("local", false, &JMP);
        assert!(endbr(&code).is_empty());
        let reference = |kind| Relocation {
            section: ".rodata".into(),
            kind,
            target: "local".into(),
        };
        code.relocations = vec![reference(elf::R_X86_64_PLT32)];
        assert!(endbr(&code).is_empty());
        code.relocations = vec![reference(elf::R_X86_64_64)];
        assert_eq!(endbr(&code).len(), 1);
    }
}
