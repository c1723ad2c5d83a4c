//! Proxies: the settings that name one, and what it answers to CONNECT.

use trunkline_core_types::{FailureKind, Origin};
use trunkline_transport::{Dial as _, ProxyDial, ProxySettings};

use crate::input::Input;
use crate::quiet;
use crate::wire::{self, PeerDial};

/// The most that a proxy may say before it is given up.
const MAX_HEAD: usize = 8 * 1024;
const READ: usize = 512;

/// The proxy's URL, the exceptions and the origin, a line each, then what the proxy answers. A first byte of it tells the size of its
/// packets.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (url, except, origin) = (input.text(), input.text(), input.text());
    let (Some(settings), Ok(origin)) = (settings(url, except), origin.parse::<Origin>()) else { return };
    let Some((chunk, answer)) = input.rest().split_first() else { return };
    let peer = PeerDial::new(answer, usize::from(*chunk), false, 1);
    if !settings.applies_to(&origin) {
        return;
    }
    let dial = ProxyDial::new(settings.clone(), std::sync::Arc::new(peer.clone()));
    let opened = wire::run(async { dial.connect(&origin).await.map(drop) });
    asked(&peer, &origin);
    let told = answer[..peer.peer().told].to_vec();
    match opened {
        Ok(()) => {
            // Everything that was read is the head: a byte more would be the origin's, and lost.
            assert!(
                told.starts_with(b"HTTP/1.") && told[8..].starts_with(b" 2") && told.ends_with(b"\r\n\r\n")
            );
            assert_eq!(told.windows(4).filter(|end| end == b"\r\n\r\n").count(), 1);
        }
        Err(error) => {
            assert_eq!(error.kind(), FailureKind::Connect);
            hidden(&format!("{error} {error:?}"), url, "");
        }
    }
    assert!(told.len() < MAX_HEAD + READ);
}

fn settings(url: &str, except: &str) -> Option<ProxySettings> {
    match ProxySettings::new(url).and_then(|settings| settings.except(except)) {
        Ok(settings) => {
            // The exceptions are names, which are shown.
            hidden(&format!("{settings:?}"), url, except);
            Some(settings)
        }
        Err(error) => {
            quiet::error(&error);
            quiet::canary(&error.to_string());
            None
        }
    }
}

/// One request, in three lines at most, whatever stands in the settings.
fn asked(peer: &PeerDial, origin: &Origin) {
    let heard = String::from_utf8_lossy(&peer.peer().heard).into_owned();
    let target = format!("{}:{}", origin.host(), origin.port());
    let begins = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    let Some(rest) = heard.strip_prefix(&begins) else { panic!("another request: {heard:?}") };
    let credentials = rest.strip_prefix("Proxy-Authorization: Basic ").map(|rest| rest.split_once("\r\n"));
    let end = match credentials {
        None => rest,
        Some(Some((_, end))) => end,
        Some(None) => panic!("credentials without an end"),
    };
    assert_eq!(end, "\r\n");
}

/// User and password of the URL are in nothing that is shown: those that hold the word which no message has.
fn hidden(shown: &str, url: &str, except: &str) {
    let rest = url.trim().split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if !format!("{host} {except}").to_ascii_lowercase().contains("canary") {
        quiet::canary(shown);
    }
}
