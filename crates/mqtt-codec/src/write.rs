//! Writing the encodings MQTT packets are made of.

pub(crate) fn u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Binary data or a string; what exceeds 65,535 bytes can't be said in MQTT and is a caller's mistake.
pub(crate) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    u16(
        out,
        u16::try_from(bytes.len()).expect("strings and binary data of a packet fit 65,535 bytes"),
    );
    out.extend_from_slice(bytes);
}

pub(crate) fn variable(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

pub(crate) const fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// A packet whose body is short enough to be built beside it.
pub(crate) fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    variable(
        out,
        u32::try_from(body.len()).expect("bodies are bounded by the maximum packet size"),
    );
    out.extend_from_slice(body);
}
