//! Takes nothing. Gives what the suite's engines share.
//!
//! The differential test, in the order of its parts: a [`suite`] of cases, each a trigger on an
//! event; a [`workload`] that makes the events happen; the [`ftrace`] of this kernel and an
//! [`engine`], which count the same events at the same time; [`compare`], which knows the documented
//! deviations; and [`differential`], which runs it all.
//!
//! [`random`] does the same with triggers that nobody has thought of, [`session`] with what writing
//! to trigger files does, script by script. Apart stand [`fuzz`], the bodies of the fuzz targets,
//! [`bench`], which measures what counting costs, and [`copies`], which compares what raw
//! tracepoints give with records; [`interpreter`] is for tests that run programs in user space.

pub mod bench;
pub mod bpf;
pub mod command;
pub mod compare;
pub mod copies;
pub mod differential;
pub mod engine;
pub mod floods;
pub mod ftrace;
pub mod fuzz;
pub mod interpreter;
pub mod model;
pub mod preemption;
pub mod random;
pub mod session;
pub mod suite;
pub mod surroundings;
pub mod version;
pub mod workload;
