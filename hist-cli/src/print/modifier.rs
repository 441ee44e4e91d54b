//! Takes one key or sum and how it is shown. Gives its text, as `hist_trigger_print_key()` and
//! `hist_trigger_print_val()` in the kernel's trace_events_hist.c write it.

use std::fmt::{self, Write};

use super::bytes::Bytes;
use super::cell::{Cell, Named};
use crate::escape::{Charset, shown};
use crate::snapshot::bucket::{Bucket, Buckets};
use crate::snapshot::{IntType, KeyShow, ValueColumn, ValueShow};

/// Appends one key of an entry.
pub(super) fn key(out: &mut Bytes, label: &str, show: KeyShow, cell: &Cell<'_>) -> fmt::Result {
    out.push_str(label);
    out.push_str(if matches!(cell, Cell::Stack(_)) { ":\n" } else { ": " });
    match cell {
        Cell::Number(number) if show == KeyShow::Decimal => {
            decimal(out, *number);
            Ok(())
        }
        Cell::Number(number) => write_number(out, show, *number),
        Cell::Named(named) => self::named(out, show, named),
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
pub(crate) fn number(show: KeyShow, number: u64) -> String {
    let mut out = String::new();
    write_number(&mut out, show, number).expect("writing to a String cannot fail");
    out.trim().to_owned()
}

/// The same for every format but ftrace's own text: with the sign and in the width of its type.
pub(crate) fn shown_number(show: KeyShow, number: IntType, word: u64) -> String {
    match (show, Buckets::of(show, number).map(|buckets| buckets.bucket(word))) {
        (KeyShow::Hex, _) => number.hex(word),
        (KeyShow::Log2, Some(Bucket { low: ..0, .. })) => "< 0".to_owned(),
        (KeyShow::Buckets(_), Some(Bucket { low: low @ ..0, high })) => format!("~ {low}..{high}"),
        (KeyShow::Buckets(_), Some(Bucket { low, high })) => format!("~ {low}-{high}"),
        (KeyShow::Log2, _) => self::number(show, word),
        _ => number.decimal(word),
    }
}

/// What has a name as well as a number, in every format but ftrace's own text. Addresses are left
/// out.
pub(crate) fn shown_name(
    show: KeyShow,
    number: IntType,
    named: &Named<'_>,
    charset: Charset,
) -> String {
    let name = shown(&named.name, charset);
    match (show, named.number) {
        (KeyShow::Execname | KeyShow::Syscall, Some(word)) => {
            format!("{name} [{}]", number.decimal(word))
        }
        _ => name,
    }
}

fn write_number(out: &mut impl Write, show: KeyShow, number: u64) -> fmt::Result {
    match show {
        KeyShow::Hex => write!(out, "{number:x}"),
        KeyShow::Log2 => write!(out, "~ 2^{number:<2}"),
        KeyShow::Buckets(width) => {
            // The kernel lets the upper bound of the last bucket wrap.
            write!(out, "~ {number}-{}", number.wrapping_add(width).wrapping_sub(1))
        }
        _ => write!(out, "{number:>10}"),
    }
}

/// A number that is left out takes its brackets with it.
fn named(out: &mut Bytes, show: KeyShow, named: &Named<'_>) -> fmt::Result {
    let (name, number) = (&*named.name, named.number);
    match (show, number) {
        (KeyShow::Execname, Some(pid)) => {
            padded(out, name, 16);
            write!(out, "[{pid:>10}]")?;
        }
        (KeyShow::Syscall, Some(number)) => {
            padded(out, name, 30);
            write!(out, "[{number:>3}]")?;
        }
        (_, number) => {
            if let Some(address) = number {
                write!(out, "[{address:x}] ")?;
            }
            padded(out, name, if show == KeyShow::SymOffset { 55 } else { 45 });
        }
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
        ValueShow::Decimal => {
            out.push(' ');
            out.push_str(label);
            out.push_str(": ");
            decimal(out, sum);
            Ok(())
        }
        ValueShow::Hex => write!(out, " {label}: {sum:>10x}"),
        ValueShow::Percent => match part(sum, scale.total) {
            Some(part) => write!(out, " {label} (%): {:>3}.{:02}", part / 100, part % 100),
            None => write!(out, " {label} (%):[ERROR]"),
        },
        ValueShow::Graph => write!(out, " {label}: {}", bar(part(sum, scale.max))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::symbols::Symbols;
    use crate::print::cell::cell;
    use crate::snapshot::{Counts, Fold, KeyColumn, KeyOrder, Row, Values};

    const KALLSYMS: &str = "\
ffffffff8fc90000 T _stext
ffffffff8fc90a20 T __x64_sys_tee
ffffffff8fc90b10 T __x64_sys_a_name_that_is_longer_than_the_field_it_stands_in
ffffffff8fd00000 T _etext
ffffffffc0000000 t ext4_open\t[ext4]
ffffffffc0000100 t ext4_close\t[ext4]
";

    fn shown_key(show: KeyShow, word: u64) -> String {
        let bytes = shown_bytes(show, word, *b"abcdefghijklmno\0");
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn shown_bytes(show: KeyShow, word: u64, comm: [u8; 16]) -> Vec<u8> {
        let order = KeyOrder::Unsigned(8);
        let column = KeyColumn {
            label: "u64".into(),
            offset: 8,
            size: 8,
            show,
            order,
            number: IntType::U64,
        };
        let mut key = vec![0xee; 8];
        key.extend(word.to_le_bytes());
        let row = Row { key: key.into(), counts: Counts::new(1, Values::new()), comm };
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
        let shown = shown_bytes(KeyShow::Execname, 483, name);
        assert_eq!(shown, b"u64: \xff\xfe              [       483]");
        let shown =
            shown_bytes(KeyShow::Text, u64::from_le_bytes(*b"\xff\xfe\x80\0\0\0\0\0"), name);
        assert_eq!(shown, [&b"u64: \xff\xfe\x80"[..], &[b' '; 47]].concat());
    }

    #[test]
    fn keys_are_shown_as_the_kernel_shows_them() {
        let tee = 0xffff_ffff_8fc9_0a20;
        let open = 0xffff_ffff_c000_0010;
        for (show, word, want) in [
            (KeyShow::Decimal, 1, "u64:          1"),
            (KeyShow::Decimal, (-5_i64).cast_unsigned(), "u64: 18446744073709551611"),
            (KeyShow::Hex, u64::MAX, "u64: ffffffffffffffff"),
            (KeyShow::Hex, 0, "u64: 0"),
            (
                KeyShow::Sym,
                tee,
                "u64: [ffffffff8fc90a20] __x64_sys_tee                                ",
            ),
            (
                KeyShow::SymOffset,
                tee,
                "u64: [ffffffff8fc90a20] __x64_sys_tee+0x0/0xf0                                 ",
            ),
            (
                KeyShow::Sym,
                open,
                "u64: [ffffffffc0000010] ext4_open [ext4]                             ",
            ),
            (
                KeyShow::SymOffset,
                open,
                "u64: [ffffffffc0000010] ext4_open+0x10/0x100 [ext4]                            ",
            ),
            (
                KeyShow::Sym,
                0xffff_ffff_8fc9_0b10,
                "u64: [ffffffff8fc90b10] __x64_sys_a_name_that_is_longer_than_the_field_it_stands_in",
            ),
            (KeyShow::Sym, 5, "u64: [5] 0x5                                          "),
            (
                KeyShow::SymOffset,
                5,
                "u64: [5] 0x5                                                    ",
            ),
            (
                KeyShow::SymOffset,
                0,
                "u64: [0] 0x0                                                    ",
            ),
            (KeyShow::Log2, 0, "u64: ~ 2^0 "),
            (KeyShow::Log2, 10, "u64: ~ 2^10"),
            (KeyShow::Buckets(10), 10, "u64: ~ 10-19"),
            (KeyShow::Buckets(10), (-6_i64).cast_unsigned(), "u64: ~ 18446744073709551610-3"),
            (KeyShow::Buckets(1), 7, "u64: ~ 7-7"),
            (KeyShow::Execname, 483, "u64: abcdefghijklmno [       483]"),
            (KeyShow::Execname, 0, "u64: <idle>          [         0]"),
            (KeyShow::Syscall, 276, "u64: sys_tee                       [276]"),
            (
                KeyShow::Syscall,
                u64::MAX,
                "u64: unknown_syscall               [18446744073709551615]",
            ),
            (
                KeyShow::Text,
                u64::from_le_bytes(*b"hello\0\0\0"),
                "u64: hello                                             ",
            ),
            (KeyShow::Stack, tee + 9, "u64:\n         __x64_sys_tee+0x9/0xf0\n"),
        ] {
            assert_eq!(shown_key(show, word), want, "{show:?}");
        }
    }

    #[test]
    fn values_are_shown_as_the_kernel_shows_them() {
        for (show, sum, want) in [
            (ValueShow::Decimal, 2, " b:          2"),
            (ValueShow::Decimal, u64::MAX, " b: 18446744073709551615"),
            (ValueShow::Hex, 0x870, " b:        870"),
            (ValueShow::Hex, u64::MAX, " b: ffffffffffffffff"),
            // Computed by hand from the specified formulas.
            (ValueShow::Percent, 1, " b (%):   3.03"),
            (ValueShow::Percent, 2, " b (%):   6.06"),
            (ValueShow::Percent, 30, " b (%):  90.90"),
            (ValueShow::Percent, 0, " b (%):   0.00"),
            (ValueShow::Percent, u64::MAX, " b (%):[ERROR]"),
            (ValueShow::Graph, 1, " b:                     "),
            (ValueShow::Graph, 2, " b: #                   "),
            (ValueShow::Graph, 30, " b: ####################"),
            (ValueShow::Graph, u64::MAX, " b:              [ERROR]"),
        ] {
            let mut out = Bytes::default();
            let column = ValueColumn {
                label: "b".into(),
                show,
                hidden: false,
                fold: Fold::Sum,
                number: IntType::S64,
            };
            value(&mut out, &column, sum, Scale { total: 33, max: 30 }).expect("memory");
            assert_eq!(out.into_vec(), want.as_bytes());
        }
    }
}
