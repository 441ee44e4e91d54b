//! Names the kernel symbol at an address as the kernel's own `%ps` and `%pS` do, by /proc/kallsyms,
//! which is read when the first address is asked for.
//!
//! What the kernel does (`kallsyms_lookup_buildid()` in kernel/kallsyms.c), and so do we:
//! - The kernel's own symbols count only between `_stext` and `_end`; where data is not listed
//!   (no `_end`), between `_stext` and `_etext` and between `_sinittext` and `_einittext`.
//! - Of several symbols at one address, the first in the list has the name.
//! - A symbol reaches to the next one at a higher address.
//! - Modules' symbols carry ` [module]`; those of BPF programs carry nothing, though the list
//!   says `[bpf]`. The `[__builtin__…]` ones, ftrace's trampolines among them, are listed and
//!   never looked up.
//!
//! The list has no sizes. So where a module's code ends is taken to be the end of the page in
//! which its last function begins, and the size of a BPF program is the distance to the next.

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::error::SymbolsError;
use super::syscalls;
use super::tracefs::mounted_root;
use crate::escape::excerpt;

/// The kernel's symbols, read when first needed, and again when [told](Symbols::refresh).
#[derive(Debug)]
pub struct Symbols {
    path: PathBuf,
    table: OnceLock<Result<SymbolTable, SymbolsError>>,
    /// Addresses that were looked for in vain when the list was read last.
    unknown: HashSet<u64>,
    /// They are the running kernel's; else it does not matter which system calls that has.
    is_running: bool,
    /// The system calls that this kernel has; `None` if it does not tell.
    syscalls: OnceLock<Option<HashSet<String>>>,
}

/// A symbol that holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// The module it belongs to, if not to the kernel itself.
    pub module: Option<&'a str>,
    /// The address's distance from its start, in bytes.
    pub offset: u64,
    /// Its size, in bytes.
    pub size: u64,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbols {
    /// The running kernel's, from /proc/kallsyms.
    #[must_use]
    pub fn new() -> Self {
        Self {
            path: "/proc/kallsyms".into(),
            table: OnceLock::new(),
            unknown: HashSet::new(),
            is_running: true,
            syscalls: OnceLock::new(),
        }
    }

    /// Those of a text in the format of /proc/kallsyms. It must have `_stext`, and `_end` or
    /// `_etext`: they bound the addresses that kernel symbols can name.
    #[must_use]
    pub fn from_kallsyms(text: &str) -> Self {
        Self {
            path: PathBuf::new(),
            table: OnceLock::from(SymbolTable::parse(text.to_owned())),
            unknown: HashSet::new(),
            is_running: false,
            syscalls: OnceLock::new(),
        }
    }

    /// The name, without `sys_`, of a system call that this kernel has. What a kernel leaves out
    /// has no name, as in its own histograms.
    #[must_use]
    pub fn syscall(&self, number: u32) -> Option<&'static str> {
        let name = syscalls::name(number)?;
        let known = || self.is_running.then(known_syscalls).flatten();
        let known = self.syscalls.get_or_init(known);
        known.as_ref().is_none_or(|known| known.contains(name)).then_some(name)
    }

    /// The symbol at `address`. The first call reads the list.
    #[must_use]
    pub fn resolve(&self, address: u64) -> Option<Symbol<'_>> {
        self.table().ok()?.resolve(address)
    }

    /// Makes sure that `addresses` have symbols if the kernel has any for them: if one has none, the
    /// list is read again, for it may belong to a module or program that was loaded since. But not
    /// if only those are without that were so at the last reading, and never twice in a call.
    /// What cannot be read again stays as it is.
    pub fn refresh(&mut self, addresses: impl IntoIterator<Item = u64>) {
        let was_read = self.table.get().is_some();
        let without: HashSet<u64> =
            addresses.into_iter().filter(|address| self.lacks(*address)).collect();
        if without.is_subset(&self.unknown) || self.problem().is_some() {
            return;
        }
        if was_read && let Ok(table) = self.read() {
            self.table = OnceLock::from(Ok(table));
        }
        // Those of other tables, too, or each would have the list read again after another.
        let mut unknown = std::mem::take(&mut self.unknown);
        unknown.extend(without);
        unknown.retain(|address| self.lacks(*address));
        self.unknown = unknown;
    }

    /// It is an address of the kernel, which has the upper half of them, and has no symbol.
    fn lacks(&self, address: u64) -> bool {
        address >> 63 == 1 && self.resolve(address).is_none()
    }

    /// The list itself, which the first call reads.
    ///
    /// # Errors
    /// If the list is unusable.
    pub fn table(&self) -> Result<&SymbolTable, &SymbolsError> {
        self.table.get_or_init(|| self.read()).as_ref()
    }

    /// The same, if it has been read.
    #[must_use]
    pub fn table_if_read(&self) -> Option<Result<&SymbolTable, &SymbolsError>> {
        self.table.get().map(Result::as_ref)
    }

    /// Why no address has a symbol, if one was asked for and the list is unusable.
    #[must_use]
    pub fn problem(&self) -> Option<&SymbolsError> {
        self.table.get()?.as_ref().err()
    }

    fn read(&self) -> Result<SymbolTable, SymbolsError> {
        let bytes = fs::read(&self.path)
            .map_err(|source| SymbolsError::Read { path: self.path.clone(), source })?;
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        SymbolTable::parse(text)
    }
}

