//! CONNECT: one request to the proxy, one bounded reply head, and then the wire belongs to the origin.

use std::future::poll_fn;
use std::io;

use secrecy::{ExposeSecret, SecretString};
use trunkline_core_types::{AttemptError, FailureKind, Origin};
use zeroize::Zeroizing;

use crate::Wire;

/// A proxy's reply head is a status line and a few headers; a longer one is not waited for.
const MAX_HEAD: usize = 8 << 10;

/// Opens a tunnel to `origin` over a wire to the proxy `host`. Nothing of a request is written.
pub(super) async fn open(
    mut wire: Box<dyn Wire>,
    host: &str,
    credentials: Option<&SecretString>,
    origin: &Origin,
) -> Result<Box<dyn Wire>, AttemptError> {
    let asked = ask(&mut *wire, credentials, origin).await;
    let replied = match asked {
        Ok(()) => read_head(&mut *wire).await,
        Err(error) => Err(error),
    };
    let head = replied.map_err(|error| {
        failed(host, "broke the connection before it opened the tunnel").with_source(error)
    })?;
    match status(&head) {
        Some(200..=299) if end(&head) == Some(head.len()) => Ok(wire),
        Some(200..=299) => Err(failed(host, "sent bytes of its own into the tunnel")),
        Some(407) if credentials.is_some() => Err(failed(host, "refuses the credentials of its URL (407)")),
        Some(407) => Err(failed(host, "asks for credentials (407); set user and password in its URL")),
        Some(code) => Err(failed(host, &format!("does not open a tunnel to the origin (status {code})"))),
        None => Err(failed(host, "does not answer in HTTP; check host and port of its URL")),
    }
}

fn failed(host: &str, what: &str) -> AttemptError {
    AttemptError::new(
        FailureKind::Connect,
        format!("the proxy {host} {what}; nothing was sent to the origin"),
    )
}

async fn ask(wire: &mut dyn Wire, credentials: Option<&SecretString>, origin: &Origin) -> io::Result<()> {
    let target = format!("{}:{}", origin.host(), origin.port());
    // Large enough that no growing leaves a copy of the credentials behind.
    let secret = credentials.map_or("", |value| value.expose_secret());
    let mut head = Zeroizing::new(Vec::with_capacity(128 + 2 * target.len() + secret.len()));
    head.extend_from_slice(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").as_bytes());
    if !secret.is_empty() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(secret.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let mut rest = &head[..];
    while !rest.is_empty() {
        let written = poll_fn(|cx| wire.poll_write(cx, rest)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = &rest[written..];
    }
    poll_fn(|cx| wire.poll_flush(cx)).await
}

/// Everything up to the end of the head, and what came in one read with it; what is above the bound or has no status line early is given
/// back as it is.
async fn read_head(wire: &mut dyn Wire) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    let mut buffer = [0; 512];
    loop {
        let count = poll_fn(|cx| wire.poll_read(cx, &mut buffer)).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..count]);
        if end(&head).is_some() || head.len() >= MAX_HEAD || !begins_as_http(&head) {
            return Ok(head);
        }
    }
}

const VERSION: &[u8] = b"HTTP/1.";

fn begins_as_http(head: &[u8]) -> bool {
    let shared = head.len().min(VERSION.len());
    head[..shared] == VERSION[..shared]
}

/// Where the head ends: what comes after it is no head, however it ends itself.
fn end(head: &[u8]) -> Option<usize> {
    Some(head.windows(4).position(|end| end == b"\r\n\r\n")? + 4)
}

/// The status of a whole head.
fn status(head: &[u8]) -> Option<u16> {
    end(head)?;
    let line = head.strip_prefix(VERSION)?;
    let code = match line {
        [b'0' | b'1', b' ', code @ ..] => code.get(..3)?,
        _ => return None,
    };
    let ends = matches!(line.get(5), Some(b' ' | b'\r'));
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| ends && (100..600).contains(code))
}
