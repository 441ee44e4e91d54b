//! Searches BTF in a file or in memory, and reads no more of it than each question needs.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use memchr::memmem;

use crate::sys::mmap::Mapping;

use super::types::{
    HEADER, Header, MEMBER, Member, PARAM, Parameter, Tracepoint, Type, TypeId, kind, words,
};
use super::{Btf, BtfError};

/// `BTF_MAGIC`
const MAGIC: u16 = 0xeb9f;
/// Bytes of `struct btf_header`, up to `str_len`.
const FILE_HEADER: usize = 24;
/// Bytes that are read at a time when searching. The kernel gives 4 KiB in a call.
const CHUNK: usize = 32 * 1024;
/// Bytes that are read at a time around a single type.
const NEAR: usize = 4 * 1024;
/// The place of every so many-th type is remembered.
const STRIDE: usize = 64;
/// Qualifiers and typedefs on one type, or structs in one another, are never that many.
const DEPTH: usize = 32;
/// Parameters of a tracepoint; programs are given 12 at most (`MAX_BPF_FUNC_ARGS` in Linux
/// include/linux/bpf.h).
const PARAMETERS_MAX: u32 = 32;
/// Members that are looked at for one question. The largest struct of a kernel has some hundreds, with
/// those of its unnamed members.
const MEMBERS_MAX: usize = 1 << 17;
/// The longest name, NUL included (`KSYM_NAME_LEN` in Linux include/linux/kallsyms.h).
const NAME_SIZE: usize = 512;

const TOO_EARLY: BtfError = BtfError::Broken("it ends too early");
const REFERS_TO_ITSELF: BtfError = BtfError::Broken("a type refers to itself");

/// BTF, opened.
#[derive(Debug)]
pub(super) struct Image {
    bytes: Bytes,
    /// Where the types are.
    types: Range,
    /// Where their names are.
    strings: Range,
    /// Where types 1, 1 + `STRIDE`, ... are, as far as has been seen.
    places: RefCell<Vec<u64>>,
    /// How many tracepoints have been searched.
    searched: Cell<usize>,
    /// All of them, once one search for all takes less time than one for each.
    traces: OnceCell<HashMap<String, Trace>>,
}

/// A tracepoint's typedef, and the function that calls its probes.
type Trace = [Option<TypeId>; 2];

/// How the names of both begin.
const TRACE_PREFIXES: [&str; 2] = ["btf_trace_", "__traceiter_"];
/// What kinds of types they are.
const TRACE_KINDS: [u32; 2] = [kind::TYPEDEF, kind::FUNC];
/// So many tracepoints are searched one by one. A search goes over all names and many types, a
/// millisecond or more; looking up the names of all such types takes about as long as some searches.
const SEARCHES: usize = 8;

/// Bytes from `start` to before `end`.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    end: u64,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    /// Some 800 reads of 4 KiB each, which is what the kernel gives at a time, would take a
    /// millisecond more.
    Mapped(Mapping),
    Memory(Vec<u8>),
}

impl Bytes {
    /// Fills `buffer` from `offset` on, as far as there is something; gives how far.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_some(offset + done as u64, &mut buffer[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self.whole() {
            Ok(bytes) => Ok(copy(bytes, offset, buffer)),
            Err(file) => file.read_at(buffer, offset),
        }
    }

    /// All of them if they lie in memory already, else the file to read them from.
    fn whole(&self) -> Result<&[u8], &File> {
        match self {
            Self::File(file) => Err(file),
            Self::Mapped(bytes) => Ok(bytes),
            Self::Memory(bytes) => Ok(bytes),
        }
    }

    fn read_array<const N: usize>(&self, offset: u64) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        match self.read(offset, &mut array)? {
            count if count == N => Ok(array),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Copies what there is from `offset` on; gives how much.
fn copy(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let count = buffer.len().min(bytes.len() - start);
    buffer[..count].copy_from_slice(&bytes[start..start + count]);
    count
}

/// A part of the bytes that has been read, for what is read in small pieces one after the other.
/// Of bytes that lie in memory it is all, for copying them would take longer than looking at them.
struct Window<'a> {
    bytes: &'a Bytes,
    start: u64,
    held: Cow<'a, [u8]>,
    /// Bytes that are read at a time.
    size: usize,
}

impl<'a> Window<'a> {
    fn new(bytes: &'a Bytes, size: usize) -> Self {
        let held = bytes.whole().map_or(Cow::Owned(Vec::new()), Cow::Borrowed);
        Self { bytes, start: 0, held, size }
    }

