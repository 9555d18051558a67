//! The fixed header: where a packet ends, judged as early as its first bytes allow.

use crate::{DecodeError, Version};

/// Bytes of the longest remaining length.
pub(crate) const LENGTH_BYTES_MAX: usize = 4;

/// Extent of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLength {
    /// Bytes of the fixed header.
    pub header: usize,
    /// Bytes of the whole packet.
    pub total: usize,
}

/// The extent of the packet that `bytes` begin with; `None` when more is needed to tell. A packet that is
/// wrong or too large is refused before its body has come.
pub fn length(
    version: Version,
    bytes: &[u8],
    maximum: u32,
) -> Result<Option<FrameLength>, DecodeError> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    check_flags(version, first)?;
    let mut remaining = 0u32;
    for index in 0..LENGTH_BYTES_MAX {
        let Some(&byte) = bytes.get(1 + index) else {
            return Ok(None);
        };
        remaining |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // [5 MQTT-1.5.5-1]: the shortest form only.
            if index > 0 && byte == 0 {
                return Err(DecodeError::Malformed(
                    "remaining length is longer than it needs to be",
                ));
            }
            let header = 2 + index;
            let total = header as u64 + u64::from(remaining);
            if total > u64::from(maximum) {
                return Err(DecodeError::TooLarge {
                    bytes: total,
                    maximum,
                });
            }
            return Ok(Some(FrameLength {
                header,
                total: total as usize,
            }));
        }
    }
    Err(DecodeError::Malformed(
        "remaining length of more than four bytes",
    ))
}

/// [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1] and their like for each packet.
fn check_flags(version: Version, first: u8) -> Result<(), DecodeError> {
    const PUBLISH: u8 = 3;
    const DUP: u8 = 0b1000;
    let (kind, flags) = (first >> 4, first & 0x0F);
    let required = match kind {
        0 => return Err(DecodeError::Malformed("packet type 0")),
        PUBLISH => return Ok(()),
        // PUBREL, SUBSCRIBE, UNSUBSCRIBE.
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    // MQTT 3.1 has DUP on the packets it resends with QoS 1: PUBREL, SUBSCRIBE, UNSUBSCRIBE.
    let resent = version == Version::V31 && required != 0 && flags == required | DUP;
    if flags == required || resent {
        Ok(())
    } else {
        Err(DecodeError::Malformed("reserved flags of the fixed header"))
    }
}
