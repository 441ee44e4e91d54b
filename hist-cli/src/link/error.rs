//! What can go wrong when linking.

/// Why a trigger could not be linked. Only [`Self::StackTooDeep`] and [`Self::JumpTooFar`] can be
/// the trigger's doing: it is too large. The others say that a template or generated code breaks
/// the rules that both keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A body and the template together need more stack than a program has.
    #[error(
        "the trigger is too large: its code for {hole} needs {body} bytes of stack, {left} are left; \
         use fewer or shorter keys"
    )]
    StackTooDeep {
        /// The symbol.
        hole: &'static str,
        /// What the body needs.
        body: u32,
        /// What the template leaves.
        left: u32,
    },
    /// A jump is longer than an instruction can say.
    #[error(
        "the trigger is too large: a jump over {distance} instructions is needed, and 32767 are \
         possible; shorten the filter"
    )]
    JumpTooFar {
        /// In instruction slots.
        distance: i64,
    },
    /// The template is no ELF object.
    #[error("the template cannot be read: {0}")]
    Read(#[from] object::read::Error),
    /// The template lacks something or has something that nothing here can deal with.
    #[error("the template cannot be used: {0}; rebuild it with `cargo xtask ebpf`")]
    Template(String),
    /// The template calls a function that is no hole.
    #[error(
        "the template calls `{name}`, which is no hole, at instruction {slot}; rebuild it with \
         `cargo xtask ebpf`"
    )]
    UnknownCall {
        /// The function.
        name: String,
        /// The instruction slot of the call.
        slot: usize,
    },
    /// The frame pointer is used otherwise than with a constant offset.
    #[error("the stack is not addressed by a constant offset, in {place} at instruction {slot}")]
    FramePointer {
        /// `template` or a hole's symbol.
        place: &'static str,
        /// The instruction slot.
        slot: usize,
    },
    /// The code has no body for a hole.
    #[error("no code was generated for {0}")]
    NoBody(&'static str),
    /// A body breaks the hole ABI.
    #[error("the code generated for {hole} is wrong at instruction {slot}: {what}")]
    Body {
        /// The symbol.
        hole: &'static str,
        /// The instruction slot in the body.
        slot: usize,
        /// What is wrong with it.
        what: BodyError,
    },
    /// The plan's key or value does not fit into the template's room.
    #[error("a {what} of {size} bytes was planned, {room} is what the template has room for")]
    Room {
        /// `key` or `value`.
        what: &'static str,
        /// What was planned.
        size: u32,
        /// What there is.
        room: u32,
    },
    /// Two programs share a name but not what it stands for.
    #[error("two programs bring different versions of `{0}`")]
    Conflict(String),
    /// A name is too long for the kernel.
    #[error("`{0}` is no name that the kernel takes: at most 15 letters, digits, `_` and `.`")]
    Name(String),
    /// The ELF could not be written.
    #[error("the object cannot be written: {0}")]
    Write(#[from] object::write::Error),
}

/// How an instruction of a body breaks the hole ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// r6 to r10 are not the body's.
    #[error("it writes r{0}, which is the template's")]
    Register(u8),
    /// Jumps are local, and never into the second half of an instruction.
    #[error("it jumps out of the body")]
    Jump,
    /// Only helpers can be called.
    #[error("it calls a function that is no helper")]
    Call,
    /// The body said that it needs less.
    #[error("it uses the stack at {offset}, outside of the {stack} bytes that were asked for")]
    Stack {
        /// From r10, in bytes.
        offset: i32,
        /// [`crate::codegen::code::HoleCode::stack`].
        stack: u32,
    },
    /// `ld_imm64` takes two slots.
    #[error("its second half is missing")]
    HalfInsn,
}