/// The system calls that have an event, by name; `None` on a kernel without such events, or without
/// tracefs.
fn known_syscalls() -> Option<HashSet<String>> {
    let folders = fs::read_dir(mounted_root()?.join("events/syscalls")).ok()?;
    let names = folders.filter_map(|folder| {
        let name = folder.ok()?.file_name().into_string().ok()?;
        name.strip_prefix("sys_enter_").map(str::to_owned)
    });
    Some(names.collect())
}

/// Symbols that can be found, by rising address, one for each.
#[derive(Debug)]
pub struct SymbolTable {
    text: String,
    entries: Vec<SymbolLine>,
}

/// A line of the list. Its texts stay in the list: on a large kernel there are 200,000.
#[derive(Clone, Copy, Debug)]
struct SymbolLine {
    address: u64,
    /// One past its last byte.
    end: u64,
    /// Where the name starts in the text; the module, if any, follows as `\t[module]`.
    name: u32,
    name_len: u16,
    module_len: u16,
    area: Area,
    is_text: bool,
}

/// Whose a symbol is; each is bounded in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Kernel,
    Module,
    Bpf,
    /// Listed, but never looked up.
    Builtin,
}

impl SymbolTable {
    fn parse(text: String) -> Result<Self, SymbolsError> {
        if u32::try_from(text.len()).is_err() {
            return Err(SymbolsError::TooLong(text.len()));
        }
        let mut entries = lines(&text)?;
        if entries.is_empty() {
            return Err(SymbolsError::Hidden);
        }
        let image = Image::find(&text, &entries)?;
        entries.retain(|entry| can_be_found(&text, entry));
        // Stable: the first of several at one address stays the first.
        entries.sort_by_key(|entry| entry.address);
        entries.dedup_by_key(|entry| entry.address);
        bound(&text, &mut entries);
        entries.retain(|entry| entry.area != Area::Kernel || image.contains(entry.address));
        Ok(Self { text, entries })
    }

    /// The symbol at `address`.
    #[must_use]
    pub fn resolve(&self, address: u64) -> Option<Symbol<'_>> {
        let after = self.entries.partition_point(|entry| entry.address <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        (address < entry.end).then(|| Symbol {
            name: entry.name(&self.text),
            module: (entry.area == Area::Module).then(|| entry.module(&self.text)),
            offset: address - entry.address,
            size: entry.end - entry.address,
        })
    }
}

