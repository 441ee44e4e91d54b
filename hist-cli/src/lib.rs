//! Takes trigger strings and the kernel's descriptions of its trace events. Gives running eBPF
//! programs and the histograms that they count.
//!
//! The modules stand in pipeline order; each arrow is one folder, each value plain data:
//!
//! `&str` parse→ `Trigger` resolve→ `Hist` plan→ `Plan` codegen→ `Code` link→ `Object`
//! load→ `Attached` read→ `Snapshot` print, export→ text
//!
//! Up to `Object` nothing does I/O: what the kernel knows comes in as values.

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

pub mod pipeline;

pub mod load;

pub mod read;

pub mod session;

pub mod discover;
pub mod live;

pub mod serve;

pub mod cli;
