//! The proof that nothing acknowledged is lost and nothing is there twice: real clients write to conversations and ordinary
//! topics while a test kills the server; afterwards everything is counted. The test owns when it is killed.

mod cast;
mod ledger;
mod stage;

mod crew;
mod reader;
mod wills;
mod writer;

mod verdict;

mod random;

pub use cast::{people, readers, writers};
pub use crew::{Crew, Reading};
pub use ledger::{Entries, Key, Ledger, Place, conversation};
pub use random::{Random, number, seed};
pub use reader::{Reader, Seen};
pub use stage::{Round, Stage};
pub use verdict::{conversations, readers as judge_readers, write_ends};
pub use wills::Wills;
pub use writer::{ROUND_MAX, Session, Writer};