impl SymbolTable {
    /// The address of the symbol `name`, or of a module's `module:name`. As in the kernel
    /// (`kallsyms_lookup_name()`), its own symbols come before those of modules, and of several
    /// the one at the lowest address.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        let text = &self.text;
        // The entries have one name for each address; the text has all.
        let entries = lines(text).ok()?;
        let lowest = |test: &dyn Fn(&SymbolLine) -> bool| {
            entries.iter().filter(|entry| test(entry)).map(|entry| entry.address).min()
        };
        let kernel = lowest(&|entry| entry.area == Area::Kernel && entry.name(text) == name);
        let module = |entry: &SymbolLine| {
            entry.area == Area::Module
                && match name.split_once(':') {
                    Some((module, name)) => {
                        entry.module(text) == module && entry.name(text) == name
                    }
                    None => entry.name(text) == name,
                }
        };
        kernel.or_else(|| lowest(&module))
    }
}

impl SymbolLine {
    fn name<'a>(&self, text: &'a str) -> &'a str {
        let start = self.name as usize;
        &text[start..start + usize::from(self.name_len)]
    }

    fn module<'a>(&self, text: &'a str) -> &'a str {
        let start = self.name as usize + usize::from(self.name_len) + "\t[".len();
        &text[start..start + usize::from(self.module_len)]
    }
}

/// Where the kernel's own symbols count.
struct Image([Range<u64>; 2]);

impl Image {
    fn find(text: &str, entries: &[SymbolLine]) -> Result<Self, SymbolsError> {
        let address = |name: &str| {
            let mut kernel = entries.iter().filter(|entry| entry.area == Area::Kernel);
            kernel.find(|entry| entry.name(text) == name).map(|entry| entry.address)
        };
        let start = address("_stext").ok_or(SymbolsError::NoBounds("_stext"))?;
        if let Some(end) = address("_end") {
            return Ok(Self([start..end, 0..0]));
        }
        let end = address("_etext").ok_or(SymbolsError::NoBounds("_etext"))?;
        let init = address("_sinittext").zip(address("_einittext")).unwrap_or_default();
        Ok(Self([start..end, init.0..init.1]))
    }

    fn contains(&self, address: u64) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
}

/// All lines whose address is not zero, which stands for "hidden" or "undefined".
fn lines(text: &str) -> Result<Vec<SymbolLine>, SymbolsError> {
    // The shortest lines of a 64-bit kernel have about 32 bytes.
    let mut entries = Vec::with_capacity(text.len() / 32);
    let (mut at, mut number) = (0, 1);
    while at < text.len() {
        let (entry, next) = line(text.as_bytes(), at).ok_or_else(|| SymbolsError::Line {
            line: number,
            text: excerpt(text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default()),
        })?;
        if entry.address != 0 {
            entries.push(entry);
        }
        (at, number) = (next, number + 1);
    }
    Ok(entries)
}

/// The line `ADDRESS TYPE NAME[\t[MODULE]]` from `at` on, and where the next one starts.
fn line(text: &[u8], at: usize) -> Option<(SymbolLine, usize)> {
    let (address, at) = hex(text, at)?;
    let &[b' ', kind, b' ', ..] = text.get(at..)? else { return None };
    let name = at + 3;
    let name_end = name + length(text, name, |byte| byte == b'\t' || byte == b'\n');
    let end = name_end + length(text, name_end, |byte| byte == b'\n');
    let (area, module_len) = area(&text[name_end..end])?;
    let entry = SymbolLine {
        address,
        end: address,
        name: u32::try_from(name).ok()?,
        name_len: u16::try_from(name_end - name).ok().filter(|&len| len > 0)?,
        module_len,
        area,
        is_text: matches!(kind, b't' | b'T' | b'w' | b'W'),
    };
    Some((entry, end + 1))
}

