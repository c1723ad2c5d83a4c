//! Phone numbers in E.164 form that print masked.

use std::fmt;
use std::str::FromStr;

use crate::InputError;

/// A phone number: `+`, then 7 to 15 digits, the first not 0 (ITU-T E.164).
///
/// `Debug` and `Display` show the last two digits only; [`E164::expose`] is the one door to the whole number, [`E164::expose_to`] the same into a buffer.
///
/// ```
/// # use trunkline_core_types::E164;
/// let to: E164 = "+14155550123".parse().unwrap();
/// assert_eq!(to.to_string(), "+*********23");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164 {
    digits: [u8; Self::MAX_DIGITS],
    len: u8,
}

impl E164 {
    const MIN_DIGITS: usize = 7;
    const MAX_DIGITS: usize = 15;

    /// The whole number as it travels, `+` included.
    pub fn expose(&self) -> String {
        let mut text = Vec::with_capacity(1 + Self::MAX_DIGITS);
        self.expose_to(&mut text);
        // Digits only, so this always is text.
        String::from_utf8(text).unwrap_or_default()
    }

    /// Appends what [`E164::expose`] returns to `text`: `+` and digits, 8 to 16 bytes of ASCII.
    pub fn expose_to(&self, text: &mut Vec<u8>) {
        text.push(b'+');
        text.extend_from_slice(self.digits());
    }

    /// The length of what [`E164::expose`] returns, in bytes: 8 to 16.
    pub fn exposed_len(&self) -> usize {
        1 + usize::from(self.len)
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..usize::from(self.len)]
    }
}

impl FromStr for E164 {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let number = text.strip_prefix('+').unwrap_or("").as_bytes();
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&number.len())
            && number.iter().all(u8::is_ascii_digit)
            && number[0] != b'0';
        if !fits {
            return Err(InputError::new("number", shape(text)));
        }
        let mut digits = [0; Self::MAX_DIGITS];
        digits[..number.len()].copy_from_slice(number);
        Ok(Self { digits, len: number.len() as u8 })
    }
}

fn shape(text: &str) -> String {
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    let plus = if text.starts_with('+') { "a leading +" } else { "no leading +" };
    let other = text.chars().filter(|c| !c.is_ascii_digit()).count() - usize::from(text.starts_with('+'));
    format!(
        "not an E.164 number ({plus}, {count} digits, {other} other characters); write + and country code, \
         7 to 15 digits without spaces, such as +14155550123"
    )
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("+")?;
        let hidden = usize::from(self.len) - 2;
        for (at, &digit) in self.digits().iter().enumerate() {
            write!(f, "{}", if at < hidden { '*' } else { char::from(digit) })?;
        }
        Ok(())
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_that_are_refused() {
        for bad in [
            "",
            "+",
            "14155550199",
            "+0123456789",
            "+123456",
            "+1234567890123456",
            "+1 415 555 0123",
            "+１２３４５６７８",
        ] {
            let error = bad.parse::<E164>().unwrap_err();
            assert!(bad.len() < 6 || !error.to_string().contains(bad), "{error}");
        }
    }

    proptest! {
        #[test]
        fn good_numbers_come_back_whole_and_print_masked(number in "\\+[1-9][0-9]{6,14}") {
            let parsed: E164 = number.parse().unwrap();
            prop_assert_eq!(parsed.expose(), &number[..]);
            let mut appended = b"to=".to_vec();
            parsed.expose_to(&mut appended);
            prop_assert_eq!(appended, format!("to={number}").into_bytes());
            prop_assert_eq!(parsed.exposed_len(), number.len());
            let shown = format!("{parsed} {parsed:?}");
            prop_assert!(!shown.contains(&number[..number.len() - 2]));
            prop_assert!(shown.contains(&number[number.len() - 2..]));
        }

        #[test]
        fn no_text_panics_and_no_error_repeats_it(text in "\\PC{8,40}") {
            if let Err(error) = text.parse::<E164>() {
                prop_assert!(!error.to_string().contains(&text));
            }
        }
    }
}
