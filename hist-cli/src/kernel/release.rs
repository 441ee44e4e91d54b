//! The numbers of a kernel's release, by which versions are compared.

/// The first two numbers of a release (`uname -r`) such as `6.12.95+deb13-cloud-amd64`; `None` if it
/// does not begin like one.
#[must_use]
pub fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(numbers("6.12.95+deb13-cloud-amd64"), Some((6, 12)));
        assert_eq!(numbers("7.0-rc1"), Some((7, 0)));
        for text in ["", "7", "next-20260101", ".1", "99999999999.1"] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }
}
