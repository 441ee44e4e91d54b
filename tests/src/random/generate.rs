//! Generates random triggers on an event. Half of them are meant to be valid; in the others every
//! part may be odd, and some are damaged afterwards.

use hist_cli::kernel::format::{EventFormat, FieldClass, FieldFormat};
use hist_cli::modifier::{Argument, Modifier, Role, Row, Suits, TABLE, Taken};

use super::prng::Prng;

/// A trigger as it is written to a `trigger` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// Its text; each character, up to U+00FF, stands for a byte.
    pub text: String,
    /// It counts the events of one process only, so that two engines must count the same.
    pub limited: bool,
}

/// The bytes that a generated text stands for.
pub(super) fn latin1(text: &str) -> Vec<u8> {
    // No other characters are generated.
    text.chars().map(|c| c as u8).collect()
}

/// A trigger on `event` that counts what the process `pid` does.
pub(crate) fn trigger(prng: &mut Prng, event: &EventFormat, pid: u32) -> Generated {
    let odd = *prng.pick(&[0, 0, 0, 4, 12]);
    let mut writer = Writer { prng, event, odd, labels: Vec::new() };
    let params = writer.params();
    let filter = writer.filter(pid);
    let damaged = odd > 0 && prng.chance(25);
    let in_filter = damaged && prng.chance(50);
    let (params, filter) = match (damaged, in_filter) {
        (true, false) => (damage(prng, params), filter),
        (true, true) => (params, damage(prng, filter)),
        (false, _) => (params, filter),
    };
    // An `if` in the parameters would begin another filter.
    let limited = !in_filter && !params.contains("if");
    let command = if odd > 0 { *prng.pick(&COMMANDS) } else { "hist:" };
    Generated { text: format!("{command}{params} if {filter}"), limited }
}

/// An earlier trigger again, or a command for it.
pub(crate) fn variant(prng: &mut Prng, earlier: Generated) -> Generated {
    let Generated { text, limited } = earlier;
    let (params, filter) = text.split_once(" if ").unwrap_or((&text, ""));
    let text = match prng.below(7) {
        0 => text.clone(),
        1 => format!("!{}", text.trim_start_matches([' ', '!'])),
        2 => format!("{params}:pause if {filter}"),
        3 => format!("{params}:cont if {filter}"),
        4 => format!("{params}:clear if {filter}"),
        5 => format!("{params}:size=512 if {filter}"),
        _ => format!("{params} if  {filter}"),
    };
    Generated { text, limited }
}

/// How the command word may be written; the first ones are right.
const COMMANDS: [&str; 16] = [
    "hist:", "hist:", "hist:", "hist:", "hist:", "hist:", "hist:", "hist:", "hist:", "hist:",
    "hist ", "hist:  ", "  hist:", "!hist:", "hist::", "hits:",
];

/// Words of the language and some that are none, to be put anywhere.
const WORDS: [&str; 51] = [
    ":",
    "=",
    ",",
    ".",
    "$",
    " ",
    "\t",
    " if ",
    "if",
    "keys=",
    "vals=",
    "sort=",
    "size=",
    "clock=",
    "pause",
    "nohitcount",
    "hitcount",
    "stacktrace",
    ")",
    "(",
    "common_pid",
    ".hex",
    ".sym-offset",
    ".buckets=",
    ".percent",
    ".descending",
    "-",
    "+",
    "*",
    "/",
    "0",
    "0x",
    "128",
    "-(",
    "==",
    "!=",
    "<",
    "&",
    "&&",
    "||",
    "~",
    "\"",
    "'",
    "CPUS{",
    "}",
    "!",
    "\u{a0}",
    "\u{e9}",
    "\u{c3}\u{a9}",
    "\u{ff}",
    "\u{d7}",
];

/// Puts words in, or in place of something.
fn damage(prng: &mut Prng, text: String) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=prng.below(2) {
        let start = prng.below(text.len() + 1);
        let end = (start + *prng.pick(&[0, 0, 1, 1, 2, 5])).min(text.len());
        let word = if prng.chance(60) { *prng.pick(&WORDS) } else { "" };
        text.splice(start..end, word.chars());
    }
    text.into_iter().collect()
}

/// Writes the parts of one trigger.
struct Writer<'a> {
    prng: &'a mut Prng,
    event: &'a EventFormat,
    /// How often a part is odd, in per cent.
    odd: usize,
    /// What can be sorted by.
    labels: Vec<String>,
}

