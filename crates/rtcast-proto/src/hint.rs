//! What to do about an error.

use std::borrow::Cow;
use std::error::Error;

/// An error that tells what happened and what to do apart, for those who show the two in places of their own. Its text as a
/// whole may have both.
pub trait Hint: Error {
    /// What happened, and why.
    fn problem(&self) -> String {
        self.to_string()
    }

    /// What to do about it; `None` if the problem says it, or nothing is to be done.
    fn hint(&self) -> Option<Cow<'_, str>>;
}
