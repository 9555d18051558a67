//! Sizes in words: how people write them, and how they read them.

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// `1.5 GiB`: three figures that count.
pub(crate) fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1023.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if size < 9.995 => format!("{size:.2} {}", UNITS[unit]),
        _ if size < 99.95 => format!("{size:.1} {}", UNITS[unit]),
        _ => format!("{size:.0} {}", UNITS[unit]),
    }
}

/// `20M`, `1.5 GiB`, `4096`: powers of 1024 whatever the letters behind the first.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; 20M or 1.5G would be");
    let text_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(text_end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        _ => return Err(wrong()),
    };
    let bytes = number * 1024_f64.powi(power);
    if bytes < 1.0 {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_with_three_figures() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_500_000, "1.43 MiB"),
            (45_000_000_000, "41.9 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("4096", 4096),
            ("20M", 20 << 20),
            ("1.5 GiB", 3 << 29),
            ("8kb", 8192),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "M", "0", "20X", "1.2.3M", "-5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
