//! What a trace event's record looks like, as the event's `format` file says.
//!
//! The file has a `name:` and an `ID:` line, the fields that all events have, a blank line, the
//! event's own fields, and `print fmt:`, which is of no interest here. A field is
//! `field:DECLARATION; offset:N; size:N; signed:N;`, as `f_show()` in the kernel's
//! trace_events.c writes it.

use std::collections::HashSet;

use super::EventName;
use super::error::FormatError;
use crate::escape::{excerpt, is_clean};

/// The longest record (bytes): what an instruction's signed 16-bit offset can reach. The kernel gives
/// programs no more than 8192 (`PERF_MAX_TRACE_SIZE` in Linux include/linux/trace_events.h).
const RECORD_MAX: u64 = 1 << 15;

/// Where records of system calls have the number, in bytes from their start (`struct
/// syscall_trace_enter` in Linux kernel/trace/trace.h, and the events of
/// include/trace/events/syscalls.h).
pub(crate) const CALL_NUMBER: u32 = 8;
/// Where their arguments begin, 8 bytes each, or the result is.
pub(crate) const CALL_WORDS: u32 = 16;

/// Bytes of the word that says where a dynamic field lies and how long it is.
const LOCATION_SIZE: u32 = 4;

/// Reads the `format` file of an event of `system`.
///
/// # Errors
/// If the text is not a whole such file. Never panics, whatever the text.
pub fn parse(system: &str, text: &str) -> Result<EventFormat, FormatError> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let (name, id) = header(&mut lines)?;
    let fields = fields(&mut lines)?;
    check_overlap(&fields)?;
    check_names(&fields)?;
    Ok(EventFormat { name: EventName::new(system, name), id, all_calls: None, fields })
}

/// The event's name and number; reads up to the line `format:`.
fn header<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<(String, u32), FormatError> {
    let (mut name, mut id) = (None, None);
    for (line, text) in lines {
        if let Some(text) = text.strip_prefix("name:") {
            name = Some(text.trim()).filter(|name| !name.is_empty() && is_clean(name));
        } else if let Some(text) = text.strip_prefix("ID:") {
            id = Some(number(line, "ID:", text)?);
        } else if text.trim() == "format:" {
            break;
        } else {
            return Err(FormatError::Unexpected { line, text: excerpt(text.trim()) });
        }
    }
    let name = name.ok_or(FormatError::NoHeader("name:"))?;
    Ok((name.to_owned(), id.ok_or(FormatError::NoHeader("ID:"))?))
}

/// All fields; reads up to the line `print fmt:`.
fn fields<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<Vec<FieldFormat>, FormatError> {
    let mut fields = Vec::new();
    let mut common = true;
    for (line, text) in lines {
        let text = text.trim();
        if text.starts_with("print fmt:") {
            return Ok(fields);
        } else if text.is_empty() {
            common = false;
        } else {
            fields.push(field(line, text, common)?);
        }
    }
    Err(FormatError::Truncated)
}

fn field(line: usize, text: &str, common: bool) -> Result<FieldFormat, FormatError> {
    let unexpected = || FormatError::Unexpected { line, text: excerpt(text) };
    let (declared, attributes) = text
        .strip_prefix("field:")
        .ok_or_else(unexpected)?
        .split_once(';')
        .ok_or_else(unexpected)?;
    let (type_name, name) = declaration(declared)
        .ok_or_else(|| FormatError::Declaration { line, text: excerpt(declared) })?;
    let offset = attribute(line, "offset:", attributes)?;
    let size = attribute(line, "size:", attributes)?;
    let signed = attribute(line, "signed:", attributes)? != 0;
    let end = u64::from(offset) + u64::from(size);
    if end > RECORD_MAX {
        return Err(FormatError::TooLong { line, name: excerpt(&name), end, max: RECORD_MAX });
    }
    let field = FieldFormat { name, type_name, offset, size, signed, common };
    match field.has_location() && size < LOCATION_SIZE {
        true => Err(FormatError::Location { line, name: excerpt(&field.name), size }),
        false => Ok(field),
    }
}

