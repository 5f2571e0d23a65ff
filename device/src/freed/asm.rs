//! A small assembler for BPF programs: names for the instructions that ours needs, and labels
//! (`Documentation/bpf/standardization/instruction-set.rst`).

/// A register. `R0` returns, `R1` to `R5` are arguments and lost in calls, `R6` to `R9` are
/// kept, `R10` is the frame's upper end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reg {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R6 = 6,
    R7,
    R8,
    R9,
    R10,
}

/// The width of an access to memory, by its code.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Size {
    /// 32 bits.
    Word = 0x00,
    /// 64 bits.
    Double = 0x18,
}

/// An operation on a register, by its code.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Op {
    Add = 0x00,
    Sub = 0x10,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// When a jump is taken, comparing without sign, by its code.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum When {
    Equal = 0x10,
    Above = 0x20,
    NotEqual = 0x50,
    BelowOrEqual = 0xb0,
}

/// What stands second in an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    /// A register.
    Reg(Reg),
    /// A number, sign-extended if the operation has 64 bits.
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Operand::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(value: i32) -> Self {
        Operand::Imm(value)
    }
}

const CLASS_LD: u8 = 0x00;
const CLASS_LDX: u8 = 0x01;
const CLASS_STX: u8 = 0x03;
const CLASS_JMP: u8 = 0x05;
const CLASS_JMP32: u8 = 0x06;
const CLASS_ALU: u8 = 0x04;
const CLASS_ALU64: u8 = 0x07;
const MODE_MEM: u8 = 0x60;
const MODE_ATOMIC: u8 = 0xc0;
const SOURCE_REG: u8 = 0x08;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// `BPF_OR | BPF_FETCH`.
const ATOMIC_FETCH_OR: i32 = 0x41;
/// `BPF_PSEUDO_MAP_FD`: the 64-bit number is a map's file descriptor.
const PSEUDO_MAP_FD: u8 = 1;

/// A place in a program to jump to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A program in the making.
#[derive(Debug, Default)]
pub(super) struct Asm {
    /// `struct bpf_insn`: operation, registers, offset, number.
    code: Vec<u64>,
    /// Where each label stands, once it does.
    labels: Vec<Option<usize>>,
    /// Jumps and the labels that they are to reach.
    jumps: Vec<(usize, Label)>,
}

impl Asm {
    fn emit(&mut self, op: u8, dst: Reg, src: u8, offset: i16, imm: i32) {
        // Registers share a byte: the target in its lower half on little-endian machines, the
        // only ones for which programs are made.
        self.code.push(u64::from_le_bytes([
            op,
            dst as u8 | src << 4,
            offset.to_le_bytes()[0],
            offset.to_le_bytes()[1],
            imm.to_le_bytes()[0],
            imm.to_le_bytes()[1],
            imm.to_le_bytes()[2],
            imm.to_le_bytes()[3],
        ]));
    }

    fn with(&mut self, op: u8, dst: Reg, operand: Operand, offset: i16) {
        match operand {
            Operand::Reg(src) => self.emit(op | SOURCE_REG, dst, src as u8, offset, 0),
            Operand::Imm(imm) => self.emit(op, dst, 0, offset, imm),
        }
    }

    /// `dst = dst OP operand`, in 64 bits.
    pub(super) fn alu(&mut self, op: Op, dst: Reg, operand: impl Into<Operand>) {
        self.with(CLASS_ALU64 | op as u8, dst, operand.into(), 0);
    }

    /// `dst = lower 32 bits of src`.
    pub(super) fn move32(&mut self, dst: Reg, src: Reg) {
        self.with(CLASS_ALU | Op::Move as u8, dst, src.into(), 0);
    }

    /// `dst = value`.
    pub(super) fn load_number(&mut self, dst: Reg, value: u64) {
        self.double(dst, 0, value);
    }

    /// `dst = the map of this file descriptor`.
    pub(super) fn load_map(&mut self, dst: Reg, fd: i32) {
        self.double(dst, PSEUDO_MAP_FD, u64::from(fd.cast_unsigned()));
    }

    /// The one instruction of double length.
    fn double(&mut self, dst: Reg, src: u8, value: u64) {
        let (low, high) = (value as u32, (value >> 32) as u32);
        let op = CLASS_LD | Size::Double as u8;
        self.emit(op, dst, src, 0, low.cast_signed());
        self.emit(0, Reg::R0, 0, 0, high.cast_signed());
    }

    /// `dst = *(src + offset)`.
    pub(super) fn load(&mut self, size: Size, dst: Reg, src: Reg, offset: i16) {
        self.emit(CLASS_LDX | MODE_MEM | size as u8, dst, src as u8, offset, 0);
    }

    /// `*(dst + offset) = src`.
    pub(super) fn store(&mut self, size: Size, dst: Reg, offset: i16, src: Reg) {
        self.emit(CLASS_STX | MODE_MEM | size as u8, dst, src as u8, offset, 0);
    }

