//! Takes the text of an event's `format` file. Gives an [`EventFormat`].

/// What a trace event's record looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// The event's system, such as `kmem` (not in the file: it is the folder's name).
    pub system: String,
    /// The event's name, such as `kmalloc`.
    pub name: String,
    /// The number that perf_event_open(2) takes.
    pub id: u32,
    /// All fields in the file's order, the `common_` ones first.
    pub fields: Vec<FieldFormat>,
}

impl EventFormat {
    /// The length of the fixed part of a record, in bytes.
    #[must_use]
    pub fn record_size(&self) -> u32 {
        self.fields.iter().map(|field| field.offset + field.size).max().unwrap_or(0)
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldFormat> {
        self.fields.iter().find(|field| field.name == name)
    }
}

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