    fn array<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], BtfError> {
        match self.ahead(offset).first_chunk::<N>() {
            Some(found) => Ok(*found),
            None => self.chunk(offset)?.first_chunk::<N>().copied().ok_or(TOO_EARLY),
        }
    }

    /// What is held from `offset` on.
    fn ahead(&self, offset: u64) -> &[u8] {
        // What lies before the window is far behind it, too.
        let at = usize::try_from(offset.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        self.held.get(at..).unwrap_or_default()
    }

    /// What there is from `offset` on, at least as much as is read at a time.
    #[cold]
    fn chunk(&mut self, offset: u64) -> Result<&[u8], BtfError> {
        if let Cow::Owned(held) = &mut self.held {
            held.resize(self.size, 0);
            let count = self.bytes.read(offset, held)?;
            held.truncate(count);
            self.start = offset;
        }
        Ok(self.ahead(offset))
    }
}

impl Image {
    pub(super) fn open(path: &Path) -> Result<Self, BtfError> {
        let file = File::open(path).map_err(|error| BtfError::opening(path, &error))?;
        // Only of the kernel's own file it is known that it stays as it is.
        let mapping = (path == Path::new(Btf::VMLINUX)).then(|| Mapping::of_constant(&file));
        Self::new(match mapping {
            Some(Ok(mapping)) => Bytes::Mapped(mapping),
            // Before Linux 6.16 it can only be read.
            _ => Bytes::File(file),
        })
    }

    pub(super) fn of_bytes(bytes: Vec<u8>) -> Result<Self, BtfError> {
        Self::new(Bytes::Memory(bytes))
    }

    fn new(bytes: Bytes) -> Result<Self, BtfError> {
        let header: [u8; FILE_HEADER] = bytes.read_array(0)?;
        // magic (u16), version, flags (u8), hdr_len, type_off, type_len, str_off, str_len (u32)
        let [first, hdr_len, type_off, type_len, str_off, str_len] = words(header);
        // The low half of the first word, whatever the byte order of a kernel that is this one.
        if u16::from_ne_bytes([header[0], header[1]]) != MAGIC || first == 0 {
            return Err(BtfError::Broken("it does not begin as BTF does"));
        }
        let range = |offset: u32, length: u32| {
            let start = u64::from(hdr_len) + u64::from(offset);
            Range { start, end: start + u64::from(length) }
        };
        let (types, strings) = (range(type_off, type_len), range(str_off, str_len));
        let (places, searched, traces) = (RefCell::default(), Cell::new(0), OnceCell::new());
        Ok(Self { bytes, types, strings, places, searched, traces })
    }

    pub(super) fn tracepoint(&self, name: &str) -> Result<Option<Tracepoint>, BtfError> {
        // The typedef is what the kernel knows the tracepoint by, but its parameters have no
        // names. Those of the function that calls a tracepoint's probes have.
        let searched = self.searched.get();
        let trace = if searched < SEARCHES {
            self.searched.set(searched + 1);
            self.search_trace(name)?
        } else {
            self.traces()?.get(name).copied().unwrap_or_default()
        };
        let [Some(id), Some(function)] = trace else { return Ok(None) };
        let pointer = self.header(self.header(id)?.size_or_type)?;
        if pointer.kind() != kind::PTR {
            return Err(BtfError::Broken("a tracepoint's type is no pointer"));
        }
        let (own, named) = (pointer.size_or_type, self.header(function)?.size_or_type);
        let (own, named) = (self.parameters(own)?, self.parameters(named)?);
        if !own.iter().map(|one| one.type_id).eq(named.iter().map(|one| one.type_id)) {
            return Err(BtfError::Broken("two functions of a tracepoint differ"));
        }
        // The first is the tracepoint's own `void *__data`, which programs are not given.
        Ok(Some(Tracepoint { id, parameters: named.into_iter().skip(1).collect() }))
    }

    /// How often all names were searched for one tracepoint.
    #[cfg(test)]
    pub(super) fn searches(&self) -> usize {
        self.searched.get()
    }

    fn search_trace(&self, name: &str) -> Result<Trace, BtfError> {
        let [Some(typedef), Some(function)] = self.find_strings(TRACE_PREFIXES, name)? else {
            return Ok(Trace::default());
        };
        let [first, second] = TRACE_KINDS;
        self.find_types([(first, typedef), (second, function)])
    }

