//! Reads the list of CPUs in `CPUS{}` by the syntax of the kernel's `bitmap_parselist()`
//! (lib/bitmap-str.c): parts between commas or white space, each `N`, `N-M` or `all`, then perhaps
//! `:used/group`; `N` may be the letter itself and means the last CPU.

use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while};
use nom::character::complete::{char, digit1, satisfy};
use nom::combinator::{all_consuming, map_res, opt, peek, value};
use nom::multi::many0;
use nom::sequence::{preceded, separated_pair, terminated};
use nom::{IResult, Parser};

/// The list is none, or names a CPU that cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct BadList;

/// One part of a list.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: u32,
    end: u32,
    /// `(used, group)`: of each `group` CPUs the first `used`.
    pattern: Option<(u32, u32)>,
}

/// The CPUs of `list`, ascending. `possible` is how many there can be, at least 1.
pub(in crate::resolve) fn parse(list: &str, possible: u32) -> Result<Vec<u32>, BadList> {
    let last = possible.saturating_sub(1);
    let regions = preceded(take_while(is_separator), many0(|text| region(text, last)));
    let (_, regions) = all_consuming(regions).parse(list).map_err(|_| BadList)?;
    let mut cpus = Vec::new();
    for region in regions {
        add(&mut cpus, region, last)?;
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

fn add(cpus: &mut Vec<u32>, region: Region, last: u32) -> Result<(), BadList> {
    let Region { start, end, pattern } = region;
    let (used, group) = pattern.unwrap_or((end.saturating_add(1), end.saturating_add(1)));
    if start > end || group == 0 || used > group || end > last {
        return Err(BadList);
    }
    cpus.extend((start..=end).filter(|cpu| (cpu - start) % group < used));
    Ok(())
}

const fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// One part and the separators behind it.
fn region(text: &str, last: u32) -> IResult<&str, Region> {
    let all = value((0, last), tag_no_case("all"));
    let range = separated_pair(|t| number(t, last), char('-'), |t| number(t, last));
    let single = (|t| number(t, last)).map(|cpu| (cpu, cpu));
    let single = terminated(single, peek(end_of_region));
    let pattern =
        preceded(char(':'), separated_pair(|t| number(t, last), char('/'), |t| number(t, last)));
    let (text, ((start, end), pattern)) = (alt((all, range, single)), opt(pattern)).parse(text)?;
    // Behind a pattern the kernel wants no separator.
    let text = match pattern {
        Some(_) => text,
        None => peek(end_of_region).parse(text)?.0,
    };
    let (text, _) = take_while(is_separator).parse(text)?;
    Ok((text, Region { start, end, pattern }))
}

fn end_of_region(text: &str) -> IResult<&str, ()> {
    alt((value((), satisfy(is_separator)), value((), nom::combinator::eof))).parse(text)
}

fn number(text: &str, last: u32) -> IResult<&str, u32> {
    alt((value(last, char('N')), map_res(digit1, str::parse))).parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, expect: &[u32]) {
        assert_eq!(parse(list, 8).as_deref(), Ok(expect), "{list:?}");
    }

    #[test]
    fn lists_are_read_as_the_kernel_reads_them() {
        check("0", &[0]);
        check("0-3", &[0, 1, 2, 3]);
        check(" 1 , 3 5,", &[1, 3, 5]);
        check("5,0-1,1", &[0, 1, 5]);
        check("all", &[0, 1, 2, 3, 4, 5, 6, 7]);
        check("ALL:1/4", &[0, 4]);
        check("0-7:2/3", &[0, 1, 3, 4, 6, 7]);
        check("1-N", &[1, 2, 3, 4, 5, 6, 7]);
        check("N", &[7]);
        check(" ", &[]);
        check("1-4:0/2", &[]);
    }

    #[test]
    fn bad_lists_are_refused() {
        for list in [
            "8",
            "0-8",
            "3-1",
            "x",
            "1-",
            "-1",
            "1:1/2",
            "0-3:3/2",
            "0-3:1/0",
            "0x1",
            "1;2",
            "4294967296",
            "0-3:1",
            "1-2-3",
        ] {
            assert_eq!(parse(list, 8), Err(BadList), "{list:?}");
        }
    }
}
