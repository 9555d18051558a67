//! What is written and read: topics, JSON, names and texts. Must not know who may do what.

pub(crate) mod device;
pub(crate) mod draft;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod names;
pub(crate) mod properties;
pub(crate) mod text;
pub(crate) mod topic;
pub(crate) mod wire;
