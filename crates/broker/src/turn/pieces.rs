//! How much of what can be long is done in one piece.

/// Sessions that are looked through in one piece; most are only passed by.
pub(crate) const SESSIONS_PER_PIECE: u32 = 4096;
/// Filters acted on in one piece.
pub(crate) const FILTERS_PER_PIECE: usize = 256;
/// Waiting messages looked through in one piece.
pub(crate) const WAITING_PER_PIECE: usize = 65_536;
