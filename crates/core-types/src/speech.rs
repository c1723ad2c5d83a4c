//! What a call says: a text to speak, or a URL to play or to ask.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::{InputError, is_loopback};

/// A text to speak: 1 to 4096 characters, not blank, no control characters but line breaks and tabs.
///
/// `Debug` shows its length: texts carry codes and names.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SpokenText {
    text: Box<str>,
    /// Whether it is its own JSON.
    is_plain: bool,
}

impl SpokenText {
    /// The longest text, in characters.
    pub const MAX: usize = 4096;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Appends the text to `json` as a string with its quotes, in the fewest bytes: letters stay what they are.
    pub fn json_to(&self, json: &mut Vec<u8>) {
        json.push(b'"');
        if self.is_plain {
            json.extend_from_slice(self.text.as_bytes());
        } else {
            self.text.bytes().for_each(|byte| escape_to(json, byte));
        }
        json.push(b'"');
    }
}

/// A spoken text has no other control characters.
fn escape_to(json: &mut Vec<u8>, byte: u8) {
    match byte {
        b'\n' => json.extend_from_slice(b"\\n"),
        b'\r' => json.extend_from_slice(b"\\r"),
        b'\t' => json.extend_from_slice(b"\\t"),
        b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
        _ => json.push(byte),
    }
}

impl FromStr for SpokenText {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let bad = |problem: String| Err(InputError::new("say", problem));
        if text.trim().is_empty() {
            return bad("the text is empty; write what the person is to hear".to_owned());
        }
        // No text has more characters than bytes.
        if text.len() > Self::MAX && text.chars().count() > Self::MAX {
            let count = text.chars().count();
            return bad(format!("{count} characters; at most {} can be spoken", Self::MAX));
        }
        // All bytes, since the machine looks at many at once if no one ends the look.
        let is_plain = text
            .bytes()
            .fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte) & !matches!(byte, b'"' | b'\\'));
        if !is_plain && text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return bad("has a control character; remove it".to_owned());
        }
        Ok(Self { text: text.into(), is_plain })
    }
}

impl fmt::Debug for SpokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpokenText({} characters)", self.text.chars().count())
    }
}

/// An absolute URL that a provider fetches or calls: https, or http on loopback; at most 2048 characters; no user info.
///
/// `Debug` and `Display` end before the query, which may carry secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebUrl(Uri);

impl WebUrl {
    /// The longest URL, in characters.
    pub const MAX: usize = 2048;

    /// The whole URL, query included.
    pub fn expose(&self) -> String {
        self.0.to_string()
    }

    /// The URL's parts.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for WebUrl {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let bad = |problem: &str| Err(InputError::new("url", problem));
        if text.len() > Self::MAX {
            return bad("longer than 2048 characters");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return bad(
                "not a URL; write it with scheme and host, percent-encoded, such as https://example.com/hello",
            );
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return bad("not absolute; begin with https:// and a host");
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return bad("must name a host and hold no user name or password");
        }
        match scheme {
            "https" => Ok(Self(uri)),
            "http" if is_loopback(authority.host()) => Ok(Self(uri)),
            "http" => bad("plain http is allowed only for loopback; use https"),
            _ => bad("the scheme must be https"),
        }
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) =
            (self.0.scheme_str().unwrap_or(""), self.0.authority().map_or("", |a| a.as_str()));
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_that_are_refused() {
        for bad in [
            "",
            "example.com",
            "/path",
            "ftp://example.com",
            "http://example.com",
            "https://u:p@example.com/",
            "https://",
        ] {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad}");
        }
        for good in
            ["https://example.com/a?b=c", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x"]
        {
            assert_eq!(good.parse::<WebUrl>().unwrap().expose(), good);
        }
    }

    #[test]
    fn a_query_is_not_printed() {
        let url: WebUrl = "https://example.com/a?token=canary".parse().unwrap();
        assert_eq!(format!("{url:?} {url}"), "WebUrl(https://example.com/a) https://example.com/a");
    }

    #[test]
    fn texts_that_are_refused() {
        let long = "a".repeat(SpokenText::MAX + 1);
        let wide = "é".repeat(SpokenText::MAX + 1);
        for bad in ["", "  \n", "a\u{0}b", "a\u{7f}", "é\u{85}", &long, &wide] {
            assert_eq!(bad.parse::<SpokenText>().unwrap_err().field(), "say");
        }
        assert!(wide[2..].parse::<SpokenText>().is_ok(), "characters count, not bytes");
        assert!("a\tb\r\n".parse::<SpokenText>().is_ok());
    }

    proptest! {
        #[test]
        fn good_texts_come_back_and_are_not_printed(text in "[A-Z0-9你好 ]{6,200}") {
            prop_assume!(!text.trim().is_empty());
            let parsed: SpokenText = text.parse().unwrap();
            prop_assert_eq!(parsed.as_str(), &text[..]);
            let shown = format!("{parsed:?}");
            prop_assert!(!shown.contains(&text));
        }

        #[test]
        fn a_text_is_written_as_json(text in prop_oneof!["[ -~]{1,40}", "[a-z\\n\\r\\t\"\\\\é\u{1f600}\u{a0}]{1,40}"]) {
            prop_assume!(!text.trim().is_empty());
            let mut json = b"[".to_vec();
            text.parse::<SpokenText>().unwrap().json_to(&mut json);
            prop_assert_eq!(String::from_utf8(json).unwrap(), format!("[{}", serde_json::to_string(&text).unwrap()));
        }

        #[test]
        fn no_url_panics(text in "(https?://)?\\PC{0,60}") {
            if let Ok(url) = text.parse::<WebUrl>() { let _ = format!("{url}"); }
        }
    }
}
