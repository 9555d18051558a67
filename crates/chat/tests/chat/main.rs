//! The messenger through its door: inputs in, outputs out, with a map for a store and a number for a clock.

#![allow(clippy::unwrap_used, reason = "a test")]

mod disk;
mod journal;
mod world;

mod abandoned;
mod accounts;
mod asks;
mod bounds;
mod catching_up;
mod clients;
mod damaged_rows;
mod descriptions;
mod groups;
mod hostile;
mod loading;
mod markers;
mod messages;
mod pages;
mod presence;
mod properties;
mod share;
