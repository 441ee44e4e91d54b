//! Tells for each event whether the kernel could have been preempted where it occurred: that decides
//! whether a raw program loses nothing there on kernels that run such programs preemptible.
//!
//! The kernel's own trigger on `common_flags` and `common_preempt_count` counts every event by the
//! state of its call site, while a load makes events of all kinds happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::tracefs::find_or_mount;

use crate::copies;
use crate::differential::Verdict;
use crate::engine::{Engine as _, Request};
use crate::floods;
use crate::ftrace::{Ftrace, TRACEFS};
use crate::version::Version;

/// One entry for each state of a call site.
const TRIGGER: &str = "hist:keys=common_flags,common_preempt_count:size=256";

/// Bits of `common_flags` that mean that nothing can take this CPU away: interrupts off, in a hard
/// interrupt, in a soft one, in an NMI, soft interrupts off. The others say who wants the CPU.
/// `enum trace_flag_type` in the kernel's `include/linux/trace_events.h`. Soft interrupts count only
/// without PREEMPT_RT, where they are threads.
const OFF: u32 = 0x01 | 0x08 | 0x10 | 0x40 | 0x80;

/// The part of `common_preempt_count` that counts `preempt_disable`, at most 15; the part above it
/// counts `migrate_disable`. The record has it as it was at the call site: what the tracepoint
/// itself adds has been taken off (`tracing_gen_ctx_dec`).
const DEPTH: u32 = 0x0f;

/// The state of a call site as a record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// `common_flags`
    pub flags: u32,
    /// `common_preempt_count`
    pub count: u32,
}

impl State {
    /// Another task may run on this CPU before the call site goes on.
    #[must_use]
    pub const fn is_preemptible(self) -> bool {
        self.flags & OFF == 0 && self.count & DEPTH == 0
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}/{:02x}", self.flags, self.count)
    }
}

/// An event and the states of its call sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sites {
    /// `system:event`
    pub event: String,
    /// How often it occurred in which state.
    pub states: BTreeMap<State, u64>,
}

impl Sites {
    /// How often it occurred.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.states.values().sum()
    }

    /// How often it occurred where the kernel could have been preempted.
    #[must_use]
    pub fn preemptible(&self) -> u64 {
        let on = self.states.iter().filter(|(state, _)| state.is_preemptible());
        on.map(|(_, hits)| hits).sum()
    }
}

/// `system:event hits preemptible`, and the states with their hits.
impl fmt::Display for Sites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.event, self.hits(), self.preemptible())?;
        self.states.iter().try_for_each(|(state, hits)| write!(f, " {state}={hits}"))
    }
}

/// Watches every wanted event that has a tracepoint of its own for that long.
///
/// # Errors
/// When the kernel has no hist triggers, or no load can be started.
pub fn watch(is_wanted: &dyn Fn(&str, &str) -> bool, time: Duration) -> Result<Vec<Sites>> {
    let mut watch = Watch::start(is_wanted)?;
    let happened = copies::happen(time);
    let sites = watch.end();
    happened?;
    sites
}

/// Triggers that count.
struct Watch {
    requests: Vec<Request>,
    kernel: Ftrace,
}

impl Watch {
    fn start(is_wanted: &dyn Fn(&str, &str) -> bool) -> Result<Self> {
        let mut requests = Vec::new();
        for EventName { system, name: event } in find_or_mount()?.event_names()? {
            let hist = Path::new(TRACEFS).join("events").join(&system).join(&event).join("hist");
            // Events of one system call have the tracepoint of all calls, those of ftrace have none.
            let is_own = system != "syscalls" && system != "ftrace" && hist.exists();
            if is_own && is_wanted(&system, &event) {
                requests.push(Request { system, event, trigger: TRIGGER.to_owned() });
            }
        }
        ensure!(!requests.is_empty(), "no event to watch");
        let mut kernel = Ftrace::root();
        kernel.start(&requests)?;
        Ok(Self { requests, kernel })
    }

