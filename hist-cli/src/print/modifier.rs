//! Writes one key or sum in the way that its column is shown, as `hist_trigger_print_key()` and
//! `hist_trigger_print_val()` in the kernel's trace_events_hist.c write it.

use std::fmt::{self, Write};

use super::bytes::Bytes;
use super::cell::{Cell, Named};
use crate::escape::{Charset, shown};
use crate::modifier::{BucketWidth, Digits, Naming, Share, Show};
use crate::snapshot::bucket::{Bucket, Buckets};
use crate::snapshot::{IntType, ValueColumn};

/// Appends one key of an entry.
pub(super) fn key(out: &mut Bytes, label: &str, show: Show, cell: &Cell<'_>) -> fmt::Result {
    out.push_str(label);
    out.push_str(if matches!(cell, Cell::Stack(_)) { ":\n" } else { ": " });
    match cell {
        Cell::Number(number) if show == Show::DECIMAL => {
            decimal(out, *number);
            Ok(())
        }
        Cell::Number(number) => show.write_number(out, *number),
        Cell::Named(named) => {
            // Other columns have no such cells.
            let naming = if let Show::Name(naming) = show { naming } else { Naming::Symbol };
            self::named(out, naming, named)
        }
        Cell::Text(text) => {
            padded(out, text, 50);
            Ok(())
        }
        Cell::Stack(frames) => {
            frames.iter().for_each(|frame| stack_line(out, frame));
            Ok(())
        }
    }
}

/// Appends what `%10llu` makes of `number`. A large table has hundreds of thousands of them, and
/// `write!` takes three times as long.
pub(super) fn decimal(out: &mut Bytes, mut number: u64) {
    let mut digits = [b' '; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_bytes(&digits[start.min(10)..]);
}

/// A key that is a number, without what fills its column up.
pub(crate) fn number(show: Show, number: u64) -> String {
    let mut out = String::new();
    show.write_number(&mut out, number).expect("writing to a String cannot fail");
    out.trim().to_owned()
}

/// The same for every format but ftrace's own text: with the sign and in the width of its type.
pub(crate) fn shown_number(show: Show, number: IntType, word: u64) -> String {
    let bucket = Buckets::of(show, number).map(|buckets| buckets.bucket(word));
    match (show, bucket) {
        (Show::Digits(digits), _) => number.digits(digits, word),
        (Show::Bucket(BucketWidth::Log2), Some(Bucket { low: ..0, .. })) => "< 0".to_owned(),
        (Show::Bucket(BucketWidth::Fixed(_)), Some(Bucket { low: low @ ..0, high })) => {
            format!("~ {low}..{high}")
        }
        (Show::Bucket(BucketWidth::Fixed(_)), Some(Bucket { low, high })) => {
            format!("~ {low}-{high}")
        }
        (Show::Bucket(BucketWidth::Log2), _) => self::number(show, word),
        _ => number.decimal(word),
    }
}

/// What has a name as well as a number, in every format but ftrace's own text. Addresses are left
/// out.
pub(crate) fn shown_name(
    show: Show,
    number: IntType,
    named: &Named<'_>,
    charset: Charset,
) -> String {
    let name = shown(&named.name, charset);
    match (show, named.number) {
        (Show::Name(naming), Some(word)) if !naming.is_symbol() => {
            format!("{name} [{}]", number.decimal(word))
        }
        _ => name,
    }
}

/// A number that is left out takes its brackets with it.
fn named(out: &mut Bytes, naming: Naming, named: &Named<'_>) -> fmt::Result {
    let layout = naming.layout();
    if let (None, Some(address)) = (layout.number_behind, named.number) {
        write!(out, "[{address:x}] ")?;
    }
    padded(out, &named.name, layout.name);
    if let (Some(width), Some(number)) = (layout.number_behind, named.number) {
        write!(out, "[{number:>width$}]")?;
    }
    Ok(())
}

fn stack_line(out: &mut Bytes, frame: &Named<'_>) {
    out.push_str("         ");
    out.push_bytes(&frame.name);
    out.push('\n');
}

/// Appends `text` and spaces up to `width`, in bytes.
fn padded(out: &mut Bytes, text: &[u8], width: usize) {
    out.push_bytes(text);
    (text.len()..width).for_each(|_| out.push(' '));
}

/// What `.percent` and `.graph` relate a column's sums to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scale {
    /// The sum over all entries shown, wrapping.
    pub(crate) total: u64,
    /// The largest entry shown.
    pub(crate) max: u64,
}

