//! Why a command failed, and the exit code that tells it.

use std::fmt;
use std::process::ExitCode;

use rtcast::Hint;
use rtcast_server::printable;

/// A failure: what happened and why, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: String,
    usage: bool,
}

impl Failure {
    /// Something did not work; exit code 1.
    pub(crate) fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        // Both may quote a file's name, or what a program said of it.
        Self { message: printable(&message.into()), hint: printable(&hint.into()), usage: false }
    }

    /// The command was given something that it cannot mean; exit code 2.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { usage: true, ..Self::failed(message, hint) }
    }

    /// What a library tells, in its words; exit code 1.
    pub(crate) fn of(error: &impl Hint) -> Self {
        Self::failed(error.problem(), error.hint().unwrap_or_default())
    }

    /// The same, where an option may help.
    pub(crate) fn of_option(error: &impl Hint, option: &str) -> Self {
        Self::failed(error.problem(), format!("{option}: {}", error.hint().unwrap_or_default()))
    }

    /// The same, where the option is at fault; exit code 2.
    pub(crate) fn usage_of(error: &impl Hint, option: &str) -> Self {
        Self { usage: true, ..Self::of_option(error, option) }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { writeln!(f, "hint: {}", self.hint) }
    }
}
