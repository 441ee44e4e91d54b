//! Compiles ftrace's hist triggers into eBPF programs, attaches them, and reads and prints the
//! histograms that they count.
//!
//! Each arrow is one folder, each value plain data:
//!
//! `&str` parse→ `Trigger` resolve→ `Hist` plan→ `Plan` codegen→ `Code` link→ `Object`
//! optimize→ `Object` load→ `Attached` read→ `Snapshot` print, export→ text
//!
//! Up to `Object` nothing does I/O: what the kernel knows comes in as values. The modules below stand
//! in layers, the lowest first, and import only from those above them in this list; ARCHITECTURE.md
//! says of each what it takes, gives and never does.

pub mod escape;

pub mod bpf;

pub mod sys;

pub mod diag;

pub mod modifier;

pub mod kernel;

pub mod parse;

pub mod resolve;

pub mod snapshot;

pub mod print;

pub mod export;

pub mod plan;

pub mod codegen;

pub mod link;

pub mod optimize;

pub mod pipeline;

pub mod load;

pub mod read;

pub mod session;

pub mod discover;
pub mod live;

pub mod serve;

pub mod cli;
