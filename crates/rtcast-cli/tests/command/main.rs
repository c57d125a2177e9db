//! The command as a person or a program meets it, one file per behaviour.
#![cfg(unix)]

mod bench;
mod hostile;
mod stream;
mod support;