    /// What there was so far.
    fn look(&self) -> Result<Vec<Sites>> {
        self.sites(self.kernel.texts())
    }

    fn end(&mut self) -> Result<Vec<Sites>> {
        let texts = self.kernel.stop();
        self.sites(texts)
    }

    fn sites(&self, texts: Vec<Result<String>>) -> Result<Vec<Sites>> {
        ensure!(texts.len() == self.requests.len(), "the histograms of {} events", texts.len());
        self.requests.iter().zip(texts).map(|(request, text)| sites(request, &text?)).collect()
    }
}

/// The table of copies, whose heads have the marks.
const TABLE: &str = include_str!("../../hist-cli/src/plan/access/arguments/arguments.txt");

/// What stands behind an event whose call sites the kernel cannot preempt.
const MARK: &str = "preemption-off";

/// The events of a table that have the mark: `system:event  preemption-off @7.3`.
fn marked(table: &str) -> impl Iterator<Item = &str> {
    let heads = table.lines().filter(|line| !line.starts_with(['#', ' ']));
    heads.filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|_| words.next() == Some(MARK))
    })
}

/// Hits without which a check proves nothing.
const PROOF: u64 = 1000;

/// What the load makes happen often on every kernel, and where it cannot be preempted.
const OFTEN: [&str; 20] = [
    "irq:softirq_entry",
    "irq:softirq_exit",
    "irq:softirq_raise",
    "irq_vectors:local_timer_entry",
    "irq_vectors:local_timer_exit",
    "sched:sched_migrate_task",
    "sched:sched_stat_runtime",
    "sched:sched_switch",
    "sched:sched_wakeup",
    "sched:sched_wakeup_new",
    "sched:sched_waking",
    "signal:signal_deliver",
    "signal:signal_generate",
    "timer:hrtimer_cancel",
    "timer:hrtimer_expire_entry",
    "timer:hrtimer_expire_exit",
    "timer:hrtimer_start",
    "timer:timer_cancel",
    "timer:timer_expire_entry",
    "timer:timer_start",
];

/// An event at which the kernel can always be preempted: that it is seen shows that a state is read
/// rightly.
const PREEMPTIBLE: &str = "raw_syscalls:sys_enter";

/// How often the load runs until all that must occur has done so.
const ROUNDS: usize = 15;

/// Whether every marked event, and what must occur often, is never preempted, where that matters.
#[must_use]
pub fn check(version: Version) -> Verdict {
    if version < floods::PREEMPTIBLE {
        return Verdict::LeftOut;
    }
    match watch_marked() {
        Ok(complaints) if complaints.is_empty() => Verdict::Passed,
        Ok(complaints) => Verdict::Failed(complaints.join("\n")),
        Err(error) => Verdict::Failed(format!("{error:#}")),
    }
}

/// What is wrong with them on this kernel.
fn watch_marked() -> Result<Vec<String>> {
    let marked: BTreeSet<_> = marked(TABLE).chain(OFTEN).chain([PREEMPTIBLE]).collect();
    let is_wanted =
        |system: &str, event: &str| marked.contains(format!("{system}:{event}").as_str());
    let mut watch = Watch::start(&is_wanted)?;
    for _ in 0..ROUNDS {
        copies::happen(Duration::from_secs(3))?;
        if missing(&watch.look()?).is_empty() {
            break;
        }
    }
    Ok(complaints(&watch.end()?))
}

/// What has not occurred often enough.
fn missing(sites: &[Sites]) -> Vec<&'static str> {
    let is_there =
        |name: &str| sites.iter().any(|sites| sites.event == name && sites.hits() >= PROOF);
    OFTEN.into_iter().chain([PREEMPTIBLE]).filter(|name| !is_there(name)).collect()
}