/// A hexadecimal number of 1 to 16 digits, and where it ends.
fn hex(text: &[u8], start: usize) -> Option<(u64, usize)> {
    let mut number = 0;
    let mut at = start;
    while let Some(digit) = text.get(at).and_then(|&byte| char::from(byte).to_digit(16)) {
        number = number << 4 | u64::from(digit);
        at += 1;
    }
    (1..=16).contains(&(at - start)).then_some((number, at))
}

/// How many bytes from `start` on stand before the first that `ends`.
fn length(text: &[u8], start: usize, ends: impl Fn(u8) -> bool) -> usize {
    let rest = &text[start..];
    rest.iter().position(|&byte| ends(byte)).unwrap_or(rest.len())
}

/// What a line says behind the name: nothing, or `\t[module]`. With the module's length.
fn area(suffix: &[u8]) -> Option<(Area, u16)> {
    if suffix.is_empty() {
        return Some((Area::Kernel, 0));
    }
    let module = suffix.strip_prefix(b"\t[")?.strip_suffix(b"]")?;
    let area = match module {
        b"bpf" => Area::Bpf,
        _ if module.starts_with(b"__builtin__") => Area::Builtin,
        _ => Area::Module,
    };
    Some((area, u16::try_from(module.len()).ok()?))
}

/// The kernel passes over marks that assemblers leave in modules (`is_mapping_symbol()`).
fn can_be_found(text: &str, entry: &SymbolLine) -> bool {
    match entry.area {
        Area::Builtin => false,
        Area::Kernel | Area::Bpf => true,
        Area::Module => !entry.name(text).starts_with(['$']) && !is_local_label(entry.name(text)),
    }
}

fn is_local_label(name: &str) -> bool {
    name.starts_with(".L") || name.starts_with("L0")
}

/// Gives each entry its end.
fn bound(text: &str, entries: &mut [SymbolLine]) {
    let mut next: Option<SymbolLine> = None;
    for entry in entries.iter_mut().rev() {
        entry.end = match next {
            Some(next) if adjoins(text, entry, &next) => next.address,
            Some(next) => next.address.min(limit(entry)),
            None => limit(entry),
        };
        next = Some(*entry);
    }
}

/// `next` begins where `entry` ends.
fn adjoins(text: &str, entry: &SymbolLine, next: &SymbolLine) -> bool {
    entry.area == next.area
        && match entry.area {
            Area::Module => {
                entry.is_text == next.is_text && entry.module(text) == next.module(text)
            }
            Area::Bpf => same_block(entry.address, next.address, BPF_PACK),
            Area::Kernel | Area::Builtin => true,
        }
}

/// The largest area that the kernel fills with BPF programs (bytes): `BPF_PROG_PACK_SIZE` in
/// kernel/bpf/core.c, one huge page.
const BPF_PACK: u64 = 2 << 20;

/// Modules' areas are padded to whole pages (bytes).
const PAGE: u64 = 4096;

/// Where `entry` ends at the latest when nothing adjoins it.
fn limit(entry: &SymbolLine) -> u64 {
    match entry.area {
        Area::Module => block_end(entry.address, PAGE),
        Area::Bpf => block_end(entry.address, BPF_PACK),
        // The last is one of the marks that bound the kernel; nothing lies in it.
        Area::Kernel | Area::Builtin => entry.address,
    }
}

/// The end of the aligned block of `size` bytes, a power of two, that `address` lies in.
fn block_end(address: u64, size: u64) -> u64 {
    (address | (size - 1)).saturating_add(1)
}

fn same_block(one: u64, other: u64, size: u64) -> bool {
    one & !(size - 1) == other & !(size - 1)
}

