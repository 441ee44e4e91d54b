//! What can be wrong with documents.

/// Why a document cannot be written in a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Folded stacks without a stack.
    #[error(
        "-f folded needs a stack among the keys, and this trigger's are {}: add common_stacktrace",
        .0.join(", ")
    )]
    NoStack(Vec<String>),
    /// Bars without buckets.
    #[error(
        "-f plot needs a key in buckets, and this trigger's are {}: give one of them .log2 or .buckets=N",
        .0.join(", ")
    )]
    NoBuckets(Vec<String>),
    /// Bars of two dimensions.
    #[error("-f plot draws one key in buckets, and this trigger has {}: leave the others as they are", .0.join(", "))]
    SeveralBuckets(Vec<String>),
    /// Something is to be measured that is not counted.
    #[error(
        "--weight {name}: the trigger sums up {}",
        if values.is_empty() { "the hitcount alone: add vals=".to_owned() + name }
        else { format!("hitcount, {}", values.join(", ")) }
    )]
    NoSuchValue {
        /// What was asked for.
        name: String,
        /// What there is.
        values: Vec<String>,
    },
}

/// Why a text is no document.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON, or not of this shape.
    #[error("line {line}, column {column}: {message}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Its parts contradict each other.
    #[error("line {line}: {message}")]
    Content {
        /// Where the document begins, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// Why documents cannot be added up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// They count different things.
    #[error("they are of different triggers: {}", .0.join("; "))]
    Different(Vec<String>),
    /// There are rows that only its totals know.
    #[error("only {rows} of {entries} entries are there (--top), so no exact sum can be made")]
    Cut {
        /// Those that are there.
        rows: usize,
        /// Those that were counted.
        entries: u64,
    },
    /// There is nothing to add up.
    #[error("no snapshot to add up")]
    Nothing,
}
