//! The callback URL of a call: the account's own with the call's key in its query, the same for every attempt.

use trunkline_core_types::{IdempotencyKey, InputError, WebUrl};

/// The longest base: with the longest key it still is a URL that every provider takes.
const MAX_BASE: usize = 1024;

/// The parameter of the key. It only helps to read logs: what settles a call is the key in the signed body.
const PARAMETER: &str = "trunkline_key=";

/// The setting, checked.
pub(crate) fn base(url: &str) -> Result<WebUrl, InputError> {
    let bad = |problem| Err(InputError::new("callback_base", problem));
    if url.len() > MAX_BASE {
        return bad("longer than 1024 characters; the call's key comes after it");
    }
    if url.contains('#') {
        return bad("must have no fragment; it would not travel");
    }
    url.parse().map_err(|error: InputError| error.of("callback_base"))
}

/// The base with the key, percent-encoded.
pub(crate) fn keyed(base: &WebUrl, key: &IdempotencyKey) -> Result<WebUrl, InputError> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut url = base.expose();
    url.push(if base.uri().query().is_some() { '&' } else { '?' });
    url.push_str(PARAMETER);
    for byte in key.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            url.push('%');
            url.extend(digits.map(char::from));
        }
    }
    url.parse().map_err(|error: InputError| error.of("callback_base"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_base_that_cannot_work_is_named() {
        let long = format!("https://us.example.com/{}", "a".repeat(1024));
        for bad in ["", "/events", "http://us.example.com/events", "https://us.example.com/#x", &long] {
            assert_eq!(base(bad).unwrap_err().field(), "callback_base", "{bad}");
        }
    }

    #[test]
    fn a_query_of_its_own_stays() {
        let (base, key) = (base("https://us.example.com/events?a=b").unwrap(), "x y".replace(' ', "&"));
        let url = keyed(&base, &key.parse().unwrap()).unwrap();
        assert_eq!(url.expose(), "https://us.example.com/events?a=b&trunkline_key=x%26y");
    }

    proptest! {
        #[test]
        fn every_key_fits_behind_the_longest_base(key in "[!-~]{1,255}", pad in 900usize..1000) {
            let base = base(&format!("https://us.example.com/{}", "a".repeat(pad))).unwrap();
            let url = keyed(&base, &key.parse().unwrap()).unwrap();
            let encoded = url.uri().query().unwrap().strip_prefix(PARAMETER).unwrap().to_owned();
            let mut rest = encoded.split('%');
            let mut decoded = rest.next().unwrap().to_owned();
            for part in rest {
                decoded.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
                decoded.push_str(&part[2..]);
            }
            prop_assert_eq!(decoded, key);
        }
    }
}
