//! The world of a drill, seen from outside: a toy vendor, toy subjects, plain `reqwest`.

mod basics;
mod connection;
mod lives;
mod toy;
mod webhooks;
