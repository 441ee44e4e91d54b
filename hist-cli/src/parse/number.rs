//! Reads integer literals by the rules of the kernel's `kstrtoull` with base 0 (lib/kstrtox.c): an
//! optional `+`, then `0x` for hexadecimal, a leading `0` for octal, a final newline allowed.

use bstr::BStr;
use nom::branch::alt;
use nom::bytes::complete::tag_no_case;
use nom::character::complete::{char, digit1, hex_digit1, oct_digit1};
use nom::combinator::{opt, peek, value};
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// Why a text is no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// It is not written like one.
    Malformed,
    /// It does not fit into 64 bits.
    Overflow,
}

/// Reads an unsigned 64-bit integer.
///
/// # Errors
///
/// [`NumberError`]; that digits overflow counts more than that something follows them.
pub(crate) fn unsigned(text: &BStr) -> Result<u64, NumberError> {
    let (rest, (radix, digits)) = literal(text).map_err(|_| NumberError::Malformed)?;
    let digits = str::from_utf8(digits).map_err(|_| NumberError::Malformed)?;
    let number = u64::from_str_radix(digits, radix).map_err(|_| NumberError::Overflow)?;
    if matches!(rest, b"" | b"\n") { Ok(number) } else { Err(NumberError::Malformed) }
}

/// Base and digits.
fn literal(text: &[u8]) -> IResult<&[u8], (u32, &[u8])> {
    let hexadecimal = (value(16, tag_no_case("0x")), hex_digit1);
    let octal = (value(8, peek(char('0'))), oct_digit1);
    let decimal = (value(10, nom::combinator::success(())), digit1);
    preceded(opt(char('+')), alt((hexadecimal, octal, decimal))).parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<u64, NumberError>) {
        assert_eq!(unsigned(text.into()), expect, "{text:?}");
    }

    #[test]
    fn base_comes_from_the_prefix() {
        check("0", Ok(0));
        check("2048", Ok(2048));
        check("+128", Ok(128));
        check("0200", Ok(128));
        check("0x100", Ok(256));
        check("0X1f", Ok(31));
        check("12\n", Ok(12));
        check("18446744073709551615", Ok(u64::MAX));
        check("0xffffffffffffffff", Ok(u64::MAX));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "+", "++1", "-1", " 1", "1 ", "0x", "0b1", "08", "9z", "1\n\n", "\u{661}"]
        {
            check(text, Err(NumberError::Malformed));
        }
        check("18446744073709551616", Err(NumberError::Overflow));
        check("99999999999999999999z", Err(NumberError::Overflow));
    }
}
