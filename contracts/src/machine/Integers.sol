// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// The machine's integer functions, as `integer` in `crates/machine/src/step.rs`. Total.
library Integers {
    uint256 private constant EQZ = 0;
    uint256 private constant EQ = 1;
    uint256 private constant NE = 2;
    uint256 private constant LT_S = 3;
    uint256 private constant LT_U = 4;
    uint256 private constant LE_S = 5;
    uint256 private constant LE_U = 6;
    uint256 private constant CLZ = 7;
    uint256 private constant CTZ = 8;
    uint256 private constant POPCNT = 9;
    uint256 private constant ADD = 10;
    uint256 private constant SUB = 11;
    uint256 private constant MUL = 12;
    uint256 private constant DIV_S = 13;
    uint256 private constant DIV_U = 14;
    uint256 private constant REM_S = 15;
    uint256 private constant REM_U = 16;
    uint256 private constant AND = 17;
    uint256 private constant OR = 18;
    uint256 private constant XOR = 19;
    uint256 private constant SHL = 20;
    uint256 private constant SHR_S = 21;
    uint256 private constant SHR_U = 22;
    uint256 private constant ROTL = 23;
    uint256 private constant ROTR = 24;
    uint256 private constant EXT8 = 25;
    uint256 private constant EXT16 = 26;
    uint256 private constant EXT32 = 27;

    /// Function `id` of 64 bits (`wide`), else of the low 32 of each operand; or a trap, also if
    /// there is no such function.
    function compute(uint256 id, bool wide, uint256 a, uint256 b)
        internal
        pure
        returns (uint256 result, bool trap)
    {
        unchecked {
            uint256 bits = wide ? 64 : 32;
            uint256 mask = (1 << bits) - 1;
            (a, b) = (a & mask, b & mask);
            if (id <= LE_U) result = compare(id, bits, a, b) ? 1 : 0;
            else if (id <= POPCNT) result = count(id, bits, a);
            else if (id == ADD) result = a + b;
            else if (id == SUB) result = a - b;
            else if (id == MUL) result = a * b;
            else if (id <= REM_U) (result, trap) = divide(id, bits, a, b);
            else if (id == AND) result = a & b;
            else if (id == OR) result = a | b;
            else if (id == XOR) result = a ^ b;
            else if (id <= ROTR) result = shift(id, bits, a, b);
            else if (id == EXT8) result = signed(a, 8);
            else if (id == EXT16) result = signed(a, 16);
            else if (id == EXT32) result = signed(a, 32);
            else trap = true;
            result &= mask;
        }
    }

    function compare(uint256 id, uint256 bits, uint256 a, uint256 b) private pure returns (bool) {
        if (id == EQZ) return a == 0;
        if (id == EQ) return a == b;
        if (id == NE) return a != b;
        if (id == LT_U) return a < b;
        if (id == LE_U) return a <= b;
        (int256 x, int256 y) = (int256(signed(a, bits)), int256(signed(b, bits)));
        return id == LT_S ? x < y : x <= y;
    }

    function count(uint256 id, uint256 bits, uint256 a) private pure returns (uint256) {
        unchecked {
            if (id == CLZ) return bits - bitLength(a);
            if (id == CTZ) return a == 0 ? bits : bitLength(a & (0 - a)) - 1;
            // Of two, four, eight bits side by side, then of all.
            a -= (a >> 1) & 0x5555555555555555;
            a = (a & 0x3333333333333333) + ((a >> 2) & 0x3333333333333333);
            a = (a + (a >> 4)) & 0x0f0f0f0f0f0f0f0f;
            return uint8((a * 0x0101010101010101) >> 56);
        }
    }

    function divide(uint256 id, uint256 bits, uint256 a, uint256 b)
        private
        pure
        returns (uint256, bool trap)
    {
        unchecked {
            if (b == 0) return (0, true);
            if (id == DIV_U) return (a / b, false);
            if (id == REM_U) return (a % b, false);
            (int256 x, int256 y) = (int256(signed(a, bits)), int256(signed(b, bits)));
            if (id == REM_S) return (uint256(x % y), false);
            // One quotient has no place.
            if (a == 1 << (bits - 1) && y == -1) return (0, true);
            return (uint256(x / y), false);
        }
    }

    function shift(uint256 id, uint256 bits, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            b &= bits - 1;
            if (id == SHL) return a << b;
            if (id == SHR_U) return a >> b;
            if (id == SHR_S) return uint256(int256(signed(a, bits)) >> b);
            if (id == ROTR) b = bits - b;
            return a << b | a >> (bits - b);
        }
    }

    /// The low bits, extended by their sign to 256.
    function signed(uint256 value, uint256 bits) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            result := signextend(sub(shr(3, bits), 1), value)
        }
    }

    /// Of at most 64 bits.
    function bitLength(uint256 value) private pure returns (uint256 length) {
        unchecked {
            for (uint256 half = 32; half != 0; half >>= 1) {
                if (value >> (length + half) != 0) length += half;
            }
            if (value != 0) ++length;
        }
    }
}
