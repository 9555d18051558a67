//! The indices through their public doors, against naive models.

mod naive;
mod remote;
mod retained;
mod shared;
mod subscriptions;
