// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// @title The machine's floats
/// @notice IEEE 754 binary32 and binary64, round to nearest even, NaN results canonical. Stateless
/// and total. `crates/machine/src/float.rs` is the same, function by function; keep them so.
///
/// A finite value is ±m·2^e. Every operation makes an exact m, or one whose lowest bit says that
/// something is missing (sticky), and rounds once. No m has more than 127 bits, no e more than 13:
/// nothing overflows.
contract FloatUnit {
    // ──────────────────────────────────────── operations ─────────────────────────────────────────
    // The format (`wide`: binary64, else binary32) is that of the result, except of comparisons and
    // of conversions to integers, where it is that of the operand.

    uint256 private constant EQ = 0;
    uint256 private constant NE = 1;
    uint256 private constant LT = 2;
    uint256 private constant LE = 3;
    uint256 private constant ADD = 4;
    uint256 private constant SUB = 5;
    uint256 private constant MUL = 6;
    uint256 private constant DIV = 7;
    uint256 private constant MIN = 8;
    uint256 private constant MAX = 9;
    uint256 private constant SQRT = 10;
    uint256 private constant CEIL = 11;
    uint256 private constant FLOOR = 12;
    uint256 private constant TRUNC = 13;
    uint256 private constant NEAREST = 14;
    /// To i32 signed, i32 unsigned, i64 signed, i64 unsigned: traps on NaN and out of range.
    uint256 private constant TO_INT = 15;
    /// The same, saturating; NaN is 0.
    uint256 private constant TO_INT_SAT = 19;
    /// From i32 signed, i32 unsigned, i64 signed, i64 unsigned.
    uint256 private constant FROM_INT = 23;
    /// From the other format: f32.demote_f64, or wide f64.promote_f32.
    uint256 private constant RESIZE = 27;

    /// Bits of a format: of its significand with the hidden one, and of its exponent. Packed:
    /// precision ‖ exponent.
    uint256 private constant NARROW = 24 << 8 | 8;
    uint256 private constant WIDE = 53 << 8 | 11;

    /// The result of `op` on the low bits of `a` and `b` that its operands have; or a trap, also if
    /// there is no such operation.
    function compute(uint8 op, bool wide, uint64 a, uint64 b)
        external
        pure
        returns (uint64 result, bool trap)
    {
        unchecked {
            uint256 format = wide ? WIDE : NARROW;
            uint256 value;
            if (op <= LE) value = compare(op, format, a, b) ? 1 : 0;
            else if (op == ADD) value = add(format, a, b);
            else if (op == SUB) value = add(format, a, b ^ signBit(format));
            else if (op == MUL) value = mul(format, a, b);
            else if (op == DIV) value = div(format, a, b);
            else if (op <= MAX) value = extreme(op, format, a, b);
            else if (op == SQRT) value = sqrt(format, a);
            else if (op <= NEAREST) value = integral(op, format, a);
            else if (op < TO_INT_SAT) (value, trap) = toInt(op - TO_INT, false, format, a);
            else if (op < FROM_INT) (value, trap) = toInt(op - TO_INT_SAT, true, format, a);
            else if (op < RESIZE) value = fromInt(op - FROM_INT, format, a);
            else if (op == RESIZE) value = resize(wide ? NARROW : WIDE, format, a);
            else trap = true;
            result = uint64(value);
        }
    }

    // ────────────────────────────────────────── formats ──────────────────────────────────────────

    function precision(uint256 format) private pure returns (uint256) {
        return format >> 8;
    }

    /// All ones in the exponent.
    function infinityOf(uint256 format) private pure returns (uint256) {
        unchecked {
            return ((1 << (format & 0xff)) - 1) << (precision(format) - 1);
        }
    }

    function nan(uint256 format) private pure returns (uint256) {
        unchecked {
            return infinityOf(format) | 1 << (precision(format) - 2);
        }
    }

    function signBit(uint256 format) private pure returns (uint256) {
        unchecked {
            return 1 << (precision(format) + (format & 0xff) - 1);
        }
    }

    /// The sign, and the rest.
    function split(uint256 format, uint256 bits)
        private
        pure
        returns (bool negative, uint256 magnitude)
    {
        unchecked {
            uint256 bit = signBit(format);
            return (bits & bit != 0, bits & (bit - 1));
        }
    }

    function sign(uint256 format, bool negative, uint256 magnitude) private pure returns (uint256) {
        return negative ? signBit(format) | magnitude : magnitude;
    }

    /// Exponent of the lowest bit of a subnormal.
    function least(uint256 format) private pure returns (int256) {
        unchecked {
            return 3 - int256(1 << ((format & 0xff) - 1)) - int256(precision(format));
        }
    }

    /// m and e of a finite magnitude.
    function unpack(uint256 format, uint256 magnitude) private pure returns (uint256 m, int256 e) {
        unchecked {
            uint256 field = magnitude >> (precision(format) - 1);
            uint256 hidden = 1 << (precision(format) - 1);
            m = magnitude & (hidden - 1);
            e = least(format);
            if (field != 0) (m, e) = (m | hidden, e + int256(field) - 1);
        }
    }

    /// The nearest to ±m·2^e, ties to even.
    function round(uint256 format, bool negative, uint256 m, int256 e)
        private
        pure
        returns (uint256)
    {
        unchecked {
            if (m == 0) return sign(format, negative, 0);
            int256 lowest = e + int256(bitLength(m)) - int256(precision(format));
            if (lowest < least(format)) lowest = least(format);
            uint256 kept = shiftHalfEven(m, lowest - e);
            // A carry out of the significand raises the exponent by itself; a hidden one counts as
            // one more of it.
            uint256 magnitude = (uint256(lowest - least(format)) << (precision(format) - 1)) + kept;
            uint256 infinity = infinityOf(format);
            return sign(format, negative, magnitude < infinity ? magnitude : infinity);
        }
    }

    // ───────────────────────────────────────── functions ─────────────────────────────────────────

    function compare(uint256 op, uint256 format, uint256 a, uint256 b) private pure returns (bool) {
        unchecked {
            (bool na, uint256 ma) = split(format, a);
            (bool nb, uint256 mb) = split(format, b);
            if (ma > infinityOf(format) || mb > infinityOf(format)) return op == NE;
            int256 ka = na ? -int256(ma) : int256(ma);
            int256 kb = nb ? -int256(mb) : int256(mb);
            if (op == EQ) return ka == kb;
            if (op == NE) return ka != kb;
            if (op == LT) return ka < kb;
            return ka <= kb;
        }
    }

    function extreme(uint256 op, uint256 format, uint256 a, uint256 b)
        private
        pure
        returns (uint256)
    {
        (bool na, uint256 ma) = split(format, a);
        (bool nb, uint256 mb) = split(format, b);
        if (ma > infinityOf(format) || mb > infinityOf(format)) return nan(format);
        // −0 is less than +0.
        bool less = na != nb ? na : na ? ma > mb : ma < mb;
        return less == (op == MIN) ? sign(format, na, ma) : sign(format, nb, mb);
    }

    function add(uint256 format, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            (bool na, uint256 ma) = split(format, a);
            (bool nb, uint256 mb) = split(format, b);
            uint256 infinity = infinityOf(format);
            if (ma > infinity || mb > infinity || (ma == infinity && mb == infinity && na != nb)) {
                return nan(format);
            }
            if (ma == infinity) return sign(format, na, ma);
            if (mb == infinity) return sign(format, nb, mb);
            bool bothNegative = na && nb;
            // Of two magnitudes the greater has the greater exponent.
            if (ma < mb) (na, ma, nb, mb) = (nb, mb, na, ma);
            (uint256 h, int256 eh) = unpack(format, ma);
            (uint256 l, int256 e) = unpack(format, mb);
            if (eh - e > 64) {
                // Far below the last bit: sticky.
                h <<= 64;
                l = l != 0 ? 1 : 0;
                e = eh - 64;
            } else {
                h <<= uint256(eh - e);
            }
            uint256 m = na == nb ? h + l : h - l;
            // An exact zero is −0 only of two of them.
            return round(format, m == 0 ? bothNegative : na, m, e);
        }
    }

    function mul(uint256 format, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            (bool na, uint256 ma) = split(format, a);
            (bool nb, uint256 mb) = split(format, b);
            uint256 infinity = infinityOf(format);
            if (
                ma > infinity || mb > infinity || (ma == infinity && mb == 0)
                    || (ma == 0 && mb == infinity)
            ) {
                return nan(format);
            }
            if (ma == infinity || mb == infinity) return sign(format, na != nb, infinity);
            (uint256 x, int256 ex) = unpack(format, ma);
            (uint256 y, int256 ey) = unpack(format, mb);
            return round(format, na != nb, x * y, ex + ey);
        }
    }

    function div(uint256 format, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            (bool na, uint256 ma) = split(format, a);
            (bool nb, uint256 mb) = split(format, b);
            uint256 infinity = infinityOf(format);
            if (ma > infinity || mb > infinity || (ma == mb && (ma == 0 || ma == infinity))) {
                return nan(format);
            }
            if (ma == infinity || mb == 0) return sign(format, na != nb, infinity);
            if (ma == 0 || mb == infinity) return sign(format, na != nb, 0);
            (uint256 x, int256 ex) = unpack(format, ma);
            (uint256 y, int256 ey) = unpack(format, mb);
            // At least 127 − 53 bits of quotient.
            uint256 shift = 127 - bitLength(x);
            x <<= shift;
            return round(format, na != nb, x / y | (x % y != 0 ? 1 : 0), ex - ey - int256(shift));
        }
    }

    function sqrt(uint256 format, uint256 a) private pure returns (uint256) {
        unchecked {
            (bool negative, uint256 magnitude) = split(format, a);
            if (magnitude == 0) return sign(format, negative, 0);
            if (negative || magnitude > infinityOf(format)) return nan(format);
            if (magnitude == infinityOf(format)) return magnitude;
            (uint256 m, int256 e) = unpack(format, magnitude);
            // 125 or 126 bits, so that the exponent is even: a root of 63.
            int256 shift = int256(126 - bitLength(m));
            shift -= (e - shift) & 1;
            m <<= uint256(shift);
            uint256 root = rootOf(m);
            return round(format, false, root | (root * root != m ? 1 : 0), (e - shift) / 2);
        }
    }

    function integral(uint256 op, uint256 format, uint256 a) private pure returns (uint256) {
        unchecked {
            (bool negative, uint256 magnitude) = split(format, a);
            if (magnitude > infinityOf(format)) return nan(format);
            (uint256 m, int256 e) = unpack(format, magnitude);
            if (e >= 0) return sign(format, negative, magnitude);
            uint256 shift = e < -64 ? 64 : uint256(-e);
            uint256 down = m >> shift;
            uint256 up = down << shift != m ? down + 1 : down;
            if (op == CEIL) m = negative ? down : up;
            else if (op == FLOOR) m = negative ? up : down;
            else if (op == TRUNC) m = down;
            else m = shiftHalfEven(m, int256(shift));
            return round(format, negative, m, 0);
        }
    }

    /// `kind`: bit 0 unsigned, bit 1 64 bits.
    function toInt(uint256 kind, bool saturating, uint256 format, uint256 a)
        private
        pure
        returns (uint256, bool trap)
    {
        unchecked {
            (bool negative, uint256 magnitude) = split(format, a);
            if (magnitude > infinityOf(format)) return (0, !saturating);
            (uint256 m, int256 e) = unpack(format, magnitude);
            // Infinity has the greatest exponent.
            if (e >= 0) m <<= e < 64 ? uint256(e) : 64;
            else m >>= e > -64 ? uint256(-e) : 64;
            uint256 bits = kind & 2 == 0 ? 32 : 64;
            uint256 most;
            if (kind & 1 == 0) most = negative ? 1 << (bits - 1) : (1 << (bits - 1)) - 1;
            else most = negative ? 0 : (1 << bits) - 1;
            if (m > most) {
                if (!saturating) return (0, true);
                m = most;
            }
            return ((negative ? 0 - m : m) & ((1 << bits) - 1), false);
        }
    }

    /// `kind` as in `toInt`.
    function fromInt(uint256 kind, uint256 format, uint256 a) private pure returns (uint256) {
        unchecked {
            uint256 bits = kind & 2 == 0 ? 32 : 64;
            a &= (1 << bits) - 1;
            bool negative = kind & 1 == 0 && a >> (bits - 1) != 0;
            return round(format, negative, negative ? (1 << bits) - a : a, 0);
        }
    }

    function resize(uint256 from, uint256 to, uint256 a) private pure returns (uint256) {
        (bool negative, uint256 magnitude) = split(from, a);
        if (magnitude > infinityOf(from)) return nan(to);
        if (magnitude == infinityOf(from)) return sign(to, negative, infinityOf(to));
        (uint256 m, int256 e) = unpack(from, magnitude);
        return round(to, negative, m, e);
    }

    // ───────────────────────────────────────── integers ──────────────────────────────────────────

    /// m·2^−shift to the nearest integer, ties to even. A negative shift is exact.
    function shiftHalfEven(uint256 m, int256 shift) private pure returns (uint256 down) {
        unchecked {
            if (shift <= 0) return m << uint256(-shift);
            if (shift > 127) return 0;
            down = m >> uint256(shift);
            uint256 rest = m - (down << uint256(shift));
            uint256 half = 1 << uint256(shift - 1);
            if (rest > half || (rest == half && down & 1 == 1)) ++down;
        }
    }

    /// Of less than 128 bits.
    function bitLength(uint256 m) private pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := shl(6, lt(0xffffffffffffffff, m))
            length := or(length, shl(5, lt(0xffffffff, shr(length, m))))
            length := or(length, shl(4, lt(0xffff, shr(length, m))))
            length := or(length, shl(3, lt(0xff, shr(length, m))))
            length := or(length, shl(2, lt(0xf, shr(length, m))))
            // Of the four bits that are left: their length from a table.
            length := add(
                length,
                byte(
                    shr(length, m),
                    0x0001020203030303040404040404040400000000000000000000000000000000
                )
            )
        }
    }

    /// ⌊√n⌋ of n with 125 or 126 bits, by Newton from above: each turn doubles the bits that are
    /// right.
    function rootOf(uint256 n) private pure returns (uint256 root) {
        unchecked {
            root = 1 << 63;
            for (uint256 i = 0; i < 7; ++i) {
                root = (root + n / root) >> 1;
            }
            // It may stand one above.
            if (root * root > n) --root;
        }
    }
}
