//! An error as one line.

use std::error::Error as StdError;
use std::fmt;

/// An error with its causes, in one line: errors of these crates say only what is their own, and leave the rest to
/// [`source`](std::error::Error::source). What was said already is left out.
///
/// ```
/// let file = std::env::temp_dir().join("no-such-folder/journal");
/// # #[cfg(feature = "sqlite")]
/// if let Err(error) = trunkline::Journal::sqlite(file) {
///     eprintln!("{}", trunkline::WithCauses(&error));
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct WithCauses<'a>(pub &'a (dyn StdError + 'a));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Layer>>);
        impl fmt::Display for Layer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl StdError for Layer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.1.as_deref().map(|cause| cause as _)
            }
        }
        let refused = Layer("no route", Some(Box::new(Layer("refused", None))));
        let error = Layer("unsent: no route", Some(Box::new(refused)));
        assert_eq!(WithCauses(&error).to_string(), "unsent: no route: refused");
    }
}
