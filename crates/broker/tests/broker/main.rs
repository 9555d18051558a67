//! The broker through its door: real packet bytes in, real packet bytes out, a clock that the test moves and
//! a store that commits when the test says so.

mod chat;
mod got;
mod logins;
mod packets;
mod recover;
mod world;

mod acknowledge;
mod aliases;
mod append_bounds;
mod audience;
mod bounds;
mod claims;
mod closing;
mod connack;
mod connect;
mod connect_limits;
mod damaged_rows;
mod exchange;
mod fanout;
mod former;
mod identifiers;
mod inbox;
mod inbox_walk;
mod lost_and_kept;
mod malformed;
mod messenger;
mod patience;
mod properties;
mod publish;
mod rates;
mod redirect;
mod restart;
mod retained;
mod session;
mod shards;
mod shared;
mod slices;
mod small_clients;
mod storage;
mod store_first;
mod subscribe;
mod system;
mod walk;
mod wills;
