//! Takes one key or sum and how it is shown. Gives its text, as `hist_trigger_print_key()` and
//! `hist_trigger_print_val()` in the kernel's trace_events_hist.c write it.

use std::fmt::{self, Write};

use crate::read::snapshot::{KeyColumn, KeyShow, Row, ValueColumn, ValueShow};
use crate::tracefs::symbols::{Symbol, Symbols};

/// Appends one key of an entry.
pub(super) fn key(
    out: &mut String,
    column: &KeyColumn,
    row: &Row,
    symbols: &Symbols,
) -> fmt::Result {
    let word = row.word(column.offset);
    out.push_str(&column.label);
    out.push_str(": ");
    match column.show {
        KeyShow::Decimal => write!(out, "{word:>10}"),
        KeyShow::Hex => write!(out, "{word:x}"),
        KeyShow::Sym => symbol(out, word, symbols, NAME),
        KeyShow::SymOffset => symbol(out, word, symbols, NAME_AND_OFFSET),
        KeyShow::Log2 => write!(out, "~ 2^{word:<2}"),
        KeyShow::Buckets(width) => {
            // The kernel lets the upper bound of the last bucket wrap.
            write!(out, "~ {word}-{}", word.wrapping_add(width).wrapping_sub(1))
        }
    }
}

/// Appends one sum of an entry, the space before it included.
pub(super) fn value(out: &mut String, column: &ValueColumn, sum: u64) -> fmt::Result {
    let label = &column.label;
    match column.show {
        ValueShow::Decimal => write!(out, " {label}: {sum:>10}"),
        ValueShow::Hex => write!(out, " {label}: {sum:>10x}"),
    }
}

/// How a symbol is shown.
struct SymbolShow {
    offset: bool,
    /// Padded with spaces on the right up to here, in bytes.
    width: usize,
}

/// As many as the widest field has.
const SPACES: &str = "                                                       ";

/// `%-45ps`
const NAME: SymbolShow = SymbolShow { offset: false, width: 45 };
/// `%-55pS`
const NAME_AND_OFFSET: SymbolShow = SymbolShow { offset: true, width: 55 };

const _: () = assert!(NAME.width <= SPACES.len() && NAME_AND_OFFSET.width <= SPACES.len());

fn symbol(out: &mut String, address: u64, symbols: &Symbols, show: SymbolShow) -> fmt::Result {
    write!(out, "[{address:x}] ")?;
    let start = out.len();
    match symbols.resolve(address) {
        Some(symbol) => name(out, symbol, show.offset)?,
        None => write!(out, "{address:#x}")?,
    }
    let written = out.len() - start;
    out.push_str(SPACES.get(written..show.width).unwrap_or_default());
    Ok(())
}

fn name(out: &mut String, symbol: Symbol<'_>, offset: bool) -> fmt::Result {
    out.push_str(symbol.name);
    if offset {
        write!(out, "+{:#x}/{:#x}", symbol.offset, symbol.size)?;
    }
    match symbol.module {
        Some(module) => write!(out, " [{module}]"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::snapshot::KeyOrder;

    const KALLSYMS: &str = "\
ffffffff8fc90000 T _stext
ffffffff8fc90a20 T __x64_sys_tee
ffffffff8fc90b10 T __x64_sys_a_name_that_is_longer_than_the_field_it_stands_in
ffffffff8fd00000 T _etext
ffffffffc0000000 t ext4_open\t[ext4]
ffffffffc0000100 t ext4_close\t[ext4]
";

    fn shown_key(show: KeyShow, word: u64) -> String {
        let order = KeyOrder::Unsigned(8);
        let column = KeyColumn { label: "u64".into(), offset: 8, size: 8, show, order };
        let mut key = vec![0xee; 8];
        key.extend(word.to_le_bytes());
        let row = Row { key: key.into(), hitcount: 1, sums: vec![] };
        let mut out = String::new();
        super::key(&mut out, &column, &row, &Symbols::from_kallsyms(KALLSYMS)).expect("String");
        out
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
        ] {
            let mut out = String::new();
            value(&mut out, &ValueColumn { label: "b".into(), show }, sum).expect("String");
            assert_eq!(out, want);
        }
    }
}
