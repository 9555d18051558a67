//! What is measured and how: the time of commits, the process's memory and files, the folder's size.

mod disk;
mod histogram;
mod process;
mod timed;
mod watch;

pub(crate) use disk::{disk_bytes, forget_cached};
pub(crate) use histogram::Histogram;
pub(crate) use process::{cpu_seconds, thread_cpu_seconds, written_bytes};
pub(crate) use timed::{Progress, Timed};
pub(crate) use watch::Watch;
