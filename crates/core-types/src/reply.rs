//! A provider's reply, one pointer wide, and how it is kept in a journal.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::AccountId;

/// A complete reply. `Debug` shows status and length: bodies name people.
#[derive(Clone)]
pub struct Reply(Box<Response<Bytes>>);

impl Reply {
    /// Wraps a response.
    pub fn new(response: Response<Bytes>) -> Self {
        Self(Box::new(response))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The whole body.
    pub fn body(&self) -> &Bytes {
        self.0.body()
    }

    /// The response itself.
    pub fn into_response(self) -> Response<Bytes> {
        *self.0
    }

    /// What a journal keeps: which account it came through (its length in one byte, then its name), the status in two bytes, big-endian,
    /// and the body. Headers are not kept.
    pub fn to_record(&self, account: &AccountId) -> Bytes {
        let name = account.as_str().as_bytes();
        let mut record = Vec::with_capacity(3 + name.len() + self.body().len());
        record.push(name.len() as u8);
        record.extend_from_slice(name);
        record.extend_from_slice(&self.status().as_u16().to_be_bytes());
        record.extend_from_slice(self.body());
        record.into()
    }

    /// The account and the reply of a record; `None` if it is not one.
    pub fn from_record(record: &Bytes) -> Option<(AccountId, Self)> {
        let end = 1 + usize::from(*record.first()?);
        let account = std::str::from_utf8(record.get(1..end)?).ok()?.parse().ok()?;
        let status = u16::from_be_bytes([*record.get(end)?, *record.get(end + 1)?]);
        let mut response = Response::new(record.slice(end + 2..));
        *response.status_mut() = StatusCode::from_u16(status).ok()?;
        Some((account, Self::new(response)))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status().as_u16(), self.body().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_brings_account_status_and_body_back(code in 100u16..1000, body: Vec<u8>, name in "[a-z0-9_-]{1,64}") {
            let mut response = Response::new(Bytes::from(body));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            let reply = Reply::new(response);
            let account: AccountId = name.parse().unwrap();
            let (through, back) = Reply::from_record(&reply.to_record(&account)).unwrap();
            prop_assert_eq!((through, back.status(), back.body()), (account, reply.status(), reply.body()));
        }

        #[test]
        fn no_record_panics(bytes: Vec<u8>) {
            let _ = Reply::from_record(&Bytes::from(bytes));
        }
    }
}
