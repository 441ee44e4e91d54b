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

/// All rows, in the map's order. `per_cpu` is the length of one CPU's value in bytes.
pub(super) fn read(map: RawMap<'_>, per_cpu: usize) -> io::Result<Vec<Row>> {
    match read_batches(map, per_cpu) {
        Err(error) if is_without_batches(&error) => read_singly(map, per_cpu),
        result => result,
    }
}

fn read_batches(map: RawMap<'_>, per_cpu: usize) -> io::Result<Vec<Row>> {
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
                rows.extend(entries.map(|(key, value)| row(key, value, per_cpu)));
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

fn read_singly(map: RawMap<'_>, per_cpu: usize) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut value = vec![0; map.value_size];
    let mut next = vec![0; map.key_size];
    let mut key: Option<Vec<u8>> = None;
    while map.next_key(key.as_deref(), &mut next)? {
        if map.lookup(&next, &mut value)? {
            rows.push(row(&next, &value, per_cpu));
        }
        key = Some(next.clone());
    }
    Ok(rows)
}

fn row(key: &[u8], value: &[u8], per_cpu: usize) -> Row {
    let mut sums = percpu::sums(value, per_cpu);
    let hitcount = sums.remove(0);
    Row { key: key.into(), hitcount, sums }
}
