//! Sizes in memory as people write them.

/// Bytes as people write them, rounded to three digits: `1.50 MiB`.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1000.0 {
            let decimals = match scaled {
                _ if unit == "B" => 0,
                small if small < 10.0 => 2,
                middle if middle < 100.0 => 1,
                _ => 0,
            };
            return format!("{scaled:.decimals$} {unit}");
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.0} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (7, "7 B"),
            (2600, "2.54 KiB"),
            (100 << 10, "100 KiB"),
            (64 << 20, "64.0 MiB"),
            (3 << 30, "3.00 GiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
