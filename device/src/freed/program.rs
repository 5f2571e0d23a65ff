//! The program that the kernel runs when it frees slots.
//!
//! It looks whether the swap area is our block device; if so, it sets the slots' bits in the
//! [bitmap](super::bits), marks their region, and wakes us if the region was not marked yet.
//! It never waits, and takes some dozens of instructions for up to 64 slots.
//!
//! A swap area is ours if the file that was given to `swapon` is a node of our block device:
//! `si->swap_file->f_inode->i_rdev`. That is 0 for a regular file. (`si->bdev` would not do: a
//! swap *file* on a file system on our device has the same, and its slots lie elsewhere.) On a
//! block device, slot N is page N: the kernel makes one extent of it (`setup_swap_extents`).

use super::asm::{Asm, Label, Op, Reg, Size, When};
use super::bits::{Layout, REGION_WORDS};
use super::hook::{Hook, Place};

/// Most slots that are freed at once: those of a cluster (`SWAPFILE_CLUSTER`).
const MAX_SLOTS: i32 = 512;
/// Words of 64 slots that so many can touch.
const MAX_WORDS: i32 = MAX_SLOTS / 64 + 1;
/// Bits of a `swp_entry_t` above the slot's: `MAX_SWAPFILES_SHIFT` (5) and the one that
/// entries in an xarray do without (`SWP_TYPE_SHIFT` in `include/linux/swapops.h`), the same on
/// all machines of 64 bits.
const TYPE_BITS: i32 = 6;

/// `BPF_FUNC_map_lookup_elem`.
const LOOKUP: i32 = 1;
/// `BPF_FUNC_ringbuf_output`.
const OUTPUT: i32 = 130;

/// Where a word's number stands on the stack.
const KEY: i16 = -4;
/// Where a mask stands, which is also what is put into the ring: any eight bytes do.
const MASK: i16 = -16;

/// The program for a function, a block device (in the kernel's form: major number << 20 |
/// minor), and the maps behind two file descriptors.
pub(super) fn freed(hook: &Hook, device: u32, layout: &Layout, bits: i32, ring: i32) -> Vec<u64> {
    let mut asm = Asm::default();
    let (out, next, again) = (asm.label(), asm.label(), asm.label());
    parameters(&mut asm, hook, device, layout, out);

    // R7: first slot, R8: slots left, R9: rounds left.
    asm.alu(Op::Move, Reg::R9, MAX_WORDS);
    asm.place(again);
    // R1: the first slot's bit; R2: how many of the slots share its word.
    asm.alu(Op::Move, Reg::R1, Reg::R7);
    asm.alu(Op::And, Reg::R1, 63);
    asm.alu(Op::Move, Reg::R2, 64);
    asm.alu(Op::Sub, Reg::R2, Reg::R1);
    let all_fit = asm.label();
    asm.jump_if(Reg::R2, When::BelowOrEqual, Reg::R8, all_fit);
    asm.alu(Op::Move, Reg::R2, Reg::R8);
    asm.place(all_fit);
    // Their mask, and on to the next ones.
    asm.alu(Op::Move, Reg::R3, 64);
    asm.alu(Op::Sub, Reg::R3, Reg::R2);
    asm.alu(Op::Move, Reg::R4, -1);
    asm.alu(Op::ShiftRight, Reg::R4, Reg::R3);
    asm.alu(Op::ShiftLeft, Reg::R4, Reg::R1);
    asm.store(Size::Double, Reg::R10, MASK, Reg::R4);
    asm.alu(Op::Move, Reg::R6, Reg::R7);
    asm.alu(Op::ShiftRight, Reg::R6, 6);
    asm.alu(Op::Add, Reg::R7, Reg::R2);
    asm.alu(Op::Sub, Reg::R8, Reg::R2);
    lookup(&mut asm, bits, Reg::R6, out);
    asm.load(Size::Double, Reg::R1, Reg::R10, MASK);
    asm.fetch_or(Reg::R0, Reg::R1);
    // The region's mark, R6: its number.
    asm.alu(Op::ShiftRight, Reg::R6, REGION_WORDS.ilog2().cast_signed());
    asm.alu(Op::Move, Reg::R1, Reg::R6);
    asm.alu(Op::ShiftRight, Reg::R1, 6);
    asm.alu(Op::Add, Reg::R1, layout.marks().cast_signed());
    lookup(&mut asm, bits, Reg::R1, out);
    asm.alu(Op::And, Reg::R6, 63);
    asm.alu(Op::Move, Reg::R1, 1);
    asm.alu(Op::ShiftLeft, Reg::R1, Reg::R6);
    asm.load(Size::Double, Reg::R2, Reg::R0, 0);
    asm.alu(Op::And, Reg::R2, Reg::R1);
    asm.jump_if(Reg::R2, When::NotEqual, 0, next);
    asm.alu(Op::Move, Reg::R6, Reg::R1);
    asm.fetch_or(Reg::R0, Reg::R1);
    asm.alu(Op::And, Reg::R1, Reg::R6);
    asm.jump_if(Reg::R1, When::NotEqual, 0, next);
    // If the ring is full, there is something to read already.
    asm.load_map(Reg::R1, ring);
    asm.alu(Op::Move, Reg::R2, Reg::R10);
    asm.alu(Op::Add, Reg::R2, i32::from(MASK));
    asm.alu(Op::Move, Reg::R3, 8);
    asm.alu(Op::Move, Reg::R4, 0);
    asm.call(OUTPUT);
    asm.place(next);
    asm.jump_if(Reg::R8, When::Equal, 0, out);
    asm.alu(Op::Sub, Reg::R9, 1);
    asm.jump_if(Reg::R9, When::NotEqual, 0, again);

    asm.place(out);
    asm.alu(Op::Move, Reg::R0, 0);
    asm.exit();
    asm.finish().unwrap_or_default()
}

