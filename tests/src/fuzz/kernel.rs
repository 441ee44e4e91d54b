//! The bodies of the fuzz targets for what the kernel says of itself, or what stands in for it in a
//! container.

use hist_cli::kernel::Context;
use hist_cli::kernel::btf::{Btf, BtfError, Type};
use hist_cli::kernel::symbols::Symbols;
use hist_cli::kernel::{self, tracefs};
use hist_cli::pipeline::{self, CompileError};
use hist_cli::plan::Wishes;
use hist_cli::plan::focus::TaskOffsets;
use hist_cli::resolve;

use super::EVENTS;

/// What is looked for in types.
const NAMES: [&str; 14] = [
    "btf_trace_sched_switch",
    "__traceiter_sched_switch",
    "__data",
    "preempt",
    "prev",
    "next",
    "prev_state",
    "task_struct",
    "thread_info",
    "status",
    "comm",
    "pid",
    "prio",
    "user",
];

/// The kernel's types, as a whole file; and as the types of one whose names are right.
///
/// # Panics
/// When something is wrong with it.
pub fn btf(bytes: &[u8]) {
    ask(&Btf::of_bytes(bytes.to_vec()));
    ask(&Btf::of_bytes(with_names(bytes)));
}

/// Whole BTF with these types (`struct btf_header` in Linux include/uapi/linux/btf.h).
#[must_use]
pub fn with_names(types: &[u8]) -> Vec<u8> {
    let strings: Vec<u8> =
        [""].iter().chain(&NAMES).flat_map(|name| name.bytes().chain([0])).collect();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("less than 4 GiB");
    let (types_len, strings_len) = (length(types), length(&strings));
    let header = [0x0001_eb9f, 24, 0, types_len, types_len, strings_len];
    let header = header.into_iter().flat_map(u32::to_ne_bytes);
    header.chain(types.iter().copied()).chain(strings).collect()
}

/// Where the name is among the names of [`with_names`].
#[must_use]
pub fn offset_of(name: &str) -> u32 {
    let before = NAMES.iter().take_while(|other| **other != name);
    1 + before.map(|name| u32::try_from(name.len()).expect("short") + 1).sum::<u32>()
}

fn ask(btf: &Btf) {
    for id in 0..40 {
        let kind = told(btf.resolve(id));
        told(btf.name(id));
        if let Some(Type::Compound { id, .. }) = kind {
            told(btf.member_names(id));
            told(btf.member(id, "status"));
        }
    }
    told(btf.tracepoint("sched_switch"));
    told(TaskOffsets::find(btf));
    let context = Context { btf: Some(btf), ..Context::default() };
    for keys in ["next_comm", "next_pid,prev_prio", "prev_state"] {
        let text = format!("hist:keys={keys}");
        match pipeline::build_text(&text, &EVENTS[0], &context, Wishes::default()) {
            Err(
                error @ (CompileError::Codegen(_)
                | CompileError::Link(_)
                | CompileError::Optimize(_)),
            ) => panic!("{error}"),
            result => drop(result),
        }
    }
}

fn told<T>(result: Result<T, BtfError>) -> Option<T> {
    result.map_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// The list of the kernel's symbols.
///
/// # Panics
/// When something is wrong with it.
pub fn kallsyms(text: &str) {
    let mut symbols = Symbols::from_kallsyms(text);
    let words = || text.split_whitespace().take(100);
    let addresses = || words().filter_map(|word| u64::from_str_radix(word, 16).ok());
    for address in addresses().chain([0, 1, 1 << 63, u64::MAX]) {
        for address in [address.wrapping_sub(1), address, address.wrapping_add(1)] {
            if let Some(found) = symbols.resolve(address) {
                assert!(found.offset < found.size && !found.name.is_empty(), "{found:?}");
            }
        }
    }
    for name in words() {
        let _address = symbols.table().is_ok_and(|table| table.address(name).is_some());
    }
    symbols.refresh(addresses());
    assert!(symbols.problem().is_none_or(|problem| problem.to_string().len() < 1000));
}

/// A list of mounts.
///
/// # Panics
/// When something is wrong with it.
pub fn mountinfo(text: &str) {
    for path in [tracefs::find(text), tracefs::find_cgroup2(text)].into_iter().flatten() {
        assert!(path.as_os_str().len() <= text.len() + "/tracing".len(), "{path:?}");
    }
}

/// The status of a process, and lists of CPUs.
///
/// # Panics
/// When something is wrong with it.
pub fn status(text: &str) {
    assert!(kernel::capabilities::missing(text).len() <= 2);
    if let Some(cpus) = kernel::cpus::parse(text) {
        assert!(cpus > 0);
    }
    for possible in [1, 8, 8192] {
        let list = resolve::cpu_list(text, possible).unwrap_or_default();
        assert!(list.is_sorted() && list.iter().all(|cpu| *cpu < possible), "{list:?}");
    }
}
