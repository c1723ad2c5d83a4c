//! Money: an exact decimal and a currency, never a float.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::InputError;

/// An ISO 4217 currency code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollars, the default of every account.
    pub const USD: Self = Self(*b"USD");
}

impl FromStr for Currency {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(InputError::new("currency", "must be three capital letters, such as USD (ISO 4217)")),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&letter| write!(f, "{}", char::from(letter)))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An amount in a currency, exact to 28 digits.
///
/// ```
/// # use trunkline_core_types::{Currency, Money};
/// let cost = Money::parse("0.015", Currency::USD).unwrap();
/// assert_eq!(cost.to_string(), "0.015 USD");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Nothing, in `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::ZERO, currency }
    }

    /// Reads a decimal as it travels: optional sign, digits, point, exponent as in JSON.
    ///
    /// # Errors
    /// [`InputError`] on `amount` if it is not a decimal, or has more than 28 digits.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, InputError> {
        if let Some(amount) = plain(amount) {
            return Ok(Self { amount, currency });
        }
        let parsed = if amount.contains(['e', 'E']) {
            Decimal::from_scientific(amount)
        } else {
            Decimal::from_str_exact(amount)
        };
        let amount = parsed.map_err(|_| {
            InputError::new("amount", "not a decimal number of at most 28 digits, such as 0.015")
        })?;
        Ok(Self { amount, currency })
    }

    /// The amount as decimal text.
    pub fn amount(&self) -> String {
        self.amount.to_string()
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The sum; `None` for two currencies, or if it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        Some(Self { amount: self.amount.checked_add(other.amount)?, currency: self.currency })
    }
}

/// A decimal of at most 17 digits, without sign and exponent, as nearly all prices are; `None` leaves the verdict to the decimal's own reader.
fn plain(text: &str) -> Option<Decimal> {
    let text = text.as_bytes();
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let (mut digits, mut point) = (0i64, None);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits = 10 * digits + i64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return None,
        }
    }
    let scale = match point {
        Some(at) => text.len() - at - 1,
        None => 0,
    };
    Decimal::try_new(digits, scale as u32).ok()
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_numbers_keep_their_digits() {
        for (text, want) in
            [("0.015", "0.015"), ("-0.0085", "-0.0085"), ("1.5e-3", "0.0015"), ("0", "0"), ("1.50", "1.50")]
        {
            assert_eq!(Money::parse(text, Currency::USD).unwrap().amount(), want);
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_decimal() {
        for text in ["", ".", ".5", "-1", "+1", "1e3", "1_0", "1.2.3", "1234567890123456789"] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn currencies_do_not_mix() {
        let euro = Money::zero("EUR".parse().unwrap());
        assert_eq!(euro.checked_add(Money::zero(Currency::USD)), None);
    }

    proptest! {
        #[test]
        fn sums_are_exact(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
            let money = |n: i64| Money::parse(&format!("{}{}.{:04}", if n < 0 { "-" } else { "" }, n.abs() / 10_000, n.abs() % 10_000), Currency::USD).unwrap();
            prop_assert_eq!(money(a).checked_add(money(b)).unwrap(), money(a + b));
        }

        #[test]
        fn plain_prices_are_read_as_the_decimal_reads_them(text in "[0-9]{0,9}[.]?[0-9]{0,12}|[0-9.+_e-]{0,19}") {
            if let Some(read) = plain(&text) {
                let whole = Decimal::from_str_exact(&text).map(|whole| (whole, whole.scale()));
                prop_assert_eq!(Ok((read, read.scale())), whole, "{}", text);
            }
        }

        #[test]
        fn cents_are_plain(whole in 0u64..1_000_000, part in "[0-9]{1,9}") {
            let text = format!("{whole}.{part}");
            prop_assert_eq!(plain(&text).map(|read| read.to_string()), Some(text));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = Money::parse(&text, Currency::USD);
            prop_assert_eq!(text.parse::<Currency>().is_ok(), text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()));
        }
    }
}
