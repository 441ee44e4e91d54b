//! Takes a per-CPU hash map. Gives its rows.
//!
//! Entries are never deleted while a trigger counts, so an entry never moves to another bucket:
//! batches give every key that was there at the start, and none twice.

use std::io;

use super::percpu;
use super::snapshot::Row;
use crate::load::bpf::{RawMap, is_without_batches};

/// Entries asked for at once. A batch needs room for at least one whole bucket.
const BATCH: usize = 4096;

/// Bytes of a task's name.
const COMM_SIZE: usize = 16;

/// How the value of one CPU is divided (bytes).
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
    match read_batches(map, shape) {
        Err(error) if is_without_batches(&error) => read_singly(map, shape),
        result => result,
    }
}

fn read_batches(map: RawMap<'_>, shape: ValueShape) -> io::Result<Vec<Row>> {
    let mut room = BATCH;
    let mut keys = vec![0; room * map.key_size];
    let mut values = vec![0; room * map.value_size];
    let mut position = vec![0; map.key_size.max(size_of::<u32>())];
    let mut rows = Vec::new();
    let mut first = true;
    loop {
        match map.lookup_batch(&mut position, first, (&mut keys, &mut values), room) {
            Ok(batch) => {
                let keys = keys.chunks_exact(map.key_size);
                let entries = keys.zip(values.chunks_exact(map.value_size)).take(batch.count);
                rows.extend(entries.map(|(key, value)| row(key, value, shape)));
                if batch.last {
                    return Ok(rows);
                }
                first = false;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                keys.resize(room * map.key_size, 0);
                values.resize(room * map.value_size, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

fn read_singly(map: RawMap<'_>, shape: ValueShape) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut value = vec![0; map.value_size];
    let mut next = vec![0; map.key_size];
    let mut key: Option<Vec<u8>> = None;
    while map.next_key(key.as_deref(), &mut next)? {
        if map.lookup(&next, &mut value)? {
            rows.push(row(&next, &value, shape));
        }
        key = Some(next.clone());
    }
    Ok(rows)
}

fn row(key: &[u8], value: &[u8], shape: ValueShape) -> Row {
    let mut sums = percpu::sums(value, shape.per_cpu);
    sums.truncate(shape.n_sums);
    let hitcount = sums.remove(0);
    let comm = shape.comm.map_or([0; COMM_SIZE], |offset| comm(value, shape.per_cpu, offset));
    Row { key: key.into(), hitcount, sums, comm }
}

/// The name that the CPU of the first hit has written; all others have zeros.
fn comm(value: &[u8], per_cpu: usize, offset: usize) -> [u8; COMM_SIZE] {
    let copies = value.chunks_exact(per_cpu).filter_map(|copy| copy.get(offset..)?.first_chunk());
    copies.copied().find(|comm| comm[0] != 0).unwrap_or_default()
}