/// The number behind `key` in `offset:N; size:N; signed:N;`.
fn attribute(line: usize, key: &'static str, text: &str) -> Result<u32, FormatError> {
    // What the last `;` does not close was cut off.
    let (whole, _) = text.rsplit_once(';').unwrap_or_default();
    let value = whole.split(';').find_map(|part| part.trim().strip_prefix(key));
    number(line, key, value.ok_or(FormatError::NoAttribute { line, key })?)
}

fn number(line: usize, key: &'static str, text: &str) -> Result<u32, FormatError> {
    let text = text.trim();
    text.parse().map_err(|_| FormatError::Number { line, key, text: excerpt(text) })
}

/// Splits a C declaration into type and name: `char comm[16]` is a `char[16]` called `comm`.
fn declaration(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    if let Some((before, after)) = text.split_once("(*").filter(|_| text.ends_with(')')) {
        // `int (*name)(void)`; where a name follows, as in `int (*)(void) name`, it is the last.
        let (name, parameters) = after.split_once(')')?;
        return named(format!("{before}(*){parameters}"), name.trim());
    }
    let (text, brackets) = text.split_at(array_start(text));
    let text = text.trim_end();
    let start = text.rfind(|c| !is_word(c)).map_or(0, |at| at + char_len(text, at));
    let (type_name, name) = text.split_at(start);
    named(format!("{}{brackets}", type_name.trim_end()), name)
}

/// Where the brackets at the end of a declaration start: its length if it has none.
fn array_start(text: &str) -> usize {
    let mut start = text.len();
    while text[..start].trim_end().ends_with(']') {
        match text[..start].rfind('[') {
            Some(bracket) => start = bracket,
            None => break,
        }
    }
    start
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Both parts, if they are ones.
fn named(type_name: String, name: &str) -> Option<(String, String)> {
    let starts_well = name.starts_with(|c: char| is_word(c) && !c.is_ascii_digit());
    let has_type = type_name.contains(|c: char| is_word(c) && !c.is_ascii_digit());
    let is_right = starts_well && name.chars().all(is_word) && has_type && is_clean(&type_name);
    is_right.then(|| (type_name, name.to_owned()))
}

/// Each byte of a record belongs to one field.
fn check_overlap(fields: &[FieldFormat]) -> Result<(), FormatError> {
    let mut sorted: Vec<_> = fields.iter().filter(|field| field.size > 0).collect();
    sorted.sort_by_key(|field| field.offset);
    let overlap = |pair: &&[&FieldFormat]| pair[0].offset + pair[0].size > pair[1].offset;
    match sorted.windows(2).find(overlap) {
        Some(pair) => Err(FormatError::Overlap {
            first: excerpt(&pair[0].name),
            second: excerpt(&pair[1].name),
        }),
        None => Ok(()),
    }
}

/// A name means one field.
fn check_names(fields: &[FieldFormat]) -> Result<(), FormatError> {
    let mut names = HashSet::new();
    match fields.iter().find(|field| !names.insert(field.name.as_str())) {
        Some(field) => Err(FormatError::Twice(excerpt(&field.name))),
        None => Ok(()),
    }
}

/// What a trace event's record looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// The event's name. The system is not in the file: it is the folder's name.
    pub name: EventName,
    /// The number that perf_event_open(2) takes.
    pub id: u32,
    /// For an event of a single system call, such as `syscalls:sys_enter_openat`: the number of
    /// `raw_syscalls:sys_enter` or `sys_exit`, whose records are laid out alike.
    pub all_calls: Option<u32>,
    /// All fields in the file's order, the `common_` ones first.
    pub fields: Vec<FieldFormat>,
}

impl EventFormat {
    /// The length of the fixed part of a record, in bytes.
    #[must_use]
    pub fn record_size(&self) -> u32 {
        self.fields.iter().map(|field| field.offset + field.size).max().unwrap_or(0)
    }

