//! A kernel for tests of sessions: it lists the changes that it is asked for, and its tables count
//! the hits that the test makes up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::LazyLock;

use super::{Backend, EventName, SessionError};
use crate::kernel::Context;
use crate::kernel::Needs;
use crate::kernel::error::EventError;
use crate::kernel::format::{self, EventFormat};
use crate::kernel::symbols::Symbols;
use crate::load::{ControlError, LoadError};
use crate::pipeline::CompileError;
use crate::plan::{self, Wishes};
use crate::read;
use crate::resolve::hist::Hist;
use crate::snapshot::{Row, Snapshot};

/// One function.
static SYMBOLS: LazyLock<Symbols> = LazyLock::new(|| {
    Symbols::from_kallsyms("ffffffff81000000 T _stext\nffffffff81000100 T vfs_read\n")
});

/// What a fake kernel has been told and has counted.
#[derive(Default)]
pub(super) struct World {
    /// One line per change.
    pub calls: Vec<String>,
    /// Attaching fails while set.
    pub refuses: bool,
    /// What is cleared is not attached again while set.
    pub breaks: bool,
    /// What is resumed counts, but an error comes of it, while set.
    pub complains: bool,
    /// Every word of a key is 1, not the first only, while set: stacks are as deep as can be.
    pub fills: bool,
    /// Hits by table.
    hits: BTreeMap<usize, u64>,
    attached: Vec<State>,
    count: usize,
}

#[derive(Clone)]
struct State {
    number: usize,
    table: usize,
    event: String,
    paused: bool,
}

impl World {
    /// One event happens.
    pub(super) fn hit(&mut self, event: &str) {
        for state in self.attached.iter().filter(|state| state.event == event && !state.paused) {
            *self.hits.entry(state.table).or_default() += 1;
        }
    }

    /// The changes since the last call.
    pub(super) fn take_calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls)
    }

    fn set_paused(&mut self, number: usize, paused: bool) {
        let state = self.attached.iter_mut().find(|state| state.number == number);
        state.expect("it is attached").paused = paused;
        self.calls.push(format!("{} {number}", if paused { "pause" } else { "resume" }));
    }
}

/// The fake kernel; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Fake(pub Rc<RefCell<World>>);

/// A trigger of it.
pub(super) struct FakeTrigger {
    number: usize,
    table: usize,
    hist: Hist,
    world: Rc<RefCell<World>>,
}

impl Drop for FakeTrigger {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        world.attached.retain(|state| state.number != self.number);
        world.calls.push(format!("detach {}", self.number));
    }
}

/// `t:one` and `t:two` have the same fields but for the type of `c` and the name of `d`, which is
/// `e` in the other; others do not exist.
pub(super) fn format(event: &EventName) -> Result<EventFormat, SessionError> {
    let (c, d) = match event.name.as_str() {
        "one" => ("u64 c", "d"),
        "two" => ("size_t c", "e"),
        _ => {
            let (event, nearest) = (event.clone(), Vec::new());
            return Err(EventError::UnknownEvent { event, nearest }.into());
        }
    };
    let text = format!(
        "name: {}\nID: 7\nformat:\n\
         \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
         \tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n\
         \tfield:u64 b;\toffset:16;\tsize:8;\tsigned:0;\n\
         \tfield:{c};\toffset:24;\tsize:8;\tsigned:0;\n\
         \tfield:u64 {d};\toffset:32;\tsize:8;\tsigned:0;\n\
         \tfield:int array[3];\toffset:40;\tsize:12;\tsigned:1;\n\nprint fmt: \"\"\n",
        event.name
    );
    Ok(format::parse(&event.system, &text).expect("a whole format"))
}

fn no_room() -> LoadError {
    let (name, source) = ("HIST0".to_owned(), io::Error::from_raw_os_error(libc::ENOMEM));
    LoadError::Map { name, source }
}

impl Backend for Fake {
    type Attached = FakeTrigger;

    fn context(&self, _: Needs) -> Context<'_> {
        Context { symbols: Some(SYMBOLS.table()), possible_cpus: Some(4), ..Context::default() }
    }

    fn event(&self, event: &EventName) -> Result<EventFormat, SessionError> {
        format(event)
    }

    fn attach(
        &mut self,
        hist: Hist,
        joins: Option<&FakeTrigger>,
    ) -> Result<FakeTrigger, SessionError> {
        let mut world = self.0.borrow_mut();
        if world.refuses {
            return Err(no_room().into());
        }
        world.count += 1;
        let number = world.count;
        let table = joins.map_or(number, |joined| joined.table);
        let event = hist.event.to_string();
        let state = if hist.paused { "paused" } else { "active" };
        world.calls.push(format!("attach {number} to {event} into {table} {state}: {hist}"));
        world.attached.push(State { number, table, event, paused: hist.paused });
        Ok(FakeTrigger { number, table, hist, world: self.0.clone() })
    }

    fn pause(&mut self, trigger: &FakeTrigger) -> Result<(), SessionError> {
        self.0.borrow_mut().set_paused(trigger.number, true);
        Ok(())
    }

    fn resume(&mut self, trigger: &mut FakeTrigger) -> Result<(), SessionError> {
        let mut world = self.0.borrow_mut();
        world.set_paused(trigger.number, false);
        if world.complains { Err(no_room().into()) } else { Ok(()) }
    }

    fn stop<'a>(&self, triggers: impl Iterator<Item = &'a FakeTrigger>) {
        let mut world = self.0.borrow_mut();
        triggers.for_each(|trigger| world.calls.push(format!("stop {}", trigger.number)));
    }

    fn is_paused(&self, trigger: &FakeTrigger) -> bool {
        let world = self.0.borrow();
        world.attached.iter().any(|state| state.number == trigger.number && state.paused)
    }

    fn clear(&mut self, trigger: &FakeTrigger) -> Result<(), SessionError> {
        let mut world = self.0.borrow_mut();
        world.calls.push(format!("clear {}", trigger.table));
        world.hits.remove(&trigger.table);
        if !world.breaks {
            return Ok(());
        }
        for state in world.attached.iter_mut().filter(|state| state.table == trigger.table) {
            state.paused = true;
        }
        Err(ControlError::Reattach(no_room()).into())
    }

    /// All hits have the key 1.
    fn snapshot(&self, trigger: &FakeTrigger) -> Result<Snapshot, SessionError> {
        let plan = plan::plan(trigger.hist.clone(), Wishes::default(), &Context::default())
            .map_err(CompileError::from)?;
        let mut snapshot = read::empty(&plan, false);
        let world = self.0.borrow();
        if let Some(&hits) = world.hits.get(&trigger.table) {
            let size = plan.keys.iter().map(|slot| slot.size as usize).sum();
            let mut key = vec![0; size];
            key.iter_mut().step_by(if world.fills { 8 } else { size }).for_each(|byte| *byte = 1);
            let values = vec![0; plan.hist.values.len()];
            snapshot.rows.push(Row::new(&key, hits, &values));
        }
        Ok(snapshot)
    }
}
