//! The words of one value as bpf(2) gives it: a copy of each possible CPU, one after the other.

use crate::snapshot::Fold;

/// Puts the copies together word by word and leaves that in `words`, one for each of `folds`.
/// `per_cpu` is the length of one copy in bytes, a multiple of 8; what comes after its words is left
/// out.
pub(super) fn words(value: &[u8], per_cpu: usize, folds: &[Fold], words: &mut Vec<u64>) {
    words.clear();
    words.extend(folds.iter().map(|fold| fold.nothing()));
    for copy in value.chunks_exact(per_cpu) {
        let copy = copy.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word));
        for ((word, copy), fold) in words.iter_mut().zip(copy).zip(folds) {
            *word = match fold {
                // Zeros, which CPUs have that never hit the key, are the sum of no hits.
                Fold::Sum => fold.add(*word, copy),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_over_cpus_and_wraps() {
        let copies: [u64; 4] = [1, u64::MAX, 2, 3];
        let bytes: Vec<u8> = copies.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut found = Vec::new();
        words(&bytes, 16, &[Fold::Sum; 2], &mut found);
        assert_eq!(found, [3, 2]);
        words(&bytes, 32, &[Fold::Sum; 4], &mut found);
        assert_eq!(found, copies);
        // What follows a copy's words is not one of them.
        words(&bytes, 16, &[Fold::Sum], &mut found);
        assert_eq!(found, [3]);
    }
}
