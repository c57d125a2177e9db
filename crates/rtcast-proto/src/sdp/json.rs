//! JSON in, with errors for what people pass instead.

use serde_json::Value;

use crate::sdp::error::{DescriptionError, shortened};

/// Reads any JSON value, or says what the text is instead.
pub(crate) fn parse(text: &str) -> Result<Value, DescriptionError> {
    let wrong = |problem: String, hint: &'static str| DescriptionError::Json { problem, hint: hint.into() };
    let trimmed = text.trim();
    serde_json::from_str(trimmed).map_err(|error| {
        if trimmed.is_empty() {
            wrong("the JSON is empty".into(), "pass the message of the other peer as it came")
        } else if trimmed.starts_with("v=") {
            wrong(
                "this is SDP, not JSON".into(),
                "pass it with its type: `SessionDescription::new(SdpType::Offer, sdp)`",
            )
        } else if trimmed.starts_with("{'") || trimmed.starts_with("{ '") {
            wrong(
                "this is a Python dictionary as `print` shows it, in single quotes, not JSON".into(),
                "send `json.dumps(…)` of the dictionary instead of `str(…)`",
            )
        } else {
            wrong(
                format!("this is not JSON ({error}): {:?}", shortened(trimmed)),
                "pass the text of a message such as `{\"type\": \"offer\", \"sdp\": \"v=0…\"}`",
            )
        }
    })
}

/// A JSON value's kind in words.
pub(crate) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
