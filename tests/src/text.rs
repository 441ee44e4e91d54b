//! Bytes of trigger files as readable texts, and back: `\xNN` stands for a byte that is not UTF-8.

/// The text of `bytes`.
#[must_use]
pub fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// The bytes that `text` stands for.
#[must_use]
pub fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let number = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match number {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => bytes.extend([b"\\x", part.as_bytes()].concat()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_being_read() {
        for bytes_of in [&b"a\xffb\xc3\xa9\xc3"[..], b"", b"\\x", b"\\xg1", b"\xa0"] {
            assert_eq!(bytes(&readable(bytes_of)), bytes_of, "{bytes_of:?}");
        }
        assert_eq!(readable(b"a\xff\xc3\xa9"), "a\\xff\u{e9}");
    }
}
