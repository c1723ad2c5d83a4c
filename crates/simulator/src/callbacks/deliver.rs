//! One event over one connection, to this machine only.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Where events of a call go: plain HTTP on loopback. No name is ever looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    addresses: Vec<SocketAddr>,
    host: HeaderValue,
    path: Uri,
}

impl Target {
    /// `None` for every URL that is not plain HTTP on loopback: events to it are not sent.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return None;
        }
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
        let hosts = match bare.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) if bare.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Err(_) => return None,
        };
        if !hosts.iter().all(IpAddr::is_loopback) {
            return None;
        }
        let port = authority.port_u16().unwrap_or(80);
        Some(Self {
            addresses: hosts.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
            host: HeaderValue::from_str(authority.as_str()).ok()?,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).parse().ok()?,
        })
    }
}

/// The status of the answer, if one came.
pub(super) async fn post(to: &Target, body: &Bytes, signature: Option<String>) -> Option<StatusCode> {
    let mut request = Request::post(to.path.clone()).body(Full::new(body.clone())).ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, to.host.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert("x-signature", HeaderValue::from_str(&signature?).ok()?);

    let stream = TcpStream::connect(&to.addresses[..]).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let (mut connection, mut reply) = (pin!(connection), pin!(sender.send_request(request)));
    let mut closed = false;
    poll_fn(|cx| {
        // The connection moves the bytes; a reply that came with its end is taken first.
        closed = closed || connection.as_mut().poll(cx).is_ready();
        match reply.as_mut().poll(cx) {
            Poll::Ready(reply) => Poll::Ready(reply.ok().map(|reply| reply.status())),
            Poll::Pending if closed => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_on_loopback_is_a_target() {
        for url in ["http://127.0.0.1:8080/x?y=z", "http://localhost/", "http://[::1]:9", "http://127.9.9.9/"]
        {
            assert!(Target::of(url).is_some(), "{url}");
        }
        for url in [
            "https://127.0.0.1/",
            "http://example.com/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://0.0.0.0/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://u@127.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "ftp://127.0.0.1/",
            "/x",
        ] {
            assert!(Target::of(url).is_none(), "{url}");
        }
        assert_eq!(Target::of("http://127.0.0.1/a?b=c").unwrap().path, "/a?b=c");
    }
}
