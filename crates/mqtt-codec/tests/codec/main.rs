//! The codec through its public functions: a table of packets that read and write alike, a table of bytes that
//! are none, and properties that hold for all.

mod malformed;
mod random;
mod table;
mod whole;
