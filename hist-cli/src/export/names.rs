//! Makes the labels of columns unique, for formats in which columns are looked up by name.

/// The labels, but for those that have been there already: they get `_2` and so on.
pub(crate) fn unique<'a>(labels: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for label in labels {
        let numbered = (2_u64..).map(|number| format!("{label}_{number}"));
        let mut candidates = std::iter::once(label.to_owned()).chain(numbered);
        // There are more candidates than names.
        names.extend(candidates.find(|name| !names.contains(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::unique;

    #[test]
    fn the_first_keeps_its_label() {
        assert_eq!(unique(["id", "id", "a", "id_2", "id"]), ["id", "id_2", "a", "id_2_2", "id_3"]);
    }
}
