//! What `--emit asm` prints is what the same command has the kernel run.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::{fs, process};

use aya::programs::{Program as AyaProgram, ProgramInfo, loaded_programs};
use aya::{Btf, EbpfLoader};
use clap::Parser as _;

use super::*;
use crate::cli::args::CommandLine;
use crate::cli::run::attach;
use crate::kernel::tracefs::find_or_mount;
use crate::pipeline::Built;
use crate::plan::Attach;

/// What tells one program from another, as the kernel has it.
#[derive(Debug, PartialEq, Eq)]
struct Loaded {
    name: String,
    /// `enum bpf_prog_type`
    program_type: u32,
    /// The kernel's hash of the instructions, without the descriptors of maps.
    tag: u64,
    maps: BTreeSet<String>,
}

impl Loaded {
    fn new(info: &ProgramInfo) -> Self {
        let ids = info.map_ids().expect("the kernel tells").expect("this one does");
        let name = |id: u32| {
            let map = aya::maps::MapInfo::from_id(id).expect("the program holds it");
            map.name_as_str().expect("our names are ASCII").to_owned()
        };
        Self {
            name: info.name_as_str().expect("our names are ASCII").to_owned(),
            program_type: info.program_type() as u32,
            tag: info.tag(),
            maps: ids.into_iter().map(name).collect(),
        }
    }

    /// The program of a descriptor of ours.
    fn of(program: BorrowedFd<'_>) -> Self {
        let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
        let text = fs::read_to_string(path).expect("it is open");
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        let id: u32 = id.expect("a program").trim().parse().expect("a number");
        let found = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
        Self::new(&found.expect("it is loaded"))
    }

    /// What becomes of the ELF file of what was built, through a loader that is not ours.
    fn of_elf(built: &Built) -> Self {
        let elf = built.object.elf().expect("an ELF");
        let mut ebpf = EbpfLoader::new().load(&elf).expect("aya takes it");
        let name = &built.program().name;
        let info = match ebpf.program_mut(name).expect("it is there") {
            AyaProgram::TracePoint(program) => {
                program.load().expect("the kernel takes it");
                program.info()
            }
            AyaProgram::RawTracePoint(program) => {
                program.load().expect("the kernel takes it");
                program.info()
            }
            AyaProgram::BtfTracePoint(program) => {
                let Attach::RawTracepoint { name, .. } = &built.plan().attach else {
                    panic!("{}", built.plan().attach)
                };
                program.load(name, &Btf::from_sys_fs().expect("BTF")).expect("the kernel takes it");
                program.info()
            }
            _ => panic!("{built}"),
        };
        Self::new(&info.expect("the kernel tells"))
    }

    /// Checks the names in a listing against those that the kernel has.
    fn check(&self, listing: &str, section: &str) {
        let head = format!("program {} ({section}): ", self.name);
        assert!(listing.starts_with(&head), "no {head:?} in\n{listing}");
        let names = listing.lines().filter_map(|line| line.strip_prefix("map ")?.split_once(": "));
        let listed: BTreeSet<_> = names.map(|(name, _)| name).collect();
        // Constants and variables are listed where they are used.
        let maps = self.maps.iter().map(String::as_str).filter(|name| !name.starts_with('.'));
        assert_eq!(listed, maps.collect(), "{listing}");
    }
}

fn options(arguments: &[&str]) -> Options {
    let words = ["hist-bpf", "--quiet"].iter().chain(arguments);
    let args = CommandLine::try_parse_from(words).expect("it can be parsed").args;
    Options::try_from(args).unwrap_or_else(|_| panic!("{arguments:?} fit together"))
}

/// Compares what is listed with what is loaded, for each pair of the command.
fn check(arguments: &[&str], section: &str) {
    let options = options(arguments);
    let tracefs = find_or_mount().expect("tracefs");
    let facts = Facts::read().expect("the kernel's facts");
    let emitted = emit(&options, Stage::Asm, || Ok(tracefs.clone())).expect("a listing");
    let (_, wishes) = wanted(&options, &facts).expect("it is there");
    let build = |pair: &Pair| {
        let format = tracefs.event(&pair.event).expect("a format");
        pipeline::build_text(&pair.trigger, &format, &facts.context(), wishes.clone())
    };
    let built: Vec<_> = options.pairs.iter().map(|pair| build(pair).expect("it builds")).collect();
    let listings: Vec<_> = built.iter().map(Built::to_string).collect();
    assert_eq!(emitted, listings.join("\n"), "{arguments:?}");
    let (session, _focused) = attach(&options).expect("it is attached");
    let entries = session.triggers();
    assert_eq!(entries.len(), built.len());
    for ((entry, built), listing) in entries.iter().zip(&built).zip(&listings) {
        let trigger = session.attached(entry).trigger();
        assert_eq!(trigger.plan.attach, built.plan().attach, "{arguments:?}");
        let loaded = Loaded::of(trigger.program_fd());
        assert_eq!(loaded, Loaded::of_elf(built), "{arguments:?}\n{listing}");
        loaded.check(listing, section);
    }
}

/// The head said `tracepoint` for raw programs, programs of several triggers had numbers that they
/// are not loaded with, and lacked the test by which all of them begin with the same event.
#[test]
fn what_is_listed_is_what_is_loaded() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return;
    }
    let pid = process::id().to_string();
    let enter = "raw_syscalls:sys_enter";
    check(&["--attach=raw", "hist:keys=id", enter], "raw_tp");
    check(&["--attach=tracepoint", "hist:keys=id:vals=id", enter], "tracepoint");
    let returns = ["--attach=raw", "hist:keys=ret if ret > 5", "syscalls:sys_exit_getppid"];
    check(&returns, "tp_btf");
    let text = "hist:keys=common_stacktrace,id if comm ~ \"*a*b*\"";
    check(&["--attach=raw", "--cpu=0", text, enter], "raw_tp");
    check(&["--attach=tracepoint", "-p", &pid, "hist:keys=id.log2", enter], "tracepoint");
    check(&["--fail-on-loss", "--attach=tracepoint", text, enter], "tracepoint");
    let two = ["--attach=raw", "hist:keys=id", enter, "hist:keys=common_pid", enter];
    check(&two, "raw_tp");
}
