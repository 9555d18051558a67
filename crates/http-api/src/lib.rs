//! The HTTP server: web client, REST under `/api/v1`, MQTT over WebSocket at `/mqtt`, `/healthz`, `/readyz` and `/metrics`.
//! It asks the server through its `Handle`; it must not touch the store or know a rule of the messenger.

mod admission;
mod secure;
mod serve;
mod write_timeout;

mod answer;
mod body;
mod counters;
mod exposition;
mod forwarded;
mod health;
mod metrics;
mod parameters;
mod peer;
mod recorder;
mod rest;
mod router;
mod security;
mod state;
mod web;
mod websocket;

pub use net::Credentials;
pub use recorder::Metrics;
pub use serve::{serve, serve_metrics};
