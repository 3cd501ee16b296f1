//! The `sandhog` program.
fn main() {}
