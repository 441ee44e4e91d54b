//! Cuts out of the frame what a template keeps for the largest key and value, and this trigger's
//! do not need.

use super::flow::{self, Fact};
use super::guard::{Guard, only_if};
use super::ops::Op;
use crate::bpf::insn::{R2, R10};
use crate::link::HoleRoom;

/// A part of the frame of which only the beginning is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Where it begins, in bytes from r10.
    start: i32,
    /// Bytes that there are, a multiple of 8.
    size: i32,
    /// Bytes that are used, a multiple of 8.
    used: i32,
}

/// The rooms on the stack that holes are given. They must be looked for before anything changes:
/// later on, the argument that says where a room begins may be gone.
pub(super) fn find(ops: &[Op], sizes: &[HoleRoom]) -> Vec<Room> {
    let states = flow::states(ops);
    let mut rooms = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        let begins = index > 0 && ops[index - 1].hole != op.hole;
        let Some(of_hole) = sizes.iter().find(|room| op.hole == Some(room.hole)) else { continue };
        let argument = states[index].map(|state| state.of(R2));
        if only_if(Guard::HoleBegins, begins)
            && let Some(Fact::Address(start)) = argument
        {
            let (size, used) = (of_hole.size.cast_signed(), of_hole.used.cast_signed());
            let found = Room { start, size, used };
            if only_if(Guard::RoomIsNew, !rooms.contains(&found)) {
                rooms.push(found);
            }
        }
    }
    rooms
}

/// Moves everything below unused parts of the frame up.
///
/// Rooms do not overlap, and what is addressed is either above the unused part of a room, and
/// stays, or below, and moves with all that is there: distances on one side do not change, so
/// pointers may be added to as before. What r10 is does not change either.
pub(super) fn cut(ops: &mut [Op], rooms: &[Room]) {
    let moved = |offset: i32| {
        let is_below = |room: &&Room| offset < room.start + room.used;
        let above = rooms.iter().filter(|room| only_if(Guard::OffsetIsBelowRoom, is_below(room)));
        offset + above.map(|room| room.size - room.used).sum::<i32>()
    };
    for op in ops {
        op.address = op.address.map(moved);
        let insn = &mut op.insn;
        let is_access = insn.is_load() || insn.is_store();
        let base = if insn.is_load() { insn.src } else { insn.dst };
        if is_access && only_if(Guard::BaseIsFrame, base == R10) {
            // Offsets only get smaller, and they fitted before.
            insn.off = moved(i32::from(insn.off)) as i16;
        }
    }
}
