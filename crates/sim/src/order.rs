//! Which world is run. Data only.

/// Which world to run.
#[derive(Debug, Clone, Copy)]
pub struct Order<M> {
    /// Decides everything that happens.
    pub seed: u64,
    /// The mistake that is made, if any.
    pub mutation: M,
    /// Ends the weather after so many steps, if that is earlier than the seed says.
    pub steps_max: usize,
}
