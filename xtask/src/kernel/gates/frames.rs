//! The gate on stack frames: the kernel's stack has 16 KiB, and a page is written from the depths
//! of memory reclaim.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::code::{Code, Function};
use super::violation::Violation;

/// The largest frame on the way of a page, bytes.
const LIMIT: u64 = 1024;

/// Functions with larger frames, by the end of their name: why they may, and their limit in bytes.
/// None of them is called with a page in hand from the depths of the kernel.
const EXEMPT: [(&str, &str, u64); 5] = [
    (
        "::Control>::initialise",
        "makes a device, called by insmod, an ioctl or sysfs",
        6144,
    ),
    (
        "KernelFrames>>::try_new",
        "makes a device's pool, at set-up",
        4096,
    ),
    (
        "rz_attribute_show",
        "writes a line for a reader of sysfs",
        2048,
    ),
    (
        "rz_ioctl",
        "fills the statistics of 2010 for a caller of the user's",
        2048,
    ),
    (
        "rz_work_run",
        "begins on a kernel thread's own stack, with nothing above it",
        2048,
    ),
];

/// Finds functions whose frames are too large.
pub(super) fn check(code: &Code) -> Vec<Violation> {
    let mut found = Vec::new();
    for function in &code.functions {
        let exempt = EXEMPT
            .iter()
            .find(|(name, ..)| function.name.ends_with(name));
        let limit = exempt.map_or(LIMIT, |(.., limit)| *limit);
        let frame = frame(function);
        if frame > limit {
            let what = format!("has a frame of {frame} bytes, more than {limit}");
            found.push(Violation {
                gate: "frame",
                place: function.name.clone(),
                what,
            });
        }
    }
    found
}

/// The most that a function puts on the stack, bytes; without what it calls.
fn frame(function: &Function) -> u64 {
    let (mut depth, mut most) = (0_u64, 0);
    for instruction in function.instructions() {
        depth = match change(&instruction) {
            Change::By(bytes) => depth.saturating_add_signed(bytes),
            Change::Undone => 0,
        };
        most = most.max(depth);
    }
    most
}

enum Change {
    By(i64),
    /// The frame is gone. What follows in the function's bytes begins another way through it.
    Undone,
}

fn change(instruction: &Instruction) -> Change {
    let stack = instruction.op_count() > 0 && instruction.op0_register() == Register::RSP;
    match instruction.mnemonic() {
        Mnemonic::Push => Change::By(8),
        Mnemonic::Pop => Change::By(-8),
        Mnemonic::Leave | Mnemonic::Ret => Change::Undone,
        Mnemonic::Mov if stack => Change::Undone,
        Mnemonic::Lea if stack => match instruction.memory_base() {
            Register::RSP => Change::By(-instruction.memory_displacement64().cast_signed()),
            _ => Change::Undone,
        },
        Mnemonic::Sub if stack && is_immediate(instruction) => {
            Change::By(instruction.immediate(1).cast_signed())
        }
        Mnemonic::Add if stack && is_immediate(instruction) => {
            Change::By(instruction.immediate(1).cast_signed().wrapping_neg())
        }
        _ => Change::By(0),
    }
}

fn is_immediate(instruction: &Instruction) -> bool {
    instruction.op1_kind() != OpKind::Register && instruction.op1_kind() != OpKind::Memory
}

#[cfg(test)]
mod tests {
    use super::super::code::testing::one;
    use super::*;

    /// sub $bytes,%rsp
    fn sub(bytes: u32) -> Vec<u8> {
        [&[0x48, 0x81, 0xec][..], &bytes.to_le_bytes()].concat()
    }

    const PUSH: u8 = 0x55;
    const POP: u8 = 0x5d;

    fn frame_of(bytes: &[u8]) -> u64 {
        frame(&one("f", true, bytes).functions[0])
    }

    #[test]
    fn pushes_and_locals_add_up() {
        assert_eq!(frame_of(&[PUSH, PUSH]), 16);
        assert_eq!(frame_of(&[&[PUSH][..], &sub(1000)].concat()), 1008);
        // add $-128,%rsp, which is shorter than sub $128,%rsp.
        assert_eq!(frame_of(&[0x48, 0x83, 0xc4, 0x80]), 128);
    }

    #[test]
    fn a_second_way_out_does_not_count_twice() {
        let prologue = [&[PUSH][..], &sub(600)].concat();
        let epilogue = [&[0x48, 0x81, 0xc4][..], &600_u32.to_le_bytes(), &[POP]].concat();
        assert_eq!(
            frame_of(&[prologue.clone(), epilogue, prologue].concat()),
            608
        );
    }

    #[test]
    fn large_frames_are_found_but_for_those_exempt() {
        assert!(check(&one("rz_write", true, &sub(1024))).is_empty());
        assert_eq!(check(&one("rz_write", true, &sub(1032))).len(), 1);
        assert!(check(&one("rz_ioctl", true, &sub(2000))).is_empty());
        assert_eq!(check(&one("rz_ioctl", true, &sub(2100))).len(), 1);
        assert_eq!(
            check(&one("rz_ioctl_of_another", true, &sub(2000))).len(),
            1
        );
    }
}