/// Numbers on both sides of what matters.
const NUMBERS: [u64; 22] = [
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    10,
    16,
    100,
    127,
    128,
    255,
    256,
    1000,
    4095,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

impl Writer<'_> {
    fn odd(&mut self) -> bool {
        self.prng.chance(self.odd)
    }

    fn some(&mut self, texts: &[&str]) -> String {
        (*self.prng.pick(texts)).to_owned()
    }

    fn params(&mut self) -> String {
        let n_keys = 1 + self.prng.weighted(&[60, 28, 12, usize::from(self.odd > 0)]);
        let keys: Vec<_> = (0..n_keys).map(|_| self.key()).collect();
        let n_values = self.prng.weighted(&[40, 35, 20, self.odd / 4]);
        let values: Vec<_> = (0..n_values).map(|_| self.value()).collect();
        let keyword = self.some(&["keys", "keys", "key"]);
        let mut params = vec![format!("{keyword}={}", keys.join(","))];
        if n_values > 0 {
            let keyword = self.some(&["vals", "vals", "val", "values"]);
            params.push(format!("{keyword}={}", values.join(",")));
        }
        if self.prng.chance(45) {
            let sort = self.sort();
            params.push(format!("sort={sort}"));
        }
        params.extend(self.settings(n_values));
        let at = self.prng.below(params.len());
        params.swap(0, at);
        if self.odd() {
            let which = self.prng.below(params.len());
            params.remove(which);
        }
        params.join(":")
    }

    /// Everything besides keys, values and sort.
    fn settings(&mut self, n_values: usize) -> Vec<String> {
        let mut params = Vec::new();
        if self.prng.chance(25) {
            let sizes = ["128", "256", "65", "1024", "2049", "0x100", "0200", "+128", "4096"];
            let odd = ["64", "0", "131073", "-1", " 128", "1k", "18446744073709551616", "08"];
            let size = if self.odd() { self.some(&odd) } else { self.some(&sizes) };
            params.push(format!("size={size}"));
        }
        if self.prng.chance(6) && (n_values > 0 || self.odd > 0) {
            params.push(self.some(&["nohitcount", "NOHC"]));
        }
        if self.prng.chance(5) {
            params.push("pause".to_owned());
        }
        if self.prng.chance(3) {
            params.push(format!("name={}", self.event.name));
        }
        if self.prng.chance(3) {
            params.push(self.some(&["clock=mono", "clock=global", "clock= mono "]));
        }
        if self.odd() {
            params.push(self.some(&[
                "",
                "x",
                "cont",
                "continue",
                "clear",
                "PAUSE",
                "nohc",
                "foo=bar",
                "x=1",
                "a=b,c",
                "keys=",
                "vals=",
                "sort=",
                "name=",
                "clock=",
                "clock=nosuch",
                "keys=common_pid",
                "size=128",
                "vals=hitcount",
                "onmatch(",
                "name=foo",
                "foo= ",
                "=",
                "keys",
            ]));
        }
        params
    }

    // --- keys and values --------------------------------------------------------------------

    fn key(&mut self) -> String {
        if self.odd() {
            return self.odd_name();
        }
        let key = match self.prng.weighted(&[50, 14, 8, 5, 4, 3, 2, 2, 2, 10]) {
            0 => {
                let name = self.number();
                let modifier = self.key_modifier();
                return self.labelled(name, modifier);
            }
            1 => match self.text() {
                Some(name) => return self.labelled(name, String::new()),
                None => self.number(),
            },
            2 => {
                let modifier = match self.prng.weighted(&[50, 25, 25]) {
                    0 => self.own_modifier("common_pid"),
                    1 => ".hex".to_owned(),
                    _ => String::new(),
                };
                return self.labelled("common_pid".to_owned(), modifier);
            }
            3 => self.some(&["common_cpu", "cpu", "CPU"]),
            4 => self.some(&["common_stacktrace", "stacktrace"]),
            5 => self.some(&["common_comm", "comm", "COMM"]),
            6 => "hitcount".to_owned(),
            7 => "common_type".to_owned(),
            8 => {
                let modifier = self.some(&["", ".usecs"]);
                return self.labelled("common_timestamp".to_owned(), modifier);
            }
            _ => self.expression(),
        };
        self.labelled(key, String::new())
    }

    fn value(&mut self) -> String {
        if self.odd() {
            return self.odd_name();
        }
        let value = match self.prng.weighted(&[60, 6, 4, 4, 2, 2, 1, 12]) {
            0 => {
                let name = self.number();
                let modifier = self.value_modifier();
                return self.labelled(name, modifier);
            }
            1 => "hitcount".to_owned(),
            2 => "common_cpu".to_owned(),
            3 => self.some(&["common_pid", "common_pid.execname", "common_pid.hex"]),
            4 => "common_timestamp".to_owned(),
            5 => self.constant(),
            6 => "hitcount.hex".to_owned(),
            _ => self.expression(),
        };
        self.labelled(value, String::new())
    }

    fn labelled(&mut self, name: String, modifier: String) -> String {
        self.labels.push(name.split('.').next().unwrap_or(&name).to_owned());
        name + &modifier
    }

    fn key_modifier(&mut self) -> String {
        if self.odd() {
            return self.odd_modifier();
        }
        if self.prng.chance(50) { String::new() } else { self.suiting(Role::Key) }
    }

    fn value_modifier(&mut self) -> String {
        if self.odd() {
            return self.odd_modifier();
        }
        if self.prng.chance(40) { String::new() } else { self.suiting(Role::Value) }
    }

    /// A modifier that any number takes. Buckets, which change more than the text, come twice as
    /// often as others.
    fn suiting(&mut self, role: Role) -> String {
        let is_common = |row: &&Row| !matches!(row.suits, Suits::Only(_) | Suits::SyntheticStacks);
        let rows = TABLE.iter().filter(|row| row.taken(role) != Taken::No).filter(is_common);
        let twice =
            |row: &'static Row| [row].repeat(1 + usize::from(row.example().buckets().is_some()));
        let rows: Vec<_> = rows.flat_map(twice).collect();
        let row = *self.prng.pick(&rows);
        self.written(row)
    }

    /// A modifier that the name alone takes, or one for any number.
    fn own_modifier(&mut self, name: &'static str) -> String {
        let rows: Vec<_> = TABLE.iter().filter(|row| row.suits == Suits::Only(name)).collect();
        let row = *self.prng.pick(&rows);
        self.written(row)
    }

    /// One that need not suit.
    fn any_modifier(&mut self) -> String {
        let row = self.prng.pick(&TABLE);
        self.written(row)
    }

    fn written(&mut self, row: &'static Row) -> String {
        let argument = *self.prng.pick(&[1, 2, 3, 10, 100, 1000, 4096, u64::MAX]);
        let text = format!(".{}", Modifier::new(row, argument));
        match row.argument {
            Argument::Width { stem } if self.prng.chance(50) => text.replace(row.word, stem),
            Argument::None | Argument::Ignored | Argument::Width { .. } => text,
        }
    }

    fn odd_modifier(&mut self) -> String {
        if self.prng.chance(30) {
            return self.any_modifier();
        }
        self.some(&[
            ".foo",
            ".",
            ".hex.hex",
            ".HEX",
            ".buckets=0",
            ".buckets=",
            ".buckets",
            ".bucket5",
            ".buckets=9z",
            ".buckets=-5",
            ".buckets=+5",
            ".percentage",
            ".graphs",
            ".log",
            ".sym-offse",
            ".symXoffset",
            ".bucketsx=5",
            ".buckets=18446744073709551616",
        ])
    }

    fn odd_name(&mut self) -> String {
        match self.prng.below(6) {
            0 => {
                let modifier = self.odd_modifier();
                self.number() + &modifier
            }
            1 => {
                let modifier = self.odd_modifier();
                self.text().unwrap_or_else(|| "comm".to_owned()) + &modifier
            }
            2 => {
                let names: Vec<_> = self.event.fields.iter().map(|f| f.name.clone()).collect();
                self.prng.pick(&names).clone()
            }
            3 => {
                let expr = self.expression();
                let more = self.some(&["+", "-", "*2", "/0", "+1+2+3+4", "-(", ".hex", "/2.5"]);
                expr + &more
            }
            4 => self.odd_modifier().trim_start_matches('.').to_owned(),
            _ => self.some(&[
                "nosuch",
                "",
                " ",
                "$x",
                "$",
                "a.b.c",
                "a.b.$c",
                "5",
                "0x10",
                "08",
                "-5",
                "-(5)",
                "STACKTRACE",
                "stacktrace.hex",
                "common_stacktrace.hex",
                "common_cpu.execname",
                "common_timestamp.execname",
                "hitcount.percent",
                "comm.hex",
                "cpu.log2",
                "common_pid.execname.hex",
                "common_flags",
                "common_preempt_count",
                "common_pid ",
                "common_timestamp+1",
                "common_timestamp.usecs-1",
                "hitcount+hitcount",
                "common_pid.",
                ".hex",
                "Common_pid",
                "common_pid==1",
                "1+2",
                "4/2",
                "5/0",
                "2-3",
            ]),
        }
    }

    fn expression(&mut self) -> String {
        let mut text = self.operand();
        for _ in 0..=self.prng.weighted(&[60, 25, 15]) {
            text += *self.prng.pick(&["+", "-", "*", "/"]);
            text += &self.operand();
        }
        if self.prng.chance(10) {
            text = format!("-({})", text.replace('-', "+"));
        }
        text
    }

    fn operand(&mut self) -> String {
        match self.prng.weighted(&[60, 30, 6, self.odd]) {
            0 => self.number(),
            1 => self.constant(),
            2 => self.some(&["common_pid", "common_cpu", "hitcount", "common_type"]),
            _ => self.some(&["nosuch", "9z", "", "comm", "5.5", "cpu.hex", "stacktrace"]),
        }
    }

    fn constant(&mut self) -> String {
        let number = *self.prng.pick(&NUMBERS);
        match self.prng.below(4) {
            0 => format!("{number:#x}"),
            1 if number > 0 => format!("0{number:o}"),
            _ => number.to_string(),
        }
    }

    // --- fields -----------------------------------------------------------------------------

    /// The name of a field of its own that is a number.
    fn number(&mut self) -> String {
        let is_number = |field: &FieldFormat| {
            matches!(
                field.class(),
                FieldClass::Number | FieldClass::CharPointer | FieldClass::Location
            )
        };
        self.field(is_number).map_or_else(|| "common_pid".to_owned(), |field| field.name.clone())
    }

    fn text(&mut self) -> Option<String> {
        let is_text = |field: &FieldFormat| {
            matches!(
                field.class(),
                FieldClass::StaticString | FieldClass::DynamicString | FieldClass::RelativeString
            )
        };
        self.field(is_text).map(|field| field.name.clone())
    }

    fn field(&mut self, wanted: impl Fn(&FieldFormat) -> bool) -> Option<&FieldFormat> {
        let own = self.event.fields.iter().filter(|field| !field.common && wanted(field));
        let own: Vec<_> = own.collect();
        (!own.is_empty()).then(|| *self.prng.pick(&own))
    }

    // --- sort -------------------------------------------------------------------------------

    fn sort(&mut self) -> String {
        let mut items = Vec::new();
        for _ in 0..=self.prng.weighted(&[65, 35, self.odd / 4]) {
            items.push(self.sort_item());
        }
        items.join(",")
    }

    fn sort_item(&mut self) -> String {
        if self.odd() {
            return self.some(&[
                "nosuch",
                "",
                ".descending",
                "hitcount.hex",
                "hitcount.",
                "common_pid",
                "hitcount.Descending",
                "hitcount.descending.x",
                "cpu",
                "common_cpu",
                " hitcount",
                "stacktrace",
                "common_stacktrace",
                "1",
                "hitcount.ascending ",
            ]);
        }
        let name = match self.prng.chance(25) || self.labels.is_empty() {
            true => "hitcount".to_owned(),
            false => self.prng.pick(&self.labels).clone(),
        };
        name + *self.prng.pick(&["", "", ".descending", ".descending", ".ascending"])
    }

    // --- filter -----------------------------------------------------------------------------

    /// A filter that lets nothing pass but what the process does.
    fn filter(&mut self, pid: u32) -> String {
        let limit = format!("common_pid=={pid}");
        if self.prng.chance(50) {
            return limit;
        }
        let condition = self.condition(2);
        match self.prng.below(3) {
            0 => format!("{limit} && ({condition})"),
            1 => format!("({condition})&&{limit}"),
            _ => format!("  !(!({condition}) || common_pid != {pid})"),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 0 || self.prng.chance(40) {
            return self.predicate();
        }
        let (lhs, rhs) = (self.condition(depth - 1), self.condition(depth - 1));
        match self.prng.below(6) {
            0 => format!("{lhs} && {rhs}"),
            1 => format!("{lhs}&&{rhs}"),
            2 => format!("{lhs} || {rhs}"),
            3 => format!("({lhs} ||{rhs} )"),
            4 => format!("!({lhs})"),
            _ => format!("!{rhs}"),
        }
    }

    fn predicate(&mut self) -> String {
        if self.odd() {
            return self.odd_predicate();
        }
        let space = self.some(&["", "", " "]);
        match self.prng.weighted(&[60, 20, 6, 6, 4, 4]) {
            0 => {
                let (field, constant) = self.compared_number();
                let op = self.some(&["==", "!=", "<", "<=", ">", ">=", "&"]);
                format!("{field}{space}{op}{space}{constant}")
            }
            1 => {
                let field = self.text().unwrap_or_else(|| "comm".to_owned());
                let (op, text) = (self.some(&["==", "!=", "~"]), self.quoted());
                format!("{field}{space}{op}{space}{text}")
            }
            2 => {
                let (op, text) = (self.some(&["==", "!=", "~"]), self.quoted());
                format!("{}{space}{op}{text}", self.some(&["comm", "COMM"]))
            }
            3 => {
                let op = self.some(&["==", "!=", "<", ">=", "&"]);
                let name = self.some(&["cpu", "CPU", "common_cpu"]);
                format!("{name}{space}{op}{}", self.some(&["0", "1", "2", "0x1"]))
            }
            4 => {
                let op = self.some(&["==", "!=", "&"]);
                let name = self.some(&["cpu", "common_cpu"]);
                format!("{name}{space}{op}{}", self.some(&["CPUS{0}", "CPUS{0-1}", "CPUS{1}"]))
            }
            _ => {
                let field = self.number();
                let op = self.some(&["==", "!="]);
                format!("{field}.function{space}{op} {} ", self.some(&["do_exit", "vfs_read"]))
            }
        }
    }

    /// A field and a number of its range.
    fn compared_number(&mut self) -> (String, String) {
        let name = self.number();
        let field = self.event.field(&name).cloned();
        let signed = field.as_ref().is_some_and(|field| field.signed);
        let number = *self.prng.pick(&NUMBERS);
        let constant = match self.prng.below(5) {
            0 if signed => format!("-{}", number >> 1),
            1 => format!("{:#x}", number >> 1),
            2 if signed => format!("{:#X}", number >> 1).replace("0X", "0x"),
            3 => format!("0{:o}", number >> 1),
            _ => (number >> 1).to_string(),
        };
        (name, constant)
    }

    fn quoted(&mut self) -> String {
        let text = self.some(&[
            "vm-guest",
            "worker-1",
            "worker-*",
            "*-1*",
            "*guest",
            "vm*",
            "*",
            "",
            "w?rker-1",
            "[v-w]*",
            "1*",
            "!vm*",
            "no such",
            "lo",
            "sh",
            "vm-gues",
            "*[0-9]",
            "worker-1[0-9]",
            "*[!t]",
            "*\u{ff}*",
            "!*\u{e9}",
            "w\u{c3}\u{a9}*",
            "[!\u{80}-\u{ff}]*",
            "\u{a0}",
        ]);
        if self.prng.chance(80) { format!("\"{text}\"") } else { format!("'{text}'") }
    }

    fn odd_predicate(&mut self) -> String {
        let name = self.number();
        let text = self.text().unwrap_or_else(|| "comm".to_owned());
        match self.prng.below(8) {
            0 => name + *self.prng.pick(&["", "=1", "===1", "!~1", "<>1", "==", "==- 1", "==+1"]),
            1 => {
                name + *self.prng.pick(&[
                    "==0b1",
                    "==9z",
                    "==18446744073709551616",
                    "==-9223372036854775809",
                    "~1",
                    "==\"x\"",
                    "==x",
                    "~\"x\"",
                    "==0x",
                    "==08",
                    "==99999999999999999999999999",
                    "==1 2",
                    "==1;",
                    "==1 & 2",
                    "==1|2",
                    "==-1",
                    "==\"x",
                    "== (1)",
                    "<-1",
                    "&-1",
                ])
            }
            2 => {
                text + *self.prng.pick(&[
                    "==1",
                    "<\"x\"",
                    "&\"x\"",
                    "==x",
                    "~1",
                    "~x",
                    "==\"x'",
                    "!~\"x\"",
                    "=\"x\"",
                    "== \"x\" \"y\"",
                    ".ustring==\"x\"",
                    ".hex==\"x\"",
                    "==CPUS{0}",
                ])
            }
            3 => {
                let length = *self.prng.pick(&[254, 255, 256, 300]);
                format!("{text}==\"{}\"", "x".repeat(length))
            }
            4 => {
                name + *self.prng.pick(&[
                    "==CPUS{",
                    "==CPUS{}",
                    "==CPUS0}",
                    "==CPUS{x}",
                    "<CPUS{0}",
                    "~CPUS{0}",
                    "&CPUS{ 0 }",
                    "==CPUS{9999}",
                    "==CPUS{1-0}",
                    "==CPUS {0}",
                ])
            }
            5 => {
                name + *self.prng.pick(&[
                    ".function==nosuchfunction ",
                    ".function<do_exit ",
                    ".function~do_exit ",
                    ".function==1",
                    ".function== ",
                    ".function",
                    ".functio==1",
                    ".hex==1",
                ])
            }
            6 => self.some(&["nosuch==1", "NOSUCH ==1", "hitcount==1", "common_timestamp==1"]),
            _ => self.some(&[
                "()",
                "",
                "!",
                "!!",
                "(",
                ")",
                "&&",
                "||",
                "1==1",
                "-1==1",
                "\"x\"==comm",
                ";",
                "stacktrace==1",
                "common_comm==\"x\"",
                "cpu==\"x\"",
                "comm==1",
                "cpu~1",
                "cpu",
                "common_pid",
                "common_pid=1",
                "== 1",
                "!=1",
                "a b==1",
                "common_pid!common_pid==1",
                "\u{e9}==1",
                "\u{c3}\u{a9}==1",
                "common_pid\u{a0}>\u{a0}0\u{a0}",
                "common_pid==1\u{f7}",
                "comm==\u{e9}",
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hist_cli::parse::ast::Expr;

    fn event() -> EventFormat {
        let text = include_str!("../../golden/formats/events/sched/sched_switch/format");
        hist_cli::kernel::format::parse("sched", text).unwrap()
    }

    #[test]
    fn half_are_valid_and_all_repeat() {
        let event = event();
        let texts: Vec<_> =
            (0..2000).map(|index| trigger(&mut Prng::new(1, index), &event, 7)).collect();
        let again = trigger(&mut Prng::new(1, 1999), &event, 7);
        assert_eq!(again, texts[1999]);
        let valid = |one: &&Generated| {
            hist_cli::parse::trigger(&latin1(&one.text))
                .is_ok_and(|read| read.first_error().is_none())
        };
        let valid = texts.iter().filter(valid).count();
        assert!((1000..1900).contains(&valid), "{valid} of 2000 are well-formed");
        assert!(texts.iter().any(|one| !one.limited));
    }

    /// Each of a key and of a value that takes it, in a trigger without oddities; and each at all.
    #[test]
    fn every_modifier_is_generated() {
        let event = event();
        let texts = (0..20_000).map(|index| trigger(&mut Prng::new(1, index), &event, 7).text);
        let texts: Vec<_> = texts.collect();
        let read = texts.iter().filter_map(|text| hist_cli::parse::trigger(&latin1(text)).ok());
        let modifiers = |exprs: &[Expr]| -> Vec<_> {
            let fields = exprs.iter().filter_map(|expr| match expr {
                Expr::Field(field) => field.known_modifier(),
                _ => None,
            });
            fields.map(|modifier| modifier.node.row().word).collect()
        };
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for trigger in read {
            keys.extend(modifiers(&trigger.keys));
            values.extend(modifiers(&trigger.values));
        }
        for row in &TABLE {
            for (role, words) in [(Role::Key, &keys), (Role::Value, &values)] {
                let count = words.iter().filter(|word| **word == row.word).count();
                let is_suiting = row.has_effect(role) && row.suits != Suits::SyntheticStacks;
                let least = if is_suiting { 100 } else { 1 };
                assert!(count >= least, "{} is {count} times on a {role:?}", row.word);
            }
        }
    }
}
