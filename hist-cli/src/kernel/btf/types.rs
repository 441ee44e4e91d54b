//! The types of what is read from BTF, and the layout of its records.

/// A type's number; 0 is `void`.
pub type TypeId = u32;

/// What programs on a tracepoint are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracepoint {
    /// The typedef `btf_trace_NAME`, by which the kernel knows the tracepoint.
    pub id: TypeId,
    /// In order; a program's context has eight bytes for each.
    pub parameters: Vec<Parameter>,
}

/// A parameter of a tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As in the kernel's source.
    pub name: String,
    /// Its type.
    pub type_id: TypeId,
}

/// What a type is, qualifiers and typedefs aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// An integer, `bool` and enumerations included.
    Integer {
        /// Bytes.
        size: u32,
        /// It has a sign.
        signed: bool,
        /// It is `bool`.
        is_bool: bool,
    },
    /// A pointer into the kernel's memory.
    Pointer(TypeId),
    /// A pointer to user space or to per-CPU data: programs cannot follow it by loads alone.
    FarPointer,
    /// A struct or union, by its own number.
    Compound {
        /// The struct itself, behind typedefs.
        id: TypeId,
        /// Bytes.
        size: u32,
    },
    /// An array.
    Array {
        /// Of one element.
        element: TypeId,
        /// Elements.
        count: u32,
    },
    /// `void`, a function, a float, or a struct that is only declared.
    Other,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// From the start of the struct that was asked, in bits.
    pub bit_offset: u32,
    /// Its width in bits if it is a bitfield.
    pub bits: Option<u32>,
    /// Its type.
    pub type_id: TypeId,
}

/// The kinds of types (`BTF_KIND_*`).
pub(super) mod kind {
    pub(in super::super) const INT: u32 = 1;
    pub(in super::super) const PTR: u32 = 2;
    pub(in super::super) const ARRAY: u32 = 3;
    pub(in super::super) const STRUCT: u32 = 4;
    pub(in super::super) const UNION: u32 = 5;
    pub(in super::super) const ENUM: u32 = 6;
    pub(in super::super) const FWD: u32 = 7;
    pub(in super::super) const TYPEDEF: u32 = 8;
    pub(in super::super) const VOLATILE: u32 = 9;
    pub(in super::super) const CONST: u32 = 10;
    pub(in super::super) const RESTRICT: u32 = 11;
    pub(in super::super) const FUNC: u32 = 12;
    pub(in super::super) const FUNC_PROTO: u32 = 13;
    pub(in super::super) const VAR: u32 = 14;
    pub(in super::super) const DATASEC: u32 = 15;
    pub(in super::super) const FLOAT: u32 = 16;
    pub(in super::super) const DECL_TAG: u32 = 17;
    pub(in super::super) const TYPE_TAG: u32 = 18;
    pub(in super::super) const ENUM64: u32 = 19;
}

/// Bytes of `struct btf_type`.
pub(super) const HEADER: u64 = 12;
/// Bytes of `struct btf_member`.
pub(super) const MEMBER: u64 = 12;
/// Bytes of `struct btf_param`.
pub(super) const PARAM: u64 = 8;

/// `struct btf_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Offset in the string section.
    pub(super) name: u32,
    info: u32,
    /// Bytes, or another type's number.
    pub(super) size_or_type: u32,
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER as usize]) -> Self {
        let [name, info, size_or_type] = words(bytes);
        Self { name, info, size_or_type }
    }

    /// Bits 24 to 28.
    pub(super) const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// How many members, parameters or values follow: the low 16 bits.
    pub(super) const fn count(self) -> u32 {
        self.info & 0xffff
    }

    /// Bit 31: members may be bitfields; values of an enum have signs.
    pub(super) const fn flag(self) -> bool {
        self.info >> 31 == 1
    }

    /// Bytes of the type, its header included; `None` for a kind that is not known.
    pub(super) fn size(self) -> Option<usize> {
        let (fixed, each) = REST[self.kind() as usize]?;
        Some(HEADER as usize + usize::from(fixed) + usize::from(each) * self.count() as usize)
    }
}

/// What follows the header of each kind: fixed bytes, and bytes for each that is counted. A table,
/// because types are gone over by the ten thousand.
const REST: [Option<(u8, u8)>; 32] = {
    let known = [
        (kind::INT, 4, 0),
        (kind::PTR, 0, 0),
        (kind::ARRAY, 12, 0),
        (kind::STRUCT, 0, 12),
        (kind::UNION, 0, 12),
        (kind::ENUM, 0, 8),
        (kind::FWD, 0, 0),
        (kind::TYPEDEF, 0, 0),
        (kind::VOLATILE, 0, 0),
        (kind::CONST, 0, 0),
        (kind::RESTRICT, 0, 0),
        (kind::FUNC, 0, 0),
        (kind::FUNC_PROTO, 0, 8),
        (kind::VAR, 4, 0),
        (kind::DATASEC, 0, 12),
        (kind::FLOAT, 0, 0),
        (kind::DECL_TAG, 4, 0),
        (kind::TYPE_TAG, 0, 0),
        (kind::ENUM64, 0, 12),
    ];
    let mut rest = [None; 32];
    let mut idx = 0;
    while idx < known.len() {
        let (kind, fixed, each) = known[idx];
        rest[kind as usize] = Some((fixed, each));
        idx += 1;
    }
    rest
};

/// The 32-bit words of a record, in this machine's byte order, which is the kernel's.
pub(super) fn words<const BYTES: usize, const WORDS: usize>(bytes: [u8; BYTES]) -> [u32; WORDS] {
    let (chunks, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_ne_bytes(chunks[word]))
}
