//! retained
