//! The indices through their public functions, against naive models.

mod naive;
mod remote;
mod retained;
mod shared;
mod subscriptions;