#[cfg(test)]
mod tests {
    use hist_test_support::needs;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_addresses() {
        let symbols = Symbols::from_kallsyms(
            "1000 T _stext\n1100 t twin\n1200 T one\n1200 T alias\n1300 t twin\n2000 T _etext\n\
             9000 t other\t[module]\n9100 t one\t[module]\n",
        );
        let table = symbols.table().expect("whole");
        assert_eq!(table.address("one"), Some(0x1200));
        assert_eq!(table.address("alias"), Some(0x1200));
        assert_eq!(table.address("twin"), Some(0x1100));
        assert_eq!(table.address("other"), Some(0x9000));
        assert_eq!(table.address("module:one"), Some(0x9100));
        assert_eq!(table.address("other:one"), None);
        assert_eq!(table.address(""), None);
    }

    /// No data listed, as without CONFIG_KALLSYMS_ALL.
    const TEXT_ONLY: &str = "\
0000000000000000 A fixed_percpu_data
0000000000001000 A cpu_debug_store
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000040 t first
ffffffff81000100 t __pfx_second
ffffffff81000110 T second
ffffffff81000110 T __second_alias
ffffffff81000200 t twin
ffffffff81000300 t twin
ffffffff81000400 T _etext
ffffffff82000000 D __start_rodata
ffffffff82000800 R __stop_notes
ffffffff83000000 T _sinittext
ffffffff83000010 t early
ffffffff83000100 T _einittext
ffffffff84000000 D __start_ftrace_events
ffffffffc0000000 t $x\t[ext4]
ffffffffc0000000 t helper\t[ext4]
ffffffffc0000000 t .L12\t[ext4]
ffffffffc0000080 T ext4_open\t[ext4]
ffffffffc0002000 d table\t[ext4]
ffffffffc0010000 t xfs_only\t[xfs]
ffffffffc0201000 t ftrace_trampoline\t[__builtin__ftrace]
ffffffffc0400000 t bpf_prog_6deef7357e7b4530_one\t[bpf]
ffffffffc0400080 t bpf_prog_6deef7357e7b4530_two\t[bpf]
";

    fn shown(symbols: &Symbols, address: u64) -> String {
        symbols.resolve(address).map_or_else(
            || format!("{address:#x}"),
            |Symbol { name, module, offset, size }| {
                let module = module.map(|name| format!(" [{name}]")).unwrap_or_default();
                format!("{name}+{offset:#x}/{size:#x}{module}")
            },
        )
    }

    fn check(text: &str, table: &[(u64, &str)]) {
        let symbols = Symbols::from_kallsyms(text);
        for &(address, want) in table {
            assert_eq!(shown(&symbols, address), want, "{address:#x}");
        }
        assert!(symbols.problem().is_none());
    }

    #[test]
    fn addresses_are_named_as_the_kernel_names_them() {
        check(
            TEXT_ONLY,
            &[
                // Per-CPU offsets are listed and name nothing.
                (0, "0x0"),
                (5, "0x5"),
                (0x1000, "0x1000"),
                (0xffff_ffff_80ff_ffff, "0xffffffff80ffffff"),
                // The first of several at one address; size to the next other address.
                (0xffff_ffff_8100_0000, "_stext+0x0/0x40"),
                (0xffff_ffff_8100_0041, "first+0x1/0xc0"),
                (0xffff_ffff_8100_0110, "second+0x0/0xf0"),
                (0xffff_ffff_8100_02ff, "twin+0xff/0x100"),
                (0xffff_ffff_8100_0300, "twin+0x0/0x100"),
                (0xffff_ffff_8100_03ff, "twin+0xff/0x100"),
                // Marks in the data are listed; data is not, so they name nothing.
                (0xffff_ffff_8100_0400, "0xffffffff81000400"),
                (0xffff_ffff_8200_0001, "0xffffffff82000001"),
                (0xffff_ffff_8300_0020, "early+0x10/0xf0"),
                (0xffff_ffff_8300_0100, "0xffffffff83000100"),
                (0xffff_ffff_8400_0001, "0xffffffff84000001"),
                // Modules: assembler marks do not count; the last function ends with its page.
                (0xffff_ffff_c000_0000, "helper+0x0/0x80 [ext4]"),
                (0xffff_ffff_c000_0090, "ext4_open+0x10/0xf80 [ext4]"),
                (0xffff_ffff_c000_1000, "0xffffffffc0001000"),
                (0xffff_ffff_c000_2008, "table+0x8/0x1000 [ext4]"),
                (0xffff_ffff_c001_0fff, "xfs_only+0xfff/0x1000 [xfs]"),
                (0xffff_ffff_c001_1000, "0xffffffffc0011000"),
                // Trampolines are listed and not looked up.
                (0xffff_ffff_c020_1000, "0xffffffffc0201000"),
                // BPF programs do not carry `[bpf]`.
                (0xffff_ffff_c040_0010, "bpf_prog_6deef7357e7b4530_one+0x10/0x80"),
                (0xffff_ffff_c040_0080, "bpf_prog_6deef7357e7b4530_two+0x0/0x1fff80"),
                (0xffff_ffff_c060_0000, "0xffffffffc0600000"),
                (u64::MAX, "0xffffffffffffffff"),
            ],
        );
    }