    /// The event of all system calls, for one of a single call: `sys_enter` or `sys_exit` of the
    /// system `raw_syscalls`.
    #[must_use]
    pub fn all_calls_event(&self) -> Option<&'static str> {
        let names =
            if self.name.system == "syscalls" { &["sys_enter", "sys_exit"][..] } else { &[] };
        let is_of =
            |name: &&str| self.name.name.strip_prefix(name).is_some_and(|s| s.starts_with('_'));
        names.iter().copied().find(is_of)
    }

    /// Whether records of `all`, the event of all system calls, have what those of this single
    /// call's event have at the same places: the number, and the arguments or the result.
    #[must_use]
    pub fn is_part_of(&self, all: &EventFormat) -> bool {
        let place =
            |event: &EventFormat, name| event.field(name).map(|field| (field.offset, field.size));
        let words = match self.all_calls_event() {
            Some("sys_enter") => place(all, "args") == Some((CALL_WORDS, 48)),
            _ => place(all, "ret") == Some((CALL_WORDS, 8)),
        };
        let number = place(self, "__syscall_nr").map(|(offset, _)| offset);
        words && place(all, "id") == Some((CALL_NUMBER, 8)) && number == Some(CALL_NUMBER)
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldFormat> {
        self.find(name).map(|(_, field)| field)
    }

    /// The same, and what identifies it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(FieldId, &FieldFormat)> {
        let index = self.fields.iter().position(|field| field.name == name)?;
        Some((FieldId(index), &self.fields[index]))
    }
}

/// Identifies a field of an event: its index among [`EventFormat::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub usize);

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFormat {
    /// The name, without array brackets.
    pub name: String,
    /// The C type as the file has it, array brackets included: `char[16]`, `unsigned long`,
    /// `__data_loc char[]`.
    pub type_name: String,
    /// Where it lies in the record, in bytes.
    pub offset: u32,
    /// Its size in the record, in bytes.
    pub size: u32,
    /// The file's `signed:`.
    pub signed: bool,
    /// It stands above the blank line: every event has it.
    pub common: bool,
}

impl FieldFormat {
    /// It is a word that says where something else lies.
    #[must_use]
    pub fn has_location(&self) -> bool {
        self.type_name.contains("__data_loc") || self.is_relative()
    }

    /// It is such a word, and counts from its own end instead of the record's start.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.type_name.contains("__rel_loc")
    }

    /// How histograms treat the field, by its type and size alone (`filter_assign_type()` in
    /// trace_events_filter.c, which looks for parts of the type's text). A
    /// [`FieldClass::StackArray`] is a stack in synthetic events only; elsewhere it is a bitmask
    /// and treated like a [`FieldClass::Location`].
    #[must_use]
    pub fn class(&self) -> FieldClass {
        let name = self.type_name.as_str();
        let is_char = name.contains("char");
        match name {
            _ if name.contains("__data_loc") && is_char => FieldClass::DynamicString,
            _ if name.contains("__rel_loc") && is_char => FieldClass::RelativeString,
            "__data_loc unsigned long[]" => FieldClass::StackArray,
            _ if self.has_location() => FieldClass::Location,
            _ if is_char && name.contains('[') => FieldClass::StaticString,
            "char *" | "const char *" => FieldClass::CharPointer,
            _ if matches!(self.size, 1 | 2 | 4 | 8) => FieldClass::Number,
            _ => FieldClass::Other,
        }
    }
}

/// How the kernel's histograms treat a field (`hist_field` creation in trace_events_hist.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldClass {
    /// 1, 2, 4 or 8 bytes.
    Number,
    /// `char[N]` in the record.
    StaticString,
    /// `__data_loc char[]`.
    DynamicString,
    /// `__rel_loc char[]`.
    RelativeString,
    /// `char *` or `const char *`: a number whose memory filters may read.
    CharPointer,
    /// `__data_loc unsigned long[]`: a stack.
    StackArray,
    /// `__data_loc` of something else, cpumasks included: the location word as a number.
    Location,
    /// An array of another size.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KMALLOC: &str = "\
