//! Walks over a map's entries, and takes them out if asked to.
//!
//! In batches, where the kernel has them (since Linux 5.6; for arrays 5.13), else one by one. While
//! programs insert, both give every entry that was there at the start, and none twice: entries
//! are never removed while a table is read, a batch is whole buckets, and new entries come
//! first in theirs, where a walk has been already.

use std::io;

use super::bpf::{self, Batch, RawMap};

/// The most entries asked for at once.
const BATCH: usize = 4096;
/// The least. A batch needs room for at least one whole bucket.
const BATCH_MIN: usize = 64;
/// About what the buffers of a batch take, in bytes.
const BUFFER: usize = 1 << 20;

/// What happens to entries that have been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They stay.
    Stay,
    /// They go. Arrays cannot do without.
    Go,
}

/// Which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Batches; if the kernel has none, single entries.
    Best,
    /// Single entries.
    #[cfg(test)]
    Singly,
}

/// Gives every entry's key and value to `take`.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn walk(
    map: RawMap<'_>,
    (fate, way): (Fate, Way),
    mut take: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    match way {
        Way::Best => match in_batches(map, fate, &mut take) {
            // The first call says it, so nothing has been given yet.
            Err(error) if bpf::is_without_batches(&error) => singly(map, fate, &mut take),
            result => result,
        },
        #[cfg(test)]
        Way::Singly => singly(map, fate, &mut take),
    }
}

/// Entries whose buffers take about [`BUFFER`].
fn room(map: RawMap<'_>) -> usize {
    (BUFFER / (map.key_size + map.value_size)).clamp(BATCH_MIN, BATCH)
}

fn in_batches(map: RawMap<'_>, fate: Fate, take: &mut impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let (mut room, mut first) = (room(map), true);
    let mut position = vec![0; map.key_size.max(size_of::<u32>())];
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    loop {
        keys.resize(room * map.key_size, 0);
        values.resize(room * map.value_size, 0);
        let buffers = (&mut keys[..], &mut values[..]);
        let batch = match fate {
            Fate::Stay => map.lookup_batch(&mut position, first, buffers, room),
            Fate::Go => map.take_batch(&mut position, first, buffers, room),
        };
        match batch {
            Ok(Batch { count, last }) => {
                let keys = keys.chunks_exact(map.key_size);
                let entries = keys.zip(values.chunks_exact(map.value_size));
                entries.take(count).for_each(|(key, value)| take(key, value));
                if last {
                    return Ok(());
                }
                first = false;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => room *= 2,
            Err(error) => return Err(error),
        }
    }
}

/// Asks for each key's successor before the key goes: from one that is gone the kernel would
/// begin anew.
fn singly(map: RawMap<'_>, fate: Fate, take: &mut impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let (mut key, mut next) = (vec![0; map.key_size], vec![0; map.key_size]);
    let mut value = vec![0; map.value_size];
    let mut is_left = map.next_key(None, &mut key)?;
    while is_left {
        is_left = map.next_key(Some(&key), &mut next)?;
        if map.lookup(&key, &mut value)? {
            take(&key, &value);
        }
        if fate == Fate::Go {
            map.delete(&key)?;
        }
        std::mem::swap(&mut key, &mut next);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::os::fd::AsFd as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use aya::maps::MapData;

    use hist_test_support::needs;

    use super::*;

    /// `BPF_MAP_TYPE_HASH`
    const HASH: u32 = 1;
    /// `BPF_MAP_TYPE_ARRAY`
    const ARRAY: u32 = 2;

    fn map(map_type: u32, key_size: u32, entries: u32) -> Option<MapData> {
        if !needs::root() {
            return None;
        }
        let map = aya_obj::Map::new_from_params(map_type, key_size, 8, entries, 0);
        Some(MapData::create(map, "test", None).unwrap())
    }

    fn raw(map: &MapData, key_size: usize) -> RawMap<'_> {
        RawMap { fd: map.fd().as_fd(), key_size, value_size: 8 }
    }

    fn keys(map: RawMap<'_>, how: (Fate, Way)) -> Vec<u64> {
        let mut keys = Vec::new();
        walk(map, how, |key, value| {
            let mut word = [0; 8];
            word[..key.len()].copy_from_slice(key);
            assert_eq!(value, [1; 8]);
            keys.push(u64::from_ne_bytes(word));
        })
        .unwrap();
        keys
    }

    #[test]
    fn each_entry_is_given_once_and_goes_if_told() {
        for way in [Way::Best, Way::Singly] {
            let Some(hash) = map(HASH, 8, 10_000) else { return };
            let hash = raw(&hash, 8);
            (0..10_000_u64).for_each(|key| hash.update(&key.to_ne_bytes(), &[1; 8]).unwrap());
            for fate in [Fate::Stay, Fate::Go] {
                let mut keys = keys(hash, (fate, way));
                keys.sort_unstable();
                assert!(keys.into_iter().eq(0..10_000), "{way:?} {fate:?}");
            }
            assert!(!hash.next_key(None, &mut [0; 8]).unwrap(), "nothing is left");
        }
    }

    #[test]
    fn arrays_are_given_whole() {
        for way in [Way::Best, Way::Singly] {
            let Some(array) = map(ARRAY, 4, 5000) else { return };
            let array = raw(&array, 4);
            (0..5000_u32).for_each(|key| array.update(&key.to_ne_bytes(), &[1; 8]).unwrap());
            assert!(keys(array, (Fate::Stay, way)).into_iter().eq(0..5000), "{way:?}");
        }
    }

    #[test]
    fn keys_that_come_meanwhile_disturb_nobody() {
        const BEFORE: u64 = 20_000;
        for way in [Way::Best, Way::Singly] {
            let Some(hash) = map(HASH, 8, 1 << 17) else { return };
            let hash = raw(&hash, 8);
            (0..BEFORE).for_each(|key| hash.update(&key.to_ne_bytes(), &[1; 8]).unwrap());
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let new = (BEFORE..100_000).take_while(|_| !stop.load(Ordering::Relaxed));
                    new.for_each(|key| hash.update(&key.to_ne_bytes(), &[1; 8]).unwrap());
                });
                for _ in 0..5 {
                    let keys = keys(hash, (Fate::Stay, way));
                    let different: HashSet<u64> = keys.iter().copied().collect();
                    assert_eq!(keys.len(), different.len(), "none twice, {way:?}");
                    assert!((0..BEFORE).all(|key| different.contains(&key)), "none lost, {way:?}");
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
    }
}
