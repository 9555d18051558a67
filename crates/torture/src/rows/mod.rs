//! The rows that the server writes, of the sizes and with the text that it writes. Everything follows from numbers, so that
//! who knows the numbers knows the rows.

mod message;
mod ordinary;
mod text;

pub(crate) use message::{Message, Room, WEEK_MS, ended};
pub(crate) use ordinary::{Visit, queued, retained, session_cursor};
pub(crate) use text::{Text, mixed, skewed};