    #[test]
    fn with_data_listed_everything_up_to_end_has_a_name() {
        let text = "ffff800080010000 T _stext\n\
                    ffff800080010000 t vectors\n\
                    ffff800081000000 T _etext\n\
                    ffff800082000000 d jiffies\n\
                    ffff800082000008 B _end\n\
                    ffff800083000000 r beyond\n";
        check(
            text,
            &[
                (0xffff_8000_8001_0004, "_stext+0x4/0xff0000"),
                (0xffff_8000_8100_0010, "_etext+0x10/0x1000000"),
                (0xffff_8000_8200_0007, "jiffies+0x7/0x8"),
                (0xffff_8000_8200_0008, "0xffff800082000008"),
                (0xffff_8000_8300_0000, "0xffff800083000000"),
            ],
        );
    }

    fn problem(text: &str) -> SymbolsError {
        SymbolTable::parse(text.to_owned()).expect_err(text)
    }

    #[test]
    fn hidden_addresses_are_reported() {
        let hidden = "0000000000000000 T _stext\n0000000000000000 T _etext\n";
        assert!(matches!(problem(hidden), SymbolsError::Hidden));
        let symbols = Symbols::from_kallsyms(hidden);
        assert_eq!(symbols.resolve(0xffff_ffff_8100_0000), None);
        let text = symbols.problem().expect("a problem").to_string();
        assert!(text.contains("CAP_SYSLOG") && text.contains("kernel.kptr_restrict"), "{text}");
    }

    #[test]
    fn broken_lists_are_reported() {
        assert!(matches!(problem("10 T some\n"), SymbolsError::NoBounds("_stext")));
        assert!(matches!(problem("10 T _stext\n"), SymbolsError::NoBounds("_etext")));
        for (text, number) in [
            ("10 T _stext\nxyz\n", 2),
            ("10 T _stext\n11 T _etext\n12\n", 3),
            ("10 T \n", 1),
            ("10 T a\t[b\n", 1),
            ("\n", 1),
            ("12345678123456781 T a\n", 1),
        ] {
            let error = problem(text);
            assert!(matches!(error, SymbolsError::Line { line, .. } if line == number), "{error}");
        }
    }

    #[test]
    fn the_list_is_not_read_before_it_is_needed() {
        let symbols = Symbols { path: "/nonexistent/kallsyms".into(), ..Symbols::new() };
        assert!(symbols.problem().is_none());
        assert_eq!(symbols.resolve(1), None);
        assert!(matches!(symbols.problem(), Some(SymbolsError::Read { .. })));
    }

