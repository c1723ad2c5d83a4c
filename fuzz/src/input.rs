//! An input cut into its parts.

use std::str;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use trunkline_core_types::Reply;

/// The bytes of an input that were not taken yet.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Everything up to the next LF, which is taken too.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == b'\n').unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        line
    }

    /// The same as text; what is no text is empty.
    pub(crate) fn text(&mut self) -> &'a str {
        str::from_utf8(self.line()).unwrap_or_default()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// A status line, headers up to an empty line, and a body.
    pub(crate) fn reply(mut self) -> Reply {
        let status = self.text().trim().parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
        let headers = self.headers();
        let mut response = Response::new(Bytes::copy_from_slice(self.rest()));
        *response.status_mut() = status.unwrap_or(StatusCode::OK);
        *response.headers_mut() = headers;
        Reply::new(response)
    }

    /// Headers up to an empty line; what is none is left out.
    pub(crate) fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line();
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { return headers };
            let (name, value) = (HeaderName::from_bytes(&line[..colon]), line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
    }
}