name: kmalloc
ID: 549
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long call_site;\toffset:8;\tsize:8;\tsigned:0;
\tfield:const void * ptr;\toffset:16;\tsize:8;\tsigned:0;
\tfield:size_t bytes_req;\toffset:24;\tsize:8;\tsigned:0;
\tfield:char comm[16];\toffset:32;\tsize:16;\tsigned:0;
\tfield:unsigned long args[];\toffset:48;\tsize:0;\tsigned:0;

print fmt: \"call_site=%pS ; field:x\", (void *)REC->call_site
";

    #[test]
    fn a_whole_file_is_understood() {
        let event = parse("kmem", KMALLOC).expect("kmalloc");
        assert_eq!((event.name.to_string().as_str(), event.id), ("kmem:kmalloc", 549));
        assert_eq!(event.record_size(), 48);
        let shown: Vec<_> = event
            .fields
            .iter()
            .map(|f| {
                let FieldFormat { name, type_name, offset, size, signed, common } = f;
                format!("{name} {type_name} {offset} {size} {signed} {common}")
            })
            .collect();
        let want = [
            "common_type unsigned short 0 2 false true",
            "common_flags unsigned char 2 1 false true",
            "common_preempt_count unsigned char 3 1 false true",
            "common_pid int 4 4 true true",
            "call_site unsigned long 8 8 false false",
            "ptr const void * 16 8 false false",
            "bytes_req size_t 24 8 false false",
            "comm char[16] 32 16 false false",
            "args unsigned long[] 48 0 false false",
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn declarations_split_into_type_and_name() {
        for (text, want) in [
            ("int x", Some(("int", "x"))),
            ("unsigned long args[6]", Some(("unsigned long[6]", "args"))),
            ("u8 grid[4][2]", Some(("u8[4][2]", "grid"))),
            ("__data_loc char[] name", Some(("__data_loc char[]", "name"))),
            ("__rel_loc char[] x", Some(("__rel_loc char[]", "x"))),
            ("__rel_loc char x[]", Some(("__rel_loc char[]", "x"))),
            ("const char * filename", Some(("const char *", "filename"))),
            ("char *name", Some(("char *", "name"))),
            ("const void* ip", Some(("const void*", "ip"))),
            ("const char *const * argv", Some(("const char *const *", "argv"))),
            (
                "struct sock * __attribute__((user)) sk",
                Some(("struct sock * __attribute__((user))", "sk")),
            ),
            ("void (*fn)(int, char)", Some(("void (*)(int, char)", "fn"))),
            ("void (*)(int) fn", Some(("void (*)(int)", "fn"))),
            ("enum x::y z", Some(("enum x::y", "z"))),
            ("int", None),
            ("", None),
            ("[4]", None),
            ("int [4]", None),
            ("]", None),
            ("int *", None),
            ("int 4x", None),
            ("* x", None),
            ("(*)()", None),
            ("int (*)", None),
            ("ö x", None),
            ("int ö", None),
        ] {
            let got = declaration(text);
            let got = got.as_ref().map(|(kind, name)| (kind.as_str(), name.as_str()));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn fields_have_the_kernels_classes() {
        for (type_name, size, want) in [
            ("int", 4, FieldClass::Number),
            ("u8", 1, FieldClass::Number),
            ("void *", 8, FieldClass::Number),
            ("__u8[4]", 4, FieldClass::Number),
            ("const char *const *", 8, FieldClass::Number),
            ("const char*", 8, FieldClass::Number),
            ("char *", 8, FieldClass::CharPointer),
            ("const char *", 8, FieldClass::CharPointer),
            ("char[16]", 16, FieldClass::StaticString),
            ("unsigned char[8]", 8, FieldClass::StaticString),
            ("__data_loc char[]", 4, FieldClass::DynamicString),
            ("__rel_loc char[]", 4, FieldClass::RelativeString),
            ("__data_loc unsigned long[]", 4, FieldClass::StackArray),
            ("__data_loc cpumask_t", 4, FieldClass::Location),
            ("__data_loc u64[]", 4, FieldClass::Location),
            ("__rel_loc cpumask_t", 4, FieldClass::Location),
            ("unsigned long[6]", 48, FieldClass::Other),
            ("u8[16]", 16, FieldClass::Other),
            ("struct x", 12, FieldClass::Other),
            ("unsigned long[]", 0, FieldClass::Other),
        ] {
            let type_name = type_name.to_owned();
            let field = FieldFormat {
                name: "x".into(),
                type_name,
                offset: 8,
                size,
                signed: false,
                common: false,
            };
            assert_eq!(field.class(), want, "{field:?}");
        }
    }

    #[test]
    fn broken_files_are_refused() {
        let change = |from: &str, to: &str| {
            assert!(KMALLOC.contains(from), "{from}");
            KMALLOC.replacen(from, to, 1)
        };
        for (text, want) in [
            (String::new(), "there is no `name:` line"),
            (change("name: kmalloc\n", ""), "there is no `name:` line"),
            (change("name: kmalloc", "name:"), "there is no `name:` line"),
            (change("ID: 549\n", ""), "there is no `ID:` line"),
            (change("ID: 549", "ID: x"), "line 2: `ID:x` is no number in range"),
            (change("ID: 549", "ID: -1"), "line 2: `ID:-1` is no number in range"),
            (change("ID: 549", "ID: 4294967296"), "line 2: `ID:4294967296` is no number in range"),
            (change("format:", "fromat:"), "line 3: expected a field, found `fromat:`"),
            (
                change("\nprint fmt:", "\n"),
                "line 15: expected a field, found `\"call_site=%pS ; field:x\", (void *)REC->call_site`",
            ),
            (
                KMALLOC[..KMALLOC.find("\nprint").expect("print")].to_owned(),
                "the text ends before its `print fmt:` line: it was cut off",
            ),
            (change("offset:24;", ""), "line 11: the field has no `offset:`"),
            (
                change("\tsigned:0;\n\tfield:size_t", "\n\tfield:size_t"),
                "line 10: the field has no `signed:`",
            ),
            (
                change("size:16;", "size:99999999999;"),
                "line 12: `size:99999999999` is no number in range",
            ),
            (
                change("size:16;", "size:4294967295;"),
                "line 12: `comm` ends 4294967327 bytes into the record; records have at most 32768",
            ),
            (change("offset:24;", "offset:20;"), "the fields `ptr` and `bytes_req` share bytes"),
            (
                change("field:size_t bytes_req;", "field:;"),
                "line 11: `` is no declaration of a field",
            ),
            (
                change("field:size_t bytes_req;", "field:*;"),
                "line 11: `*` is no declaration of a field",
            ),
            (
                change("\tfield:size_t", "\tsize_t"),
                "line 11: expected a field, found `size_t bytes_req; offset:24; size:8; signed:0;`",
            ),
        ] {
            let error = parse("kmem", &text).expect_err(want);
            assert_eq!(error.to_string(), want);
        }
    }

    fn with_field(offset: u64, size: u64) -> String {
        let more = format!("\tfield:u8 more[{size}];\toffset:{offset};\tsize:{size};\tsigned:0;\n");
        KMALLOC.replacen("\nprint fmt", &format!("{more}\nprint fmt"), 1)
    }

    /// It was taken, and the code that reads it could not be written: an internal error.
    #[test]
    fn a_field_at_offset_65528_was_taken() {
        for (offset, size) in [
            (65528, 8),
            (32761, 8),
            (32768, 1),
            (48, 32721),
            (4_294_967_295, 4_294_967_295),
            (0, 4_294_967_295),
        ] {
            let error = parse("kmem", &with_field(offset, size)).expect_err("too long").to_string();
            let end = offset + size;
            assert_eq!(
                error,
                format!(
                    "line 14: `more` ends {end} bytes into the record; records have at most 32768"
                )
            );
        }
        for (offset, size) in [(32760, 8), (32767, 1), (48, 32720), (32767, 0), (32768, 0)] {
            let event = parse("kmem", &with_field(offset, size)).expect("it fits");
            assert_eq!(u64::from(event.record_size()), (offset + size).max(48));
        }
    }

    #[test]
    fn a_name_that_two_fields_had_meant_the_first() {
        let text = KMALLOC.replacen("bytes_req;", "ptr;", 1);
        assert_eq!(
            parse("kmem", &text).expect_err("ambiguous").to_string(),
            "two fields are called `ptr`"
        );
    }

    #[test]
    fn a_location_of_one_byte_was_read_as_four() {
        for (type_name, size, is_right) in [
            ("__data_loc char[]", 1, false),
            ("__rel_loc cpumask_t", 3, false),
            ("__data_loc char[]", 4, true),
            // Synthetic events have them of 8 bytes.
            ("__data_loc char[]", 8, true),
        ] {
            let more = format!("\tfield:{type_name} more;\toffset:48;\tsize:{size};\tsigned:0;\n");
            let text = KMALLOC.replacen("\nprint fmt", &format!("{more}\nprint fmt"), 1);
            let error = parse("kmem", &text).err().map(|error| error.to_string());
            let wrong =
                format!("line 14: `more` has {size} bytes, but saying where its data lies takes 4");
            assert_eq!(error, (!is_right).then_some(wrong));
        }
    }

    #[test]
    fn a_hundred_thousand_fields_are_read_in_a_moment() {
        let fields: String = (0..100_000)
            .map(|n| format!("\tfield:u8 f{n}[0];\toffset:48;\tsize:0;\tsigned:0;\n"))
            .collect();
        let text = KMALLOC.replacen("\nprint fmt", &format!("{fields}\nprint fmt"), 1);
        assert_eq!(parse("kmem", &text).expect("nothing is wrong").fields.len(), 100_009);
    }

    #[test]
    fn what_a_format_file_says_could_forge_lines_of_an_error() {
        let text = KMALLOC.replacen("format:", &format!("x\u{1b}[2J{}", "y".repeat(9000)), 1);
        let error = parse("kmem", &text).expect_err("no such line").to_string();
        assert!(error.starts_with("line 3: expected a field, found `x\\x1b[2Jyyy"), "{error}");
        assert!(error.chars().count() < 400, "{}", error.len());
        // What is taken is shown in other messages and in lists.
        for (from, to) in
            [("name: kmalloc", "name: \u{1b}[2J"), ("field:size_t", "field:\u{9b}2J size_t")]
        {
            assert!(parse("kmem", &KMALLOC.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_event_or_an_error(text in "(name: x\nID: 1\nformat:\n)?[ a-z0-9:;\\[\\]()*ö\t\n]{0,200}(\nprint fmt: x)?") {
            let _event = parse("x", &text);
        }

        #[test]
        fn any_declaration_gives_two_parts_or_none(text in "[ a-c0(*)\\[\\]ö]{0,16}") {
            if let Some((type_name, name)) = declaration(&text) {
                prop_assert!(!type_name.is_empty() && name.chars().all(is_word));
            }
        }

        #[test]
        fn a_cut_file_is_an_error(length in 0..KMALLOC.find("print fmt:").expect("print")) {
            prop_assert!(parse("kmem", &KMALLOC[..length]).is_err());
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0..KMALLOC.len(), byte in 0_u8..128) {
            let mut text = KMALLOC.as_bytes().to_vec();
            text[at] = byte;
            if let Ok(event) = parse("kmem", &String::from_utf8_lossy(&text)) {
                prop_assert!(u64::from(event.record_size()) <= RECORD_MAX);
            }
        }
    }
}