    /// `src = *dst, *dst |= src`, at once, 64 bits, a full barrier.
    pub(super) fn fetch_or(&mut self, dst: Reg, src: Reg) {
        let op = CLASS_STX | MODE_ATOMIC | Size::Double as u8;
        self.emit(op, dst, src as u8, 0, ATOMIC_FETCH_OR);
    }

    /// A label that does not stand anywhere yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts a label here.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// Jumps to `label` when `reg` compares so with `operand`, in 64 bits.
    pub(super) fn jump_if(
        &mut self,
        reg: Reg,
        when: When,
        operand: impl Into<Operand>,
        label: Label,
    ) {
        self.jumps.push((self.code.len(), label));
        self.with(CLASS_JMP | when as u8, reg, operand.into(), 0);
    }

    /// The same in 32 bits.
    pub(super) fn jump_if32(
        &mut self,
        reg: Reg,
        when: When,
        operand: impl Into<Operand>,
        label: Label,
    ) {
        self.jumps.push((self.code.len(), label));
        self.with(CLASS_JMP32 | when as u8, reg, operand.into(), 0);
    }

    /// Calls the kernel's function of this number (`enum bpf_func_id`).
    pub(super) fn call(&mut self, function: i32) {
        self.emit(CLASS_JMP | CALL, Reg::R0, 0, 0, function);
    }

    /// Returns what `R0` holds.
    pub(super) fn exit(&mut self) {
        self.emit(CLASS_JMP | EXIT, Reg::R0, 0, 0, 0);
    }

    /// The program; `None` if a label stands nowhere or too far from a jump to it.
    pub(super) fn finish(mut self) -> Option<Vec<u64>> {
        for (jump, label) in self.jumps {
            let target = self.labels[label.0]?;
            let distance = i16::try_from(target as i64 - (jump as i64 + 1)).ok()?;
            self.code[jump] |= u64::from(distance.cast_unsigned()) << 16;
        }
        Some(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of one instruction as the kernel's headers define it.
    fn insn(code: u8, regs: u8, off: i16, imm: i32) -> u64 {
        u64::from(code)
            | u64::from(regs) << 8
            | u64::from(off.cast_unsigned()) << 16
            | u64::from(imm.cast_unsigned()) << 32
    }

    #[test]
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        let mut asm = Asm::default();
        asm.alu(Op::Move, Reg::R0, 0);
        asm.alu(Op::Add, Reg::R2, Reg::R10);
        asm.alu(Op::ShiftRight, Reg::R7, 6);
        asm.move32(Reg::R8, Reg::R8);
        asm.load(Size::Word, Reg::R1, Reg::R6, 76);
        asm.load(Size::Double, Reg::R6, Reg::R1, 8);
        asm.store(Size::Word, Reg::R10, -4, Reg::R6);
        asm.fetch_or(Reg::R0, Reg::R1);
        asm.call(130);
        asm.exit();
        assert_eq!(
            asm.finish().unwrap(),
            [
                insn(0xb7, 0x00, 0, 0),
                insn(0x0f, 0xa2, 0, 0),
                insn(0x77, 0x07, 0, 6),
                insn(0xbc, 0x88, 0, 0),
                insn(0x61, 0x61, 76, 0),
                insn(0x79, 0x16, 8, 0),
                insn(0x63, 0x6a, -4, 0),
                insn(0xdb, 0x10, 0, 0x41),
                insn(0x85, 0x00, 0, 130),
                insn(0x95, 0x00, 0, 0),
            ]
        );
    }

    #[test]
    fn wide_numbers_take_two_instructions() {
        let mut asm = Asm::default();
        asm.load_number(Reg::R3, 0x1234_5678_9abc_def0);
        asm.load_map(Reg::R1, 7);
        assert_eq!(
            asm.finish().unwrap(),
            [
                insn(0x18, 0x03, 0, 0x9abc_def0_u32.cast_signed()),
                insn(0x00, 0x00, 0, 0x1234_5678),
                insn(0x18, 0x11, 0, 7),
                insn(0x00, 0x00, 0, 0),
            ]
        );
    }

    #[test]
    fn jumps_reach_their_labels() {
        let mut asm = Asm::default();
        let (start, end) = (asm.label(), asm.label());
        asm.place(start);
        asm.jump_if(Reg::R1, When::Equal, 5, end);
        asm.jump_if32(Reg::R1, When::NotEqual, Reg::R2, start);
        asm.place(end);
        asm.exit();
        assert_eq!(
            asm.finish().unwrap(),
            [
                insn(0x15, 0x01, 1, 5),
                insn(0x5e, 0x21, -2, 0),
                insn(0x95, 0x00, 0, 0),
            ]
        );
    }

    #[test]
    fn a_label_that_stands_nowhere_is_an_error() {
        let mut asm = Asm::default();
        let nowhere = asm.label();
        asm.jump_if(Reg::R1, When::Above, 5, nowhere);
        assert_eq!(asm.finish(), None);
    }
}
