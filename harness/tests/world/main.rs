//! The world of a drill, seen from outside: a toy vendor, toy subjects, plain `reqwest`.

#[path = "../provider/mod.rs"]
mod provider;

mod alerts;
mod basics;
mod connection;
mod frames;
mod http2;
mod lives;
mod raw;
mod streams;
mod tls;
mod toy;
mod webhooks;
