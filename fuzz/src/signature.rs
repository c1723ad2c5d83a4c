//! `X-Signature`: what is compared, and what a signer makes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use secrecy::SecretString;
use trunkline_auth_secrets::{StaticKeys, X_SIGNATURE, XSignatureSigner};
use trunkline_core_types::{Clock as _, MacKey, Sign as _, SystemClock};

use crate::input::Input;

/// The header on the first line, the secret on the second, then the body.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (header, secret) = (input.line(), input.text());
    let body = input.rest();
    let mac = MacKey::new(secret.as_bytes());
    let good = mac.x_signature(body);
    assert_eq!(mac.verify_x_signature(header, body), header == good.as_bytes());
    assert!(mac.verify_x_signature(good.as_bytes(), body));
    assert!(good.len() == 71 && good.starts_with("sha256="));
    assert!(good[7..].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    // One changed bit of the header or of the body, at a place that the input chooses.
    let place = header.iter().map(|&byte| usize::from(byte)).sum::<usize>();
    let mut forged = good.clone().into_bytes();
    forged[place % 71] ^= 1 << (place % 8);
    assert!(!mac.verify_x_signature(&forged, body));
    if !body.is_empty() {
        let mut changed = body.to_vec();
        changed[place % body.len()] ^= 1 << (place % 8);
        assert!(!mac.verify_x_signature(good.as_bytes(), &changed));
    }
    // What is shown is the same for every secret.
    assert_eq!(format!("{mac:?}"), format!("{:?}", MacKey::new(b"another")));
    signs(secret, body, &good);
}

fn signs(secret: &str, body: &[u8], good: &str) {
    let keys = match StaticKeys::new(SecretString::from(secret)) {
        Ok(keys) => keys,
        Err(error) => {
            assert!(secret.is_empty(), "{error}");
            return;
        }
    };
    let another = StaticKeys::new(SecretString::from("another"));
    assert_eq!(format!("{:?}", Ok::<_, ()>(&keys)), format!("{:?}", another.as_ref().map_err(|_| ())));
    let Ok(origin) = "https://voice.example.com".parse() else { unreachable!("an origin") };
    let signer = XSignatureSigner::new(origin, Arc::new(keys));
    let mut request = Request::new(Bytes::copy_from_slice(body));
    *request.uri_mut() = http::Uri::from_static("https://voice.example.com/v1/calls");
    let until = SystemClock::new().now() + Duration::from_secs(1);
    let signed = signer.sign(&mut request, until).now_or_never();
    assert!(matches!(signed, Some(Ok(()))), "{signed:?}");
    assert_eq!(request.headers().get(X_SIGNATURE).map(|value| value.as_bytes()), Some(good.as_bytes()));
    assert!(!format!("{:?}", request.headers()).contains(good), "a signature is shown");
    *request.uri_mut() = http::Uri::from_static("https://voice.example.net/v1/calls");
    let elsewhere = signer.sign(&mut request, until).now_or_never();
    assert!(elsewhere.is_some_and(|signed| signed.is_err()), "signed for another origin");
}
