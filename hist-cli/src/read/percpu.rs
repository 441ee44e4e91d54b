//! Takes the value of one entry as bpf(2) gives it: one copy per possible CPU. Gives sums.

/// Adds up word by word, wrapping as the kernel's own sums do, and leaves that in `sums`.
/// `per_cpu` is the length of one copy in bytes, a multiple of 8.
pub(super) fn sums(value: &[u8], per_cpu: usize, sums: &mut Vec<u64>) {
    sums.clear();
    sums.resize(per_cpu / 8, 0);
    for copy in value.chunks_exact(per_cpu) {
        for (sum, word) in sums.iter_mut().zip(copy.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_over_cpus_and_wraps() {
        let words: [u64; 4] = [1, u64::MAX, 2, 3];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut found = Vec::new();
        sums(&bytes, 16, &mut found);
        assert_eq!(found, [3, 2]);
        sums(&bytes, 32, &mut found);
        assert_eq!(found, words);
    }
}
