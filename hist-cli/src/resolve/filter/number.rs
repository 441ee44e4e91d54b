//! Reads the numbers of a filter as the kernel does: all 64 bits, of which as many are kept as the
//! field has, and those are extended again.

/// Why a number cannot be used: it does not fit the 64 bits of its sign, or is none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotInRange;

/// `kstrtoll` with base 0: as [`parse_unsigned`], with an optional `-`.
pub(super) fn parse_signed(text: &str) -> Result<u64, NotInRange> {
    let (digits, limit, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, 1 << 63, true),
        None => (text, i64::MAX.cast_unsigned(), false),
    };
    let magnitude = parse_unsigned(digits)?;
    match magnitude <= limit {
        true if negative => Ok(magnitude.wrapping_neg()),
        true => Ok(magnitude),
        false => Err(NotInRange),
    }
}

/// `kstrtoull` with base 0: hexadecimal behind `0x`, octal behind `0`, else decimal.
pub(super) fn parse_unsigned(text: &str) -> Result<u64, NotInRange> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return Err(NotInRange);
    }
    u64::from_str_radix(digits, base).map_err(|_| NotInRange)
}

/// Keeps the low `width` bytes and extends them to 64 bits.
pub(super) fn extend(value: u64, width: u32, signed: bool) -> u64 {
    let spare = 64 - 8 * width.clamp(1, 8);
    let shifted = value << spare;
    if signed { (shifted.cast_signed() >> spare).cast_unsigned() } else { shifted >> spare }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_cut_to_the_field_and_extended() {
        assert_eq!(extend(255, 1, true), u64::MAX);
        assert_eq!(extend(0x1ff, 1, true), u64::MAX);
        assert_eq!(extend(200, 1, true), (-56i64).cast_unsigned());
        assert_eq!(extend(0x1ff, 1, false), 0xff);
        assert_eq!(extend(u64::MAX, 8, false), u64::MAX);
        assert_eq!(extend(1 << 32, 4, true), 0);
    }

    #[test]
    fn numbers_take_the_base_of_their_prefix() {
        for (text, value) in [
            ("10", Ok(10)),
            ("0x1F", Ok(31)),
            ("0X1f", Ok(31)),
            ("010", Ok(8)),
            ("0", Ok(0)),
            ("08", Err(NotInRange)),
            ("0x", Err(NotInRange)),
            ("9z", Err(NotInRange)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(NotInRange)),
        ] {
            assert_eq!(parse_unsigned(text), value, "{text}");
        }
        assert_eq!(parse_signed("-1"), Ok(u64::MAX));
        assert_eq!(parse_signed("-9223372036854775808"), Ok(1 << 63));
        assert_eq!(parse_signed("-9223372036854775809"), Err(NotInRange));
        assert_eq!(parse_signed("9223372036854775808"), Err(NotInRange));
    }
}
