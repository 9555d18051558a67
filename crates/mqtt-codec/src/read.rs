//! Reading the encodings MQTT packets are made of.

use crate::{DecodeError, ReasonCode};

/// Unread bytes of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or(DecodeError::Malformed("packet ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take(4)
            .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A reason code, if the packet has it. [5 MQTT-4.13.1-1]
    pub(crate) fn reason(
        &mut self,
        has: impl Fn(ReasonCode) -> bool,
    ) -> Result<ReasonCode, DecodeError> {
        let code = ReasonCode(self.u8()?);
        if has(code) {
            return Ok(code);
        }
        Err(DecodeError::Protocol(
            "reason code that the packet does not have",
        ))
    }

    /// Binary data with its length in two bytes.
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// [3.1.1 MQTT-1.5.3-1] [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-1] [5 MQTT-1.5.4-2]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| DecodeError::Malformed("string is not UTF-8"))?;
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::Malformed("string contains U+0000"));
        }
        Ok(text)
    }

    /// [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3]
    pub(crate) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.u16()? {
            0 => Err(DecodeError::Malformed("packet id 0")),
            packet_id => Ok(packet_id),
        }
    }

    /// [5 MQTT-1.5.5-1]
    pub(crate) fn variable(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                if index > 0 && byte == 0 {
                    return Err(DecodeError::Malformed(
                        "variable integer is longer than it needs to be",
                    ));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed(
            "variable integer of more than four bytes",
        ))
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed("bytes behind the end of the packet"))
        }
    }
}
