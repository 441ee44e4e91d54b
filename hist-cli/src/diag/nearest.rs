//! Guesses which of some names was meant by a misspelt one.

/// The candidate that `name` was probably meant to be: the one with the fewest changed, missing,
/// added or swapped characters, if those are at most a third of the longer name. Case does not
/// count; the first of several wins.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| distance * 3 <= name.len().max(candidate.len()).max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name() {
        let names = ["call_site", "ptr", "bytes_req", "bytes_alloc", "node"];
        assert_eq!(nearest("callsite", names), Some("call_site"));
        assert_eq!(nearest("byets_req", names), Some("bytes_req"));
        assert_eq!(nearest("PTR", names), Some("ptr"));
        assert_eq!(nearest("ndoe", names), Some("node"));
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("gfp_flags", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