    /// Every tracepoint, by its name.
    fn traces(&self) -> Result<&HashMap<String, Trace>, BtfError> {
        if let Some(traces) = self.traces.get() {
            return Ok(traces);
        }
        let mut candidates = Vec::new();
        self.walk((1, self.types.start), |id, header| {
            let which = TRACE_KINDS.iter().position(|kind| *kind == header.kind());
            candidates.extend(which.map(|which| (which, id, header.name)));
            true
        })?;
        let mut traces: HashMap<String, Trace> = HashMap::new();
        for (which, id, name) in candidates {
            let mut start = [0; 16];
            let prefix = TRACE_PREFIXES[which];
            let length = self.bytes.read(self.strings.start + u64::from(name), &mut start)?;
            if start[..length].starts_with(prefix.as_bytes()) {
                let name = self.string(name)?.split_off(prefix.len());
                traces.entry(name).or_default()[which].get_or_insert(id);
            }
        }
        Ok(self.traces.get_or_init(|| traces))
    }

    pub(super) fn compound(&self, name: &str) -> Result<Option<TypeId>, BtfError> {
        let [Some(name)] = self.find_strings([""], name)? else { return Ok(None) };
        let [id] = self.find_types([(kind::STRUCT, name)])?;
        Ok(id)
    }

    /// The parameters of a function's prototype.
    fn parameters(&self, prototype: TypeId) -> Result<Vec<Parameter>, BtfError> {
        let (header, place) = self.header_at(prototype)?;
        if header.kind() != kind::FUNC_PROTO {
            return Err(BtfError::Broken("a tracepoint's type is no function"));
        }
        if header.count() > PARAMETERS_MAX {
            return Err(BtfError::Broken("a tracepoint has too many parameters"));
        }
        let one = |idx| {
            let bytes =
                self.bytes.read_array::<{ PARAM as usize }>(place + HEADER + PARAM * idx)?;
            let [name, type_id] = words(bytes);
            Ok(Parameter { name: self.string(name)?, type_id })
        };
        (0..u64::from(header.count())).map(one).collect()
    }

