//! What the diff must find, and must not.
