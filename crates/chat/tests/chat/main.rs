//! The messenger through its door: inputs in, outputs out, with a map for a store and a number for a clock.

#![allow(clippy::unwrap_used, reason = "a test")]

mod device_messages;
mod disk;
mod world;

mod abandoned;
mod accounts;
mod asks;
mod bounds;
mod catching_up;
mod damaged_rows;
mod descriptions;
mod groups;
mod hostile;
mod loading;
mod markers;
mod message_properties;
mod messages;
mod pages;
mod presence;
mod properties;
mod refusals;
mod share;