fn complaints(sites: &[Sites]) -> Vec<String> {
    let few = missing(sites).into_iter().map(|name| format!("{name}: fewer than {PROOF} hits"));
    let mut complaints: Vec<_> = few.collect();
    for sites in sites {
        let (on, is_control) = (sites.preemptible(), sites.event == PREEMPTIBLE);
        if is_control && on < PROOF {
            complaints.push(format!("preemption seems to be off in a system call: {sites}"));
        }
        if !is_control && on > 0 {
            complaints.push(format!("preemption was on at {on} hits: {sites}"));
        }
    }
    complaints
}

fn sites(request: &Request, text: &str) -> Result<Sites> {
    let event = format!("{}:{}", request.system, request.event);
    let rows = text.lines().filter(|line| line.starts_with('{'));
    let states = rows.map(|line| row(line).with_context(|| format!("{event}: `{line}`")));
    let states = states.collect::<Result<_>>()?;
    ensure!(text.contains("    Dropped: 0\n"), "{event} has more states than room");
    Ok(Sites { event, states })
}

/// `{ common_flags:          1, common_preempt_count:          0 } hitcount:         12`
fn row(line: &str) -> Option<(State, u64)> {
    let (keys, hits) = line.strip_prefix("{ common_flags:")?.split_once("} hitcount:")?;
    let (flags, count) = keys.split_once(", common_preempt_count:")?;
    let state = State { flags: flags.trim().parse().ok()?, count: count.trim().parse().ok()? };
    Some((state, hits.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_without_any_protection_is_preemptible() {
        let on = |flags, count| State { flags, count }.is_preemptible();
        assert!(on(0, 0));
        // Somebody wants the CPU, and the task may not move to another one.
        assert!(on(0x02 | 0x04 | 0x20, 0x10));
        for flags in [0x01, 0x08, 0x10, 0x40, 0x80] {
            assert!(!on(flags, 0), "{flags:#x}");
        }
        assert!(!on(0, 0x01));
        assert!(!on(0x04, 0x2f));
    }

    #[test]
    fn rows_are_read_as_the_kernel_prints_them() {
        let text = "{ common_flags:          1, common_preempt_count:          0 } hitcount:         12\n\
                    { common_flags:          4, common_preempt_count:         16 } hitcount:          3\n\n\
                    Totals:\n    Hits: 15\n    Entries: 2\n    Dropped: 0\n";
        let request = Request { system: "a".into(), event: "b".into(), trigger: String::new() };
        let sites = sites(&request, text).unwrap();
        assert_eq!(sites.to_string(), "a:b 15 3 01/00=12 04/10=3");
        assert!(row("{ common_flags: x, common_preempt_count: 0 } hitcount: 1").is_none());
    }

    #[test]
    fn marks_stand_behind_events() {
        let table = "# a:b  preemption-off @7.3\n\na:c  preemption-off @7.3\n    x  preemption-off\n\n\
                     a:d\n    x\n\na:e  preemption-off\n    x\n";
        assert_eq!(marked(table).collect::<Vec<_>>(), ["a:c", "a:e"]);
    }

    #[test]
    fn one_hit_with_preemption_on_is_too_many() {
        let sites = |event: &str, states: &[(State, u64)]| Sites {
            event: event.to_owned(),
            states: states.iter().copied().collect(),
        };
        let (on, off) = (State { flags: 0, count: 0 }, State { flags: 1, count: 0 });
        let mut all: Vec<_> = OFTEN.map(|event| sites(event, &[(off, PROOF)])).to_vec();
        all.push(sites(PREEMPTIBLE, &[(on, PROOF)]));
        assert_eq!(complaints(&all), Vec::<String>::new());
        all.push(sites("a:b", &[(off, 9), (on, 1)]));
        assert_eq!(complaints(&all), ["preemption was on at 1 hits: a:b 10 1 00/00=1 01/00=9"]);
        all[0].states.insert(off, PROOF - 1);
        assert_eq!(complaints(&all)[0], format!("{}: fewer than 1000 hits", OFTEN[0]));
        all[OFTEN.len()].states = BTreeMap::from([(off, PROOF)]);
        assert!(complaints(&all)[1].contains("seems to be off"));
    }
}
