//! store_first
