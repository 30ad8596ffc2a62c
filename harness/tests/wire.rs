//! Programs as subjects: real processes over real sockets in real time.

#[path = "wire/bundled.rs"]
mod bundled;
#[path = "wire/common.rs"]
mod common;
#[path = "wire/end.rs"]
mod end;
#[path = "wire/lives.rs"]
mod lives;
#[path = "wire/mistakes.rs"]
mod mistakes;