/// Reads the parameters: the first slot into R7, the number of slots into R8. Goes to `out`
/// if the area is not ours or a number can't be right.
fn parameters(asm: &mut Asm, hook: &Hook, device: u32, layout: &Layout, out: Label) {
    let (first, form) = hook.place;
    asm.load(Size::Double, Reg::R7, Reg::R1, i16::from(first) * 8);
    asm.load(Size::Double, Reg::R8, Reg::R1, i16::from(hook.count) * 8);
    asm.load(Size::Double, Reg::R1, Reg::R1, 0);
    asm.load(Size::Double, Reg::R1, Reg::R1, hook.swap_file);
    asm.load(Size::Double, Reg::R1, Reg::R1, hook.inode);
    asm.load(Size::Word, Reg::R1, Reg::R1, hook.rdev);
    asm.jump_if32(Reg::R1, When::NotEqual, device.cast_signed(), out);
    if form == Place::Entry {
        asm.alu(Op::ShiftLeft, Reg::R7, TYPE_BITS);
        asm.alu(Op::ShiftRight, Reg::R7, TYPE_BITS);
    }
    // An `unsigned int`: the upper half of its register is undefined.
    asm.move32(Reg::R8, Reg::R8);
    asm.jump_if(Reg::R8, When::Equal, 0, out);
    asm.jump_if(Reg::R8, When::Above, MAX_SLOTS, out);
    asm.load_number(Reg::R1, layout.pages());
    asm.jump_if(Reg::R7, When::Above, Reg::R1, out);
    asm.alu(Op::Move, Reg::R2, Reg::R7);
    asm.alu(Op::Add, Reg::R2, Reg::R8);
    asm.jump_if(Reg::R2, When::Above, Reg::R1, out);
}

/// Has R0 point at the bitmap's word number `word` (not R1 to R5 but R1 itself, which are lost).
fn lookup(asm: &mut Asm, bits: i32, word: Reg, out: Label) {
    asm.store(Size::Word, Reg::R10, KEY, word);
    asm.load_map(Reg::R1, bits);
    asm.alu(Op::Move, Reg::R2, Reg::R10);
    asm.alu(Op::Add, Reg::R2, i32::from(KEY));
    asm.call(LOOKUP);
    asm.jump_if(Reg::R0, When::Equal, 0, out);
}
