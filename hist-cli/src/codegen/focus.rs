//! The tests of a focus, which precede a trigger's own filter, the cheapest first.

use std::collections::BTreeSet;

use super::CodegenError;
use super::emit::{Emitter, Label};
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R10, Width};
use crate::plan::focus::{BirthOffsets, CLOCK_TICK, Focus, FocusMap, Processes, VALVE_SIZE, runs};
use crate::plan::map::{MapId, Role};

/// A map that all programs of a focus share.
const fn shared(map: FocusMap) -> MapId {
    MapId::shared(Role::Focus(map))
}

/// Goes to `refuse` for what is not in focus. Destroys r0 to r5.
///
/// # Errors
/// If an offset does not fit an instruction.
pub(super) fn tests(
    emitter: &mut Emitter,
    focus: &Focus,
    refuse: Label,
) -> Result<(), CodegenError> {
    if let Some(cpus) = &focus.cpus {
        emitter.push(Insn::call(helper::GET_SMP_PROCESSOR_ID), "focus: the CPU");
        among(emitter, cpus, refuse);
    }
    match &focus.processes {
        Processes::All => {}
        Processes::These(pids) => {
            process(emitter);
            let pids: Vec<_> = BTreeSet::from_iter(pids.iter().copied()).into_iter().collect();
            among(emitter, &runs(&pids), refuse);
            // There is one comparison, so it is for one process.
            if let Some((birth, [ticks])) =
                focus.birth.as_ref().map(|birth| (birth, &birth.ticks[..]))
            {
                let start = ticks * u64::from(CLOCK_TICK);
                born(emitter, birth.offsets, refuse, |emitter| {
                    emitter.push_wide(Insn::ld_imm64(R2, start), "when it started");
                })?;
            }
        }
        Processes::Listed(_) => {
            in_set(emitter, refuse);
            if let Some(birth) = &focus.birth {
                let slot = emitter.stack_slot();
                emitter.push(Insn::load(Width::Dw, R1, R0, 0), "when it started");
                emitter.push(Insn::store_reg(Width::Dw, R10, slot, R1), "");
                born(emitter, birth.offsets, refuse, |emitter| {
                    emitter.push(Insn::load(Width::Dw, R2, R10, slot), "");
                })?;
            }
        }
        Processes::Set(_) => in_set(emitter, refuse),
    }
    if focus.cgroup.is_some() {
        emitter.push_map(R1, shared(FocusMap::Cgroup), "focus: the cgroup");
        emitter.push(Insn::mov64_imm(R2, 0), "");
        emitter.push(Insn::call(helper::CURRENT_TASK_UNDER_CGROUP), "");
        emitter.jump(Insn::jump_imm(Compare::Ne, R0, 1, 0), refuse, "not in it, nor below");
    }
    Ok(())
}

/// Goes to `refuse` while nothing counts on this CPU. Destroys r0 and r1.
pub(super) fn valve(emitter: &mut Emitter, refuse: Label) {
    emitter.push(Insn::call(helper::GET_SMP_PROCESSOR_ID), "the valve of this CPU");
    let beyond = Insn::jump_imm(Compare::Ge, R0, VALVE_SIZE.cast_signed(), 0);
    emitter.jump(beyond, refuse, "never so, but the verifier asks");
    emitter.push_value_of(R1, shared(FocusMap::Valve), "");
    emitter.push(Insn::alu64_reg(Alu::Add, R1, R0), "");
    emitter.push(Insn::load(Width::B, R0, R1, 0), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R0, 0, 0), refuse, "it is closed");
}

/// Goes to `refuse` unless the current process started within the clock tick that `start` puts into
/// r2: another one has its pid by now.
fn born(
    emitter: &mut Emitter,
    offsets: BirthOffsets,
    refuse: Label,
    start: impl FnOnce(&mut Emitter),
) -> Result<(), CodegenError> {
    let (leader, boottime) =
        (emitter.offset(offsets.group_leader)?, emitter.offset(offsets.start_boottime)?);
    emitter.push(Insn::call(helper::GET_CURRENT_TASK_BTF), "focus: the same process");
    emitter.push(Insn::load(Width::Dw, R1, R0, leader), "its first thread");
    emitter.push(Insn::load(Width::Dw, R1, R1, boottime), "");
    start(emitter);
    emitter.push(Insn::alu64_reg(Alu::Sub, R1, R2), "");
    let later = Insn::jump_imm(Compare::Ge, R1, CLOCK_TICK.cast_signed(), 0);
    emitter.jump(later, refuse, "another one with that pid");
    Ok(())
}

/// r0 = the current process's pid.
fn process(emitter: &mut Emitter) {
    emitter.push(Insn::call(helper::GET_CURRENT_PID_TGID), "focus: the process");
    emitter.push(Insn::alu64_imm(Alu::Rsh, R0, 32), "its pid is the high half");
}

/// Goes to `refuse` unless r0 lies in one of the runs, which ascend. No number is 2^31 or more.
fn among(emitter: &mut Emitter, runs: &[(u32, u32)], refuse: Label) {
    let Some((last, others)) = runs.split_last() else { return };
    let inside = emitter.label();
    for run in others {
        let next = emitter.label();
        leave(emitter, *run, (refuse, next));
        emitter.jump(Insn::jump(0), inside, "in focus");
        emitter.place(next);
    }
    leave(emitter, *last, (refuse, refuse));
    emitter.place(inside);
}

/// Goes to `below` or `above` unless r0 lies in the run.
fn leave(emitter: &mut Emitter, (first, last): (u32, u32), (below, above): (Label, Label)) {
    let jump = |op, number: u32| Insn::jump_imm(op, R0, number.cast_signed(), 0);
    if first == last {
        emitter.jump(jump(Compare::Ne, first), above, format!("is not {first}"));
        return;
    }
    if first > 0 {
        emitter.jump(jump(Compare::Lt, first), below, format!("below {first}"));
    }
    emitter.jump(jump(Compare::Gt, last), above, format!("above {last}"));
}

fn in_set(emitter: &mut Emitter, refuse: Label) {
    process(emitter);
    let slot = emitter.stack_slot();
    emitter.push(Insn::store_reg(Width::W, R10, slot, R0), "");
    emitter.push(Insn::mov64_reg(R2, R10), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R2, i32::from(slot)), "");
    emitter.push_map(R1, shared(FocusMap::Processes), "");
    emitter.push(Insn::call(helper::MAP_LOOKUP_ELEM), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R0, 0, 0), refuse, "it is not in the set");
}