    /// What was loaded after the first reading stayed without a name.
    #[test]
    fn what_is_loaded_later_gets_its_name_with_one_more_reading() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kallsyms");
        let kernel = "ffffffff81000000 T _stext\nffffffff81001000 T _etext\n";
        let program = "ffffffffc0400000 t bpf_prog_one\t[bpf]\n";
        let write = |text: &str| fs::write(&path, text).expect("a file");
        let (known, later, never) = (0xffff_ffff_8100_0010, 0xffff_ffff_c040_0000, u64::MAX);
        let mut symbols = Symbols { path: path.clone(), ..Symbols::new() };
        write(kernel);
        symbols.refresh([known, never, 5]);
        assert_eq!(shown(&symbols, known), "_stext+0x10/0x1000");
        write(&format!("{kernel}{program}"));
        symbols.refresh([known, never, 5]);
        assert_eq!(symbols.resolve(later), None, "nothing new was asked for");
        symbols.refresh([known, never, later]);
        assert_eq!(shown(&symbols, later), "bpf_prog_one+0x0/0x200000");
        // What cannot be read keeps what is known.
        fs::remove_file(&path).expect("it is there");
        symbols.refresh([known, later, later + BPF_PACK]);
        assert_eq!(shown(&symbols, later), "bpf_prog_one+0x0/0x200000");
        assert!(symbols.problem().is_none());
    }

    /// Each table that had addresses without names made it be read again after another one.
    #[test]
    fn tables_without_some_names_do_not_read_the_list_in_turns() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kallsyms");
        let kernel = "ffffffff81000000 T _stext\nffffffff81001000 T _etext\n";
        let (one, other) = (0xffff_ffff_c040_0000, u64::MAX);
        let mut symbols = Symbols { path: path.clone(), ..Symbols::new() };
        fs::write(&path, kernel).expect("a file");
        symbols.refresh([one]);
        symbols.refresh([other]);
        let more = format!("{kernel}ffffffffc0400000 t bpf_prog_one\t[bpf]\n");
        fs::write(&path, more).expect("a file");
        symbols.refresh([one]);
        symbols.refresh([other]);
        assert_eq!(symbols.resolve(one), None, "nothing new was asked for");
    }

    #[test]
    fn this_kernels_symbols_name_themselves() {
        if !needs::root() {
            return;
        }
        let symbols = Symbols::new();
        let own = symbols.resolve(0);
        assert!(symbols.problem().is_none(), "{:?}", symbols.problem());
        assert_eq!(own, None);
        let text = fs::read_to_string("/proc/kallsyms").expect("kallsyms");
        let line = text.lines().find(|line| line.ends_with(" T vfs_read")).expect("vfs_read");
        let address = u64::from_str_radix(&line[..16], 16).expect("address");
        let symbol = symbols.resolve(address + 1).expect("symbol");
        assert_eq!((symbol.name, symbol.module, symbol.offset), ("vfs_read", None, 1));
        assert!((16..65536).contains(&symbol.size), "{symbol:?}");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_table_or_an_error(text in "([0-9a-f]{0,17} ?[tT] [a-z_]{0,6}(\t\\[[a-z]{0,4}\\])?\n?){0,8}") {
            if let Ok(table) = SymbolTable::parse(text) {
                let _found = table.resolve(u64::MAX);
            }
        }

        #[test]
        fn a_found_symbol_holds_the_address(
            starts in prop::collection::vec(1_u64..5000, 1..50),
            address in 0_u64..6000,
        ) {
            let mut text = String::from("1 T _stext\n1388 T _etext\n");
            for (number, start) in starts.iter().enumerate() {
                text += &format!("{start:x} t f{number}\n");
            }
            let symbols = Symbols::from_kallsyms(&text);
            let found = symbols.resolve(address);
            prop_assert_eq!(found.is_some(), (1..5000).contains(&address));
            if let Some(symbol) = found {
                prop_assert!(symbol.offset < symbol.size);
                let start = address - symbol.offset;
                let nearest = starts.iter().copied().chain([1]).filter(|&at| at <= address).max();
                prop_assert_eq!(Some(start), nearest);
            }
        }
    }
}
