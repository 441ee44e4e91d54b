//! Does several things at the same time.

use std::sync::Mutex;
use std::thread;

/// How many machines or fuzz targets run at the same time, unless asked for otherwise.
pub(crate) const JOBS: usize = 2;

/// What `act` gives for each item, in their order, `jobs` items at a time.
pub(crate) fn map<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    act: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let queue = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        loop {
            // Locked for this statement only: not while the item is worked on.
            let next = queue.lock().expect("a worker died").next();
            let Some((idx, item)) = next else { break };
            let result = act(item);
            done.lock().expect("a worker died").push((idx, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    let mut done = done.into_inner().expect("a worker died");
    done.sort_by_key(|(idx, _)| *idx);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_are_in_order_and_two_run_at_once() {
        // Nobody passes it alone.
        let barrier = Barrier::new(2);
        let act = |item: &u32| {
            barrier.wait();
            item * 2
        };
        assert_eq!(map(2, &[1, 2, 3, 4], act), [2, 4, 6, 8]);
        assert_eq!(map(0, &[1, 2, 3], |item| item + 1), [2, 3, 4]);
    }
}