    pub(super) fn resolve(&self, id: TypeId) -> Result<Type, BtfError> {
        let mut id = id;
        for _ in 0..DEPTH {
            if id == 0 {
                return Ok(Type::Other);
            }
            let (header, place) = self.header_at(id)?;
            id = match header.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    header.size_or_type
                }
                _ => return self.resolved(id, header, place),
            };
        }
        Err(REFERS_TO_ITSELF)
    }

    fn resolved(&self, id: TypeId, header: Header, place: u64) -> Result<Type, BtfError> {
        let size = header.size_or_type;
        Ok(match header.kind() {
            kind::INT => {
                let [encoding] = words(self.bytes.read_array::<4>(place + HEADER)?);
                // Bits 24 to 27: 1 signed, 2 char, 4 bool. The low 8 bits: width.
                if !matches!(size, 1 | 2 | 4 | 8) || encoding & 0xff != 8 * size {
                    return Ok(Type::Other);
                }
                let has = |bit: u32| encoding >> 24 & bit != 0;
                Type::Integer { size, signed: has(1), is_bool: has(4) }
            }
            kind::ENUM | kind::ENUM64 if matches!(size, 1 | 2 | 4 | 8) => {
                Type::Integer { size, signed: header.flag(), is_bool: false }
            }
            kind::PTR if self.is_far(header.size_or_type)? => Type::FarPointer,
            kind::PTR => Type::Pointer(header.size_or_type),
            kind::STRUCT | kind::UNION => Type::Compound { id, size },
            kind::ARRAY => {
                let bytes = self.bytes.read_array::<12>(place + HEADER)?;
                let [element, _, count] = words(bytes);
                Type::Array { element, count }
            }
            _ => Type::Other,
        })
    }

    /// What a pointer points to is tagged as being elsewhere.
    fn is_far(&self, target: TypeId) -> Result<bool, BtfError> {
        let mut id = target;
        for _ in 0..DEPTH {
            if id == 0 {
                return Ok(false);
            }
            let header = self.header(id)?;
            id = match header.kind() {
                kind::TYPE_TAG => match self.string(header.name)?.as_str() {
                    "user" | "percpu" => return Ok(true),
                    _ => header.size_or_type,
                },
                kind::CONST | kind::VOLATILE => header.size_or_type,
                _ => return Ok(false),
            };
        }
        Err(REFERS_TO_ITSELF)
    }

    pub(super) fn member(&self, compound: TypeId, name: &str) -> Result<Option<Member>, BtfError> {
        let is_it = |member: &Member, found: &str| (found == name).then_some(*member);
        self.find_member(compound, is_it)
    }

    pub(super) fn member_names(&self, compound: TypeId) -> Result<Vec<String>, BtfError> {
        let mut names = Vec::new();
        self.find_member(compound, |_, name| {
            names.push(name.to_owned());
            None::<()>
        })?;
        names.retain(|name| !name.is_empty());
        Ok(names)
    }

    /// Goes over the members of a struct, and those of its unnamed members where they stand, until
    /// `find` gives something. Offsets are from the start of `compound`.
    ///
    /// Depth and members are limited: in broken types a struct may hold itself, or another one twice,
    /// which holds a third one twice, and so on.
    fn find_member<T>(
        &self,
        compound: TypeId,
        mut find: impl FnMut(&Member, &str) -> Option<T>,
    ) -> Result<Option<T>, BtfError> {
        let mut left = MEMBERS_MAX;
        let mut members_of = |id| {
            let members = self.members(id)?;
            let too_many = BtfError::Broken("a struct has too many members");
            left = left.checked_sub(members.len()).ok_or(too_many)?;
            Ok::<_, BtfError>(members.into_iter())
        };
        let mut open = vec![(0_u32, members_of(compound)?)];
        while let Some((start, members)) = open.last_mut() {
            let start = *start;
            let Some((member, name)) = members.next() else {
                open.pop();
                continue;
            };
            let far = BtfError::Broken("a member lies too far into its struct");
            let bit_offset = start.checked_add(member.bit_offset).ok_or(far)?;
            if let Some(found) = find(&Member { bit_offset, ..member }, &name) {
                return Ok(Some(found));
            }
            if name.is_empty()
                && let Type::Compound { id, .. } = self.resolve(member.type_id)?
            {
                if open.len() == DEPTH {
                    return Err(REFERS_TO_ITSELF);
                }
                open.push((bit_offset, members_of(id)?));
            }
        }
        Ok(None)
    }

    /// The members as they stand, with their names.
    fn members(&self, compound: TypeId) -> Result<Vec<(Member, String)>, BtfError> {
        let (header, place) = self.header_at(compound)?;
        if !matches!(header.kind(), kind::STRUCT | kind::UNION) {
            return Err(BtfError::Broken("what has members is no struct"));
        }
        let mut window = Window::new(&self.bytes, NEAR);
        (0..u64::from(header.count()))
            .map(|idx| {
                let at = place + HEADER + MEMBER * idx;
                let [name, type_id, offset] = words(window.array::<{ MEMBER as usize }>(at)?);
                let (bits, bit_offset) = match header.flag() {
                    true => (offset >> 24, offset & 0x00ff_ffff),
                    false => (0, offset),
                };
                let bits = (bits > 0).then_some(bits);
                Ok((Member { bit_offset, bits, type_id }, self.string(name)?))
            })
            .collect()
    }

    pub(super) fn name(&self, id: TypeId) -> Result<String, BtfError> {
        self.string(self.header(id)?.name)
    }

    fn string(&self, offset: u32) -> Result<String, BtfError> {
        if offset == 0 {
            return Ok(String::new());
        }
        if u64::from(offset) >= self.strings.end - self.strings.start {
            return Err(BtfError::Broken("a name lies outside of all names"));
        }
        let mut buffer = [0; NAME_SIZE];
        let mut length = 0;
        // Most are short.
        for room in [48, NAME_SIZE] {
            length =
                self.bytes.read(self.strings.start + u64::from(offset), &mut buffer[..room])?;
            if let Some(end) = buffer[..length].iter().position(|byte| *byte == 0) {
                return Ok(String::from_utf8_lossy(&buffer[..end]).into_owned());
            }
        }
        debug_assert!(length <= NAME_SIZE);
        Err(BtfError::Broken("a name has no end"))
    }

    /// Where `name` is in the string section with each of `prefixes`.
    fn find_strings<const N: usize>(
        &self,
        prefixes: [&str; N],
        name: &str,
    ) -> Result<[Option<u32>; N], BtfError> {
        // They differ at the beginning only, so one search does.
        let tail = format!("{name}\0");
        let finder = memmem::Finder::new(&tail);
        // Where a chunk ends there may be part of what is wanted, with its prefix and a NUL.
        let longest = prefixes.iter().map(|prefix| prefix.len()).max().unwrap_or(0);
        let overlap = longest + tail.len();
        let mut found = [None; N];
        let mut window = Window::new(&self.bytes, CHUNK);
        let mut at = self.strings.start;
        while at < self.strings.end && found.contains(&None) {
            let left = usize::try_from(self.strings.end - at).unwrap_or(usize::MAX);
            let chunk = window.chunk(at)?;
            let chunk = &chunk[..left.min(chunk.len())];
            for place in finder.find_iter(chunk) {
                for (found, prefix) in found.iter_mut().zip(prefixes) {
                    let start = chunk[..place].strip_suffix(prefix.as_bytes());
                    if let Some([.., 0]) = start {
                        let offset = at - self.strings.start + (place - prefix.len()) as u64;
                        let offset = u32::try_from(offset);
                        *found = Some(offset.map_err(|_| BtfError::Broken("it is too long"))?);
                    }
                }
            }
            if chunk.len() <= overlap || chunk.len() == left {
                break;
            }
            at += (chunk.len() - overlap) as u64;
        }
        Ok(found)
    }

    /// The types of that kind and name.
    fn find_types<const N: usize>(
        &self,
        wanted: [(u32, u32); N],
    ) -> Result<[Option<TypeId>; N], BtfError> {
        let mut found = [None; N];
        self.walk((1, self.types.start), |id, header| {
            // One comparison each is all that most types get.
            let named = wanted.iter().position(|(_, name)| header.name == *name);
            let Some(which) = named.filter(|which| wanted[*which].0 == header.kind()) else {
                return true;
            };
            found[which] = Some(id);
            found.contains(&None)
        })?;
        Ok(found)
    }

    /// Goes over the types from the one at that place on, as long as `see` wants to see more.
    fn walk(
        &self,
        (mut id, mut place): (TypeId, u64),
        mut see: impl FnMut(TypeId, Header) -> bool,
    ) -> Result<(), BtfError> {
        let places = &mut *self.places.borrow_mut();
        let mut unseen = to_id(1 + STRIDE * places.len())?;
        let mut window = Window::new(&self.bytes, CHUNK);
        while place < self.types.end {
            let left = usize::try_from(self.types.end - place).unwrap_or(usize::MAX);
            let chunk = window.chunk(place)?;
            let chunk = &chunk[..left.min(chunk.len())];
            let mut at = 0;
            while let Some(bytes) = chunk.get(at..).and_then(<[u8]>::first_chunk) {
                let header = Header::parse(*bytes);
                if id == unseen {
                    places.push(place + at as u64);
                    unseen += STRIDE as TypeId;
                }
                if !see(id, header) {
                    return Ok(());
                }
                at += size(header)?;
                id += 1;
            }
            if at == 0 {
                return Err(TOO_EARLY);
            }
            place += at as u64;
        }
        Ok(())
    }

    fn header(&self, id: TypeId) -> Result<Header, BtfError> {
        Ok(self.header_at(id)?.0)
    }

    /// A type's header, and where it is.
    fn header_at(&self, id: TypeId) -> Result<(Header, u64), BtfError> {
        let position = id.checked_sub(1).ok_or(BtfError::Broken("void has no header"))? as usize;
        self.remember(position / STRIDE)?;
        let missing = BtfError::Broken("there is no type of that number");
        let place = self.places.borrow().get(position / STRIDE).copied();
        let mut place = place.ok_or_else(|| missing.clone())?;
        let mut window = Window::new(&self.bytes, NEAR);
        for _ in 0..position % STRIDE {
            place += size(Header::parse(window.array(place)?))? as u64;
        }
        if place >= self.types.end {
            return Err(missing);
        }
        Ok((Header::parse(window.array(place)?), place))
    }

    /// Goes on until that entry of `places` is there, if there are as many types.
    fn remember(&self, entry: usize) -> Result<(), BtfError> {
        let (known, last) = {
            let places = self.places.borrow();
            (places.len(), places.last().copied())
        };
        if known > entry {
            return Ok(());
        }
        let last = match last {
            Some(place) => (to_id(1 + STRIDE * (known - 1))?, place),
            None => (1, self.types.start),
        };
        let wanted = to_id(1 + STRIDE * entry)?;
        self.walk(last, |id, _| id < wanted)
    }
}

fn to_id(number: usize) -> Result<TypeId, BtfError> {
    TypeId::try_from(number).map_err(|_| BtfError::Broken("it has too many types"))
}

/// Bytes of a type, its header included.
fn size(header: Header) -> Result<usize, BtfError> {
    header.size().ok_or(BtfError::Broken("a type is of an unknown kind"))
}
