//! Whether an artifact's bytes can be relied on.

pub mod verify;
