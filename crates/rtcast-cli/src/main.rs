//! The `rtcast` command.
fn main() {}