/// Ten-thousandths of `whole`, as `__get_percentage()` computes them; `None` is an error.
pub(crate) fn part(sum: u64, whole: u64) -> Option<u64> {
    let part = if sum < u64::MAX / 10_000 {
        (sum * 10_000).checked_div(whole)
    } else {
        sum.checked_div(whole / 10_000)
    };
    // Nothing of nothing is none; the kernel keeps 32 bits.
    part.or((sum == 0).then_some(0)).map(|part| part & u64::from(u32::MAX))
}

/// Cells of a bar.
const BAR: u64 = 20;

fn bar(part: Option<u64>) -> String {
    let Some(part) = part else { return format!("{:>20}", "[ERROR]") };
    let full = usize::try_from((part * BAR / 10_000).min(BAR)).unwrap_or_default();
    format!("{:<20}", "#".repeat(full))
}

/// Appends one sum of an entry, the space before it included.
pub(super) fn value(out: &mut Bytes, column: &ValueColumn, sum: u64, scale: Scale) -> fmt::Result {
    let label = &column.label;
    match column.show {
        Show::Share(Share::Percent) => match part(sum, scale.total) {
            Some(part) => write!(out, " {label} (%): {:>3}.{:02}", part / 100, part % 100),
            None => write!(out, " {label} (%):[ERROR]"),
        },
        Show::Share(Share::Graph) => write!(out, " {label}: {}", bar(part(sum, scale.max))),
        Show::Digits(Digits::Decimal) => {
            out.push(' ');
            out.push_str(label);
            out.push_str(": ");
            decimal(out, sum);
            Ok(())
        }
        Show::Digits(digits) => write!(out, " {label}: {:>10}", digits.text(sum)),
        Show::Bucket(_) | Show::Name(_) | Show::Stack | Show::Text => {
            write!(out, " {label}: {sum:>10}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::symbols::Symbols;
    use crate::print::cell::cell;
    use crate::snapshot::{KeyOrder, Row, Snapshot};

    const KALLSYMS: &str = "\
ffffffff8fc90000 T _stext
ffffffff8fc90a20 T __x64_sys_tee
ffffffff8fc90b10 T __x64_sys_a_name_that_is_longer_than_the_field_it_stands_in
ffffffff8fd00000 T _etext
ffffffffc0000000 t ext4_open\t[ext4]
ffffffffc0000100 t ext4_close\t[ext4]
";

    fn shown_key(show: Show, word: u64) -> String {
        let bytes = shown_bytes(show, word, *b"abcdefghijklmno\0");
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn shown_bytes(show: Show, word: u64, comm: [u8; 16]) -> Vec<u8> {
        let keys = Snapshot::named("").with_number("before", Show::DECIMAL);
        let column = keys.with_key("u64", 8, show, KeyOrder::Unsigned(8)).keys.remove(1);
        let row = Row::of_words(&[0xeeee_eeee_eeee_eeee, word], 1, &[]).of_task(&comm);
        let mut out = Bytes::default();
        let symbols = Symbols::from_kallsyms(KALLSYMS);
        let cell = cell(&column, &row, &symbols);
        super::key(&mut out, &column.label, show, &cell).expect("memory");
        out.into_vec()
    }

    /// They were replaced by what stands for unknown characters, and padded as those.
    #[test]
    fn strings_of_any_bytes_stay_as_they_are() {
        let name = *b"\xff\xfe\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let shown = shown_bytes(Show::Name(Naming::Task), 483, name);
        assert_eq!(shown, b"u64: \xff\xfe              [       483]");
        let shown = shown_bytes(Show::Text, u64::from_le_bytes(*b"\xff\xfe\x80\0\0\0\0\0"), name);
        assert_eq!(shown, [&b"u64: \xff\xfe\x80"[..], &[b' '; 47]].concat());
    }

    #[test]
    fn keys_are_shown_as_the_kernel_shows_them() {
        let tee = 0xffff_ffff_8fc9_0a20;
        let open = 0xffff_ffff_c000_0010;
        for (show, word, want) in [
            (Show::DECIMAL, 1, "u64:          1"),
            (Show::DECIMAL, (-5_i64).cast_unsigned(), "u64: 18446744073709551611"),
            (Show::Digits(Digits::Hex), u64::MAX, "u64: ffffffffffffffff"),
            (Show::Digits(Digits::Hex), 0, "u64: 0"),
            (
                Show::Name(Naming::Symbol),
                tee,
                "u64: [ffffffff8fc90a20] __x64_sys_tee                                ",
            ),
            (
                Show::Name(Naming::SymbolOffset),
                tee,
                "u64: [ffffffff8fc90a20] __x64_sys_tee+0x0/0xf0                                 ",
            ),
            (
                Show::Name(Naming::Symbol),
                open,
                "u64: [ffffffffc0000010] ext4_open [ext4]                             ",
            ),
            (
                Show::Name(Naming::SymbolOffset),
                open,
                "u64: [ffffffffc0000010] ext4_open+0x10/0x100 [ext4]                            ",
            ),
            (
                Show::Name(Naming::Symbol),
                0xffff_ffff_8fc9_0b10,
                "u64: [ffffffff8fc90b10] __x64_sys_a_name_that_is_longer_than_the_field_it_stands_in",
            ),
            (
                Show::Name(Naming::Symbol),
                5,
                "u64: [5] 0x5                                          ",
            ),
            (
                Show::Name(Naming::SymbolOffset),
                5,
                "u64: [5] 0x5                                                    ",
            ),
            (
                Show::Name(Naming::SymbolOffset),
                0,
                "u64: [0] 0x0                                                    ",
            ),
            (Show::Bucket(BucketWidth::Log2), 0, "u64: ~ 2^0 "),
            (Show::Bucket(BucketWidth::Log2), 10, "u64: ~ 2^10"),
            (Show::Bucket(BucketWidth::Fixed(10)), 10, "u64: ~ 10-19"),
            (
                Show::Bucket(BucketWidth::Fixed(10)),
                (-6_i64).cast_unsigned(),
                "u64: ~ 18446744073709551610-3",
            ),
            (Show::Bucket(BucketWidth::Fixed(1)), 7, "u64: ~ 7-7"),
            (Show::Name(Naming::Task), 483, "u64: abcdefghijklmno [       483]"),
            (Show::Name(Naming::Task), 0, "u64: <idle>          [         0]"),
            (Show::Name(Naming::SystemCall), 276, "u64: sys_tee                       [276]"),
            (
                Show::Name(Naming::SystemCall),
                u64::MAX,
                "u64: unknown_syscall               [18446744073709551615]",
            ),
            (
                Show::Text,
                u64::from_le_bytes(*b"hello\0\0\0"),
                "u64: hello                                             ",
            ),
            (Show::Stack, tee + 9, "u64:\n         __x64_sys_tee+0x9/0xf0\n"),
        ] {
            assert_eq!(shown_key(show, word), want, "{show:?}");
        }
    }

    /// From a ten-thousandth of 2^64 on the total is divided instead, and its rest is lost: here
    /// 19999 / 10000 is 1. Computed by hand, kept to 32 bits.
    #[test]
    fn large_sums_are_related_to_a_smaller_total() {
        const FIRST: u64 = 1_844_674_407_370_955;
        assert_eq!(part(FIRST - 1, 19_999), Some(441_329_955));
        assert_eq!(part(FIRST, 19_999), Some(3_133_608_139));
        assert_eq!(part(FIRST + 1, 19_999), Some(3_133_608_140));
        // Less than a ten-thousandth is no divisor.
        assert_eq!(part(FIRST, 9_999), None);
    }

    #[test]
    fn values_are_shown_as_the_kernel_shows_them() {
        for (show, sum, want) in [
            (Show::DECIMAL, 2, " b:          2"),
            (Show::DECIMAL, u64::MAX, " b: 18446744073709551615"),
            (Show::Digits(Digits::Hex), 0x870, " b:        870"),
            (Show::Digits(Digits::Hex), u64::MAX, " b: ffffffffffffffff"),
            // Computed by hand from the specified formulas.
            (Show::Share(Share::Percent), 1, " b (%):   3.03"),
            (Show::Share(Share::Percent), 2, " b (%):   6.06"),
            (Show::Share(Share::Percent), 30, " b (%):  90.90"),
            (Show::Share(Share::Percent), 0, " b (%):   0.00"),
            (Show::Share(Share::Percent), u64::MAX, " b (%):[ERROR]"),
            (Show::Share(Share::Graph), 1, " b:                     "),
            (Show::Share(Share::Graph), 2, " b: #                   "),
            (Show::Share(Share::Graph), 30, " b: ####################"),
            (Show::Share(Share::Graph), u64::MAX, " b:              [ERROR]"),
        ] {
            let mut out = Bytes::default();
            let column = Snapshot::named("").with_value("b", show, IntType::S64).values.remove(0);
            value(&mut out, &column, sum, Scale { total: 33, max: 30 }).expect("memory");
            assert_eq!(out.into_vec(), want.as_bytes());
        }
    }
}
