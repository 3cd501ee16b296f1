//! The `sandhogd` program.
fn main() {}
