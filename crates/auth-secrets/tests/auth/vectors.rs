//! The golden vectors of `X-Signature`, through the signer, and the negatives that follow from each.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use trunkline_auth_secrets::{X_SIGNATURE, XSignatureSigner};
use trunkline_core_types::{MacKey, Sign};

use crate::support::{origin, request, soon, static_keys};

#[derive(Deserialize)]
struct Vector {
    name: String,
    secret_utf8: String,
    body_utf8: Option<String>,
    body_recipe: Option<Recipe>,
    header: String,
}

#[derive(Deserialize)]
struct Recipe {
    kind: String,
    unit_hex: String,
    count: usize,
    total_len: usize,
}

impl Vector {
    fn body(&self) -> Vec<u8> {
        let Some(recipe) = &self.body_recipe else {
            return self.body_utf8.clone().expect(&self.name).into_bytes();
        };
        assert_eq!(recipe.kind, "repeat", "{}", self.name);
        let digits = recipe.unit_hex.as_bytes().chunks(2);
        let unit: Vec<u8> =
            digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
        let body = unit.repeat(recipe.count);
        assert_eq!(body.len(), recipe.total_len, "{}", self.name);
        body
    }
}

fn vectors() -> Vec<Vector> {
    let folder = std::env::var_os("TRUNKLINE_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"), PathBuf::from);
    let path = folder.join("x-signature.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let vectors: Vec<Vector> = serde_json::from_slice(&text).unwrap();
    assert!(!vectors.is_empty(), "{} holds no vector", path.display());
    vectors
}

#[tokio::test]
async fn every_vector_is_signed_byte_for_byte() {
    for vector in vectors() {
        let signer = XSignatureSigner::new(origin(), static_keys(&vector.secret_utf8));
        let mut request = request("https://voice.example.com/v1/calls", &vector.body());
        signer.sign(&mut request, soon()).await.unwrap();
        assert_eq!(request.headers()[X_SIGNATURE], vector.header, "vector {}", vector.name);
        assert!(request.headers()[X_SIGNATURE].is_sensitive());
    }
}

#[test]
fn every_vector_verifies_and_nothing_near_it_does() {
    for vector in vectors() {
        let (key, body) = (MacKey::new(vector.secret_utf8.as_bytes()), vector.body());
        assert!(key.verify_x_signature(vector.header.as_bytes(), &body), "vector {}", vector.name);
        for (what, header) in wrong_headers(&vector.header, &key.mac(&body)) {
            assert!(!key.verify_x_signature(&header, &body), "vector {}: {what}", vector.name);
        }
        let other = MacKey::new(format!("{}x", vector.secret_utf8).as_bytes());
        assert!(!other.verify_x_signature(vector.header.as_bytes(), &body), "vector {}: key", vector.name);
        for changed in changed_bodies(&body) {
            assert!(
                !key.verify_x_signature(vector.header.as_bytes(), &changed),
                "vector {}: body",
                vector.name
            );
        }
    }
}

fn wrong_headers(good: &str, mac: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let digits = good.strip_prefix("sha256=").unwrap();
    let changed = if digits.starts_with('0') { '1' } else { '0' };
    let mut wrong: Vec<_> = [
        ("one digit changed", format!("sha256={changed}{}", &digits[1..])),
        ("last digit dropped", good[..good.len() - 1].to_owned()),
        ("one digit added", format!("{good}0")),
        ("upper-case digits", format!("sha256={}", digits.to_uppercase())),
        ("upper-case prefix", format!("SHA256={digits}")),
        ("no prefix", digits.to_owned()),
        ("other prefix", format!("sha1={digits}")),
        ("leading space", format!(" {good}")),
        ("inner space", format!("sha256= {digits}")),
        ("trailing space", format!("{good} ")),
        ("base64", format!("sha256={}", STANDARD.encode(mac))),
        ("empty", String::new()),
        ("prefix alone", "sha256=".to_owned()),
        ("two values", format!("{good},{good}")),
        ("two values and a space", format!("{good}, {good}")),
    ]
    .map(|(what, text)| (what, text.into_bytes()))
    .into();
    let mut not_ascii = good.as_bytes().to_vec();
    not_ascii[10] |= 0x80;
    wrong.push(("a byte outside ASCII", not_ascii));
    wrong
}

fn changed_bodies(body: &[u8]) -> Vec<Vec<u8>> {
    let mut changed = vec![[body, b"\n"].concat(), [body, b" "].concat(), [b"\xef\xbb\xbf", body].concat()];
    for at in [0, body.len() / 2, body.len().saturating_sub(1)] {
        let mut flipped = body.to_vec();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 1;
            changed.push(flipped);
        }
    }
    changed
}
