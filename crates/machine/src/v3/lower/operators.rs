//! Mapping of WebAssembly operators to functions of the register machine.

use wasmparser::Operator;

use crate::v3::ir::{WIDE, alu};

/// Returns the integer function of an operator that has two operands, unless it needs a rewrite.
pub(super) fn integer(operator: &Operator<'_>) -> Option<u8> {
    use Operator::*;
    let (function, wide) = match operator {
        I32Eq => (alu::EQ, 0),
        I32Ne => (alu::NE, 0),
        I32LtS => (alu::LT_S, 0),
        I32LtU => (alu::LT_U, 0),
        I32LeS => (alu::LE_S, 0),
        I32LeU => (alu::LE_U, 0),
        I32Add => (alu::ADD, 0),
        I32Sub => (alu::SUB, 0),
        I32Mul => (alu::MUL, 0),
        I32DivS => (alu::DIV_S, 0),
        I32DivU => (alu::DIV_U, 0),
        I32RemS => (alu::REM_S, 0),
        I32RemU => (alu::REM_U, 0),
        I32And => (alu::AND, 0),
        I32Or => (alu::OR, 0),
        I32Xor => (alu::XOR, 0),
        I32Shl => (alu::SHL, 0),
        I32ShrS => (alu::SHR_S, 0),
        I32ShrU => (alu::SHR_U, 0),
        I32Rotl => (alu::ROTL, 0),
        I32Rotr => (alu::ROTR, 0),
        I64Eq => (alu::EQ, WIDE),
        I64Ne => (alu::NE, WIDE),
        I64LtS => (alu::LT_S, WIDE),
        I64LtU => (alu::LT_U, WIDE),
        I64LeS => (alu::LE_S, WIDE),
        I64LeU => (alu::LE_U, WIDE),
        I64Add => (alu::ADD, WIDE),
        I64Sub => (alu::SUB, WIDE),
        I64Mul => (alu::MUL, WIDE),
        I64DivS => (alu::DIV_S, WIDE),
        I64DivU => (alu::DIV_U, WIDE),
        I64RemS => (alu::REM_S, WIDE),
        I64RemU => (alu::REM_U, WIDE),
        I64And => (alu::AND, WIDE),
        I64Or => (alu::OR, WIDE),
        I64Xor => (alu::XOR, WIDE),
        I64Shl => (alu::SHL, WIDE),
        I64ShrS => (alu::SHR_S, WIDE),
        I64ShrU => (alu::SHR_U, WIDE),
        I64Rotl => (alu::ROTL, WIDE),
        I64Rotr => (alu::ROTR, WIDE),
        _ => return None,
    };
    Some(function | wide)
}

/// A float function, with the order in which it takes its operands.
pub(super) enum Float {
    One(u8),
    Two(u8),
    /// gt or ge, as lt or le with exchanged operands.
    Swapped(u8),
}

/// Returns the float function of an operator.
pub(super) fn float(operator: &Operator<'_>) -> Option<Float> {
    use Float::*;
    use Operator::*;
    Some(match operator {
        F32Eq => Two(0),
        F32Ne => Two(1),
        F32Lt => Two(2),
        F32Le => Two(3),
        F32Gt => Swapped(2),
        F32Ge => Swapped(3),
        F32Add => Two(4),
        F32Sub => Two(5),
        F32Mul => Two(6),
        F32Div => Two(7),
        F32Min => Two(8),
        F32Max => Two(9),
        F32Sqrt => One(10),
        F32Ceil => One(11),
        F32Floor => One(12),
        F32Trunc => One(13),
        F32Nearest => One(14),
        F64Eq => Two(WIDE),
        F64Ne => Two(1 | WIDE),
        F64Lt => Two(2 | WIDE),
        F64Le => Two(3 | WIDE),
        F64Gt => Swapped(2 | WIDE),
        F64Ge => Swapped(3 | WIDE),
        F64Add => Two(4 | WIDE),
        F64Sub => Two(5 | WIDE),
        F64Mul => Two(6 | WIDE),
        F64Div => Two(7 | WIDE),
        F64Min => Two(8 | WIDE),
        F64Max => Two(9 | WIDE),
        F64Sqrt => One(10 | WIDE),
        F64Ceil => One(11 | WIDE),
        F64Floor => One(12 | WIDE),
        F64Trunc => One(13 | WIDE),
        F64Nearest => One(14 | WIDE),
        I32TruncF32S => One(15),
        I32TruncF32U => One(16),
        I64TruncF32S => One(17),
        I64TruncF32U => One(18),
        I32TruncF64S => One(15 | WIDE),
        I32TruncF64U => One(16 | WIDE),
        I64TruncF64S => One(17 | WIDE),
        I64TruncF64U => One(18 | WIDE),
        I32TruncSatF32S => One(19),
        I32TruncSatF32U => One(20),
        I64TruncSatF32S => One(21),
        I64TruncSatF32U => One(22),
        I32TruncSatF64S => One(19 | WIDE),
        I32TruncSatF64U => One(20 | WIDE),
        I64TruncSatF64S => One(21 | WIDE),
        I64TruncSatF64U => One(22 | WIDE),
        F32ConvertI32S => One(23),
        F32ConvertI32U => One(24),
        F32ConvertI64S => One(25),
        F32ConvertI64U => One(26),
        F64ConvertI32S => One(23 | WIDE),
        F64ConvertI32U => One(24 | WIDE),
        F64ConvertI64S => One(25 | WIDE),
        F64ConvertI64U => One(26 | WIDE),
        F32DemoteF64 => One(27),
        F64PromoteF32 => One(27 | WIDE),
        _ => return None,
    })
}
