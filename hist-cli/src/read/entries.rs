//! Takes a histogram's map. Gives its rows.

use std::io;

use super::percpu;
use super::snapshot::Row;
use crate::load::bpf::RawMap;
use crate::load::walk::{Fate, Way, walk};
use crate::plan::Index;

/// Bytes of a task's name.
const COMM_SIZE: usize = 16;

/// How a value, of one CPU if each has one, is divided (bytes).
#[derive(Clone, Copy)]
pub(super) struct ValueShape {
    /// All of it.
    pub(super) per_cpu: usize,
    /// The u64 sums at its start, the hitcount first.
    pub(super) n_sums: usize,
    /// Where the task's name lies.
    pub(super) comm: Option<usize>,
}

/// All rows, in the map's order.
pub(super) fn read(map: RawMap<'_>, shape: ValueShape) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut sums = Vec::new();
    walk(map, (Fate::Stay, Way::Best), |key, value| {
        percpu::sums(value, shape.per_cpu, &mut sums);
        rows.push(row(key.into(), &sums, comm(value, shape), shape));
    })?;
    Ok(rows)
}

/// The rows of an array's entries that have been hit.
pub(super) fn read_numbered(
    map: RawMap<'_>,
    shape: ValueShape,
    index: &Index,
) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut sums = Vec::new();
    walk(map, (Fate::Stay, Way::Best), |number, value| {
        percpu::sums(value, shape.per_cpu, &mut sums);
        if let (true, Some(number)) = (sums[0] > 0, number.first_chunk()) {
            let key = index.key(u32::from_ne_bytes(*number));
            rows.push(row(key, &sums, comm(value, shape), shape));
        }
    })?;
    Ok(rows)
}

fn row(key: Box<[u8]>, sums: &[u64], comm: [u8; COMM_SIZE], shape: ValueShape) -> Row {
    Row { key, hitcount: sums[0], sums: sums[1..shape.n_sums].to_vec(), comm }
}

/// The name that the CPU of the first hit has written; all others have zeros.
fn comm(value: &[u8], shape: ValueShape) -> [u8; COMM_SIZE] {
    let Some(offset) = shape.comm else { return [0; COMM_SIZE] };
    let copies = value.chunks_exact(shape.per_cpu);
    let mut names = copies.filter_map(|copy| copy.get(offset..)?.first_chunk());
    names.find(|comm: &&[u8; COMM_SIZE]| comm[0] != 0).copied().unwrap_or_default()
}
