//! What to do about an error.

use std::borrow::Cow;
use std::error::Error;

/// An error that tells what happened and what to do apart, for those who show the two in places of their own. Its text as a
/// whole may have both.
///
/// ```
/// use rtcast_proto::{Hint, SdpType, SessionDescription};
///
/// fn shown(error: &impl Hint) -> String {
///     match error.hint() {
///         Some(hint) => format!("error: {}\nhint:  {hint}", error.problem()),
///         None => format!("error: {}", error.problem()),
///     }
/// }
/// let error = SessionDescription::new(SdpType::Answer, "").unwrap_err();
/// assert_eq!(shown(&error).lines().count(), 2);
/// ```
pub trait Hint: Error {
    /// What happened, and why.
    fn problem(&self) -> String {
        self.to_string()
    }

    /// What to do about it; `None` if the problem says it, or nothing is to be done.
    fn hint(&self) -> Option<Cow<'_, str>>;
}
