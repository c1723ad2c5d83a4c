//! A text with columns in it: `Hello {name}`.

use std::borrow::Cow;

use super::row::{Bad, Fields};
use crate::Error;

/// Texts and columns in turn.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column { name: String, may_be_empty: bool },
}

impl Template {
    /// `{name}` is a column that must not be empty, `{name?}` one that may; `{{` and `}}` are braces.
    pub(super) fn parse(template: &str) -> Result<Self, Error> {
        let bad = |problem| Err(Error::settings("say", problem));
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            let column = rest.find(['{', '}']).filter(|&end| brace == "{" && rest[end..].starts_with('}'));
            let Some(end) = column else {
                return bad("a brace stands alone; a column is {name}, a brace itself {{ or }}");
            };
            let name = rest[..end].trim();
            let may_be_empty = name.ends_with('?');
            let name = name.strip_suffix('?').unwrap_or(name).trim_end();
            if name.is_empty() {
                return bad("a column without a name; write {name}");
            }
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Column { name: name.to_owned(), may_be_empty });
            rest = &rest[end + 1..];
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Ok(Self(parts))
    }

    /// The columns it names.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text of one row.
    pub(super) fn fill<'a>(&'a self, fields: &impl Fields) -> Result<Cow<'a, str>, Bad> {
        if let [Part::Text(text)] = self.0.as_slice() {
            return Ok(Cow::Borrowed(text));
        }
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Column { name, may_be_empty } => {
                    let value = fields.get(name);
                    if value.is_none_or(|value| value.trim().is_empty()) && !may_be_empty {
                        let problem = match value {
                            Some(_) => "is empty; write {name?} in the text if it may be",
                            None => {
                                "is not there; check the name, or write {name?} in the text if it may be missing"
                            }
                        };
                        return Err(Bad::new(name, problem));
                    }
                    filled.push_str(value.unwrap_or_default());
                }
            }
        }
        Ok(Cow::Owned(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Named(&'static [(&'static str, &'static str)]);

    impl Fields for Named {
        fn get(&self, column: &str) -> Option<&str> {
            self.0.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
        }

        fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
            Box::new(self.0.iter().map(|(name, _)| *name))
        }
    }

    #[test]
    fn what_is_empty_and_what_is_not_there_are_told_apart() {
        for (column, told) in [("nick", "is empty"), ("nmae", "is not there")] {
            let template = Template::parse(&format!("Hello {{{column}}}")).unwrap();
            let bad = template.fill(&ROW).unwrap_err();
            assert!(bad.field == column && bad.reason.starts_with(told), "{bad:?}");
        }
    }

    const ROW: Named = Named(&[("name", "Ada"), ("nick", ""), ("first name", "A. {name}")]);

    fn filled(template: &str) -> Result<String, String> {
        let parsed = Template::parse(template).map_err(|error| error.to_string())?;
        parsed.fill(&ROW).map(Cow::into_owned).map_err(|bad| bad.field)
    }

    #[test]
    fn columns_are_filled_in_and_values_are_not_templates() {
        for (template, text) in [
            ("", ""),
            ("Hello", "Hello"),
            ("Hello {name}!", "Hello Ada!"),
            ("{name}{ name }", "AdaAda"),
            ("{first name}", "A. {name}"),
            ("{nick?}.{nick ?}", "."),
            ("{{name}} {{{name}}}", "{name} {Ada}"),
        ] {
            assert_eq!(filled(template).unwrap(), text, "{template}");
        }
        assert_eq!(filled("Hello {nick}").unwrap_err(), "nick");
    }

    #[test]
    fn braces_that_stand_alone_are_refused() {
        for template in ["{", "}", "{name", "name}", "{na{me}", "{}", "{?}", "{ }", "a}b"] {
            assert!(filled(template).unwrap_err().contains("say"), "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}? a-c\u{e4}]{0,20}") {
            let _ = filled(&text);
        }
    }
}
