//! What the tests of the whole pipeline share: engines that count, suites for them, and what compares
//! their histograms.
//!
//! The differential test, in the order of its parts: a [`suite`] of cases, each a trigger on an
//! event; a [`workload`] that makes the events happen; the [`ftrace`] of this kernel and an
//! [`engine`], which count the same events at the same time; [`compare`], which knows the documented
//! deviations; and [`differential`], which runs it all.
//!
//! [`random`] does the same with triggers that nobody has thought of, [`session`] with what writing
//! to trigger files does, script by script, and [`attachment`] looks where auto attach goes. Apart
//! stand [`fuzz`], the bodies of the fuzz targets; [`lockdown`] counts on kernels that are locked
//! down; [`focus`] asks a kernel whether it takes what a focus needs; [`floods`] count with more
//! threads than CPUs, [`surroundings`] where CPUs come and go and limits are low, and [`preemption`]
//! tells which events occur with preemption off, while [`traffic`] makes them all happen; [`command`]
//! runs the command there; [`guest`] is what programs share that are a machine's first process;
//! [`nested`] causes events inside perf's handlers; [`interpreter`] is for tests that run programs in
//! user space, [`live`] for those that count in this machine's kernel; [`cpus`] says where threads run.

pub mod attachment;
pub mod bpf;
pub mod command;
pub mod compare;
pub mod cpus;
pub mod differential;
pub mod engine;
pub mod floods;
pub mod focus;
pub mod ftrace;
pub mod fuzz;
pub mod guest;
pub mod interpreter;
pub mod live;
pub mod lockdown;
pub mod model;
pub mod nested;
pub mod preemption;
pub mod random;
pub mod session;
pub mod suite;
pub mod surroundings;
pub mod text;
pub mod traffic;
pub mod version;
pub mod workload;
