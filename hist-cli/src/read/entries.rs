//! Reads the rows of a histogram's map.

use std::io;

use super::percpu;
use crate::plan::Plan;
use crate::snapshot::{Fold, KeyBytes, Row};
use crate::sys::bpf::RawMap;
use crate::sys::walk::{Fate, Way, walk};

/// Bytes of a task's name.
const COMM_SIZE: usize = 16;

/// All rows, in the map's order. An array's entries are rows once they have been hit.
pub(super) fn read(map: RawMap<'_>, plan: &Plan) -> io::Result<Vec<Row>> {
    let per_cpu = plan.map.value_size as usize;
    let folds: Vec<Fold> = plan.values.iter().map(|slot| slot.fold).collect();
    let mut rows = Vec::new();
    let mut words = Vec::new();
    walk(map, (Fate::Stay, Way::Best), |key, value| {
        percpu::words(value, per_cpu, &folds, &mut words);
        match &plan.index {
            None => rows.push(row(key.into(), &words, value, plan)),
            Some(index) if words[0] > 0 => {
                rows.push(row(index.key(number(key)), &words, value, plan));
            }
            Some(_) => {}
        }
    })?;
    Ok(rows)
}

/// The value of an entry that nobody has hit, for all of `copies`: it keeps the name that `row` has.
pub(super) fn unhit(row: &Row, plan: &Plan, copies: usize) -> Vec<u8> {
    let mut value = vec![0; plan.map.value_size as usize * copies];
    if let Some(offset) = plan.comm {
        value[offset as usize..][..COMM_SIZE].copy_from_slice(&row.comm);
    }
    value
}

/// The key of an array's element.
fn number(key: &[u8]) -> u32 {
    key.first_chunk().map_or(0, |number| u32::from_ne_bytes(*number))
}

fn row(key: KeyBytes, words: &[u64], value: &[u8], plan: &Plan) -> Row {
    let counts = plan.counts(&key, words);
    Row { key, counts, comm: comm(value, plan) }
}

/// The name that the CPU of the first hit has written; all others have zeros.
fn comm(value: &[u8], plan: &Plan) -> [u8; COMM_SIZE] {
    let Some(offset) = plan.comm else { return [0; COMM_SIZE] };
    let copies = value.chunks_exact(plan.map.value_size as usize);
    let mut names = copies.filter_map(|copy| copy.get(offset as usize..)?.first_chunk());
    names.find(|comm: &&[u8; COMM_SIZE]| comm[0] != 0).copied().unwrap_or_default()
}
