//! What may be shown: no secret, and no whole phone number.

use std::error::Error;

/// The number that advice names as an example.
const EXAMPLE: &str = "+14155550123";

/// Checks an error in every form in which it can be printed, with its causes: no seven digits in a row.
pub(crate) fn error(error: &dyn Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        text(&error.to_string());
        text(&format!("{error:?}"));
        next = error.source();
    }
}

/// The same of one text.
pub(crate) fn text(shown: &str) {
    assert!(!has_number(&shown.replace(EXAMPLE, "")), "a number is shown: {shown}");
}

/// Whether seven digits stand in a row.
pub(crate) fn has_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= 7)
}

/// The word that seeds put where a secret or a value stands; no message of ours has it.
pub(crate) fn canary(shown: &str) {
    assert!(!shown.to_ascii_lowercase().contains("canary"), "a value is repeated: {shown}");
}
