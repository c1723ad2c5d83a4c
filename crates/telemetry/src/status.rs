//! Status codes as a closed set of label values.

/// `100` to `599`, then `none` and `other`.
pub(crate) static CODES: [&str; 502] = codes();

/// Index of a status in [`CODES`].
pub(crate) fn index(status: Option<u16>) -> usize {
    match status {
        Some(code @ 100..=599) => usize::from(code) - 100,
        None => NONE,
        Some(_) => OTHER,
    }
}

const NONE: usize = 500;
const OTHER: usize = 501;
const DIGITS: [u8; 1500] = digits();

const fn digits() -> [u8; 1500] {
    let mut digits = [b'0'; 1500];
    let mut i = 0;
    while i < 500 {
        let code = i + 100;
        digits[3 * i] += (code / 100) as u8;
        digits[3 * i + 1] += (code / 10 % 10) as u8;
        digits[3 * i + 2] += (code % 10) as u8;
        i += 1;
    }
    digits
}

const fn codes() -> [&'static str; 502] {
    let mut codes = ["other"; 502];
    let mut rest: &'static [u8] = &DIGITS;
    let mut i = 0;
    while let Some((code, tail)) = rest.split_at_checked(3) {
        if let Ok(code) = std::str::from_utf8(code) {
            codes[i] = code;
        }
        rest = tail;
        i += 1;
    }
    codes[NONE] = "none";
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_label() {
        for code in 0..=u16::MAX {
            let label = CODES[index(Some(code))];
            if (100..600).contains(&code) {
                assert_eq!(label, code.to_string());
            } else {
                assert_eq!(label, "other");
            }
        }
        assert_eq!(CODES[index(None)], "none");
    }
}
