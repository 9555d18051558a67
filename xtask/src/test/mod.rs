//! Chore.
use crate::arguments::Arguments;
pub(crate) fn run(_a: Arguments) -> anyhow::Result<bool> {
    Ok(true)
}
pub(crate) fn run_crash(_a: Arguments) -> anyhow::Result<bool> {
    Ok(true)
}
