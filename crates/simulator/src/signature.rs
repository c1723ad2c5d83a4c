//! The body signature `X-Signature`: HMAC-SHA256 over the exact bytes, `sha256=` and 64 lower-case hex digits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The signature of `body` under `secret`; `None` never happens, since HMAC takes a key of any length.
pub(crate) fn sign(secret: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    Some(digest.iter().fold("sha256=".to_owned(), |header, byte| format!("{header}{byte:02x}")))
}

/// True if `header` is the signature of `body` under `secret`. Compares in constant time.
pub(crate) fn verify(secret: &str, body: &[u8], header: &[u8]) -> bool {
    let Some(expected) = header.strip_prefix(b"sha256=").and_then(digest) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&expected).is_ok()
}

fn digest(hex: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::path::PathBuf;

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
    }

    impl Vector {
        fn body(&self) -> Vec<u8> {
            if let Some(text) = &self.body_utf8 {
                return text.clone().into_bytes();
            }
            let recipe = self.body_recipe.as_ref().unwrap_or_else(|| panic!("{}: no body", self.name));
            assert_eq!(recipe.kind, "repeat", "{}", self.name);
            let unit: Vec<u8> = recipe
                .unit_hex
                .as_bytes()
                .chunks(2)
                .map(|pair| nibble(pair[0]).unwrap() << 4 | nibble(pair[1]).unwrap())
                .collect();
            unit.repeat(recipe.count)
        }
    }

    fn vectors() -> Vec<Vector> {
        let folder = std::env::var_os("TRUNKLINE_VECTORS").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors")),
            PathBuf::from,
        );
        let text =
            std::fs::read_to_string(folder.join("x-signature.json")).expect("x-signature.json is readable");
        serde_json::from_str(&text).expect("x-signature.json has the known shape")
    }

    #[test]
    fn the_vectors_verify_and_their_neighbours_do_not() {
        let vectors = vectors();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let (body, header) = (vector.body(), vector.header.as_bytes());
            assert!(verify(&vector.secret_utf8, &body, header), "{}", vector.name);
            assert_eq!(sign(&vector.secret_utf8, &body), Some(vector.header.clone()), "{}", vector.name);
            assert!(
                !verify(&format!("{} ", vector.secret_utf8), &body, header),
                "{}: other secret",
                vector.name
            );
            let longer = [body.as_slice(), b"x"].concat();
            assert!(!verify(&vector.secret_utf8, &longer, header), "{}: other body", vector.name);
            let upper = vector.header.to_uppercase().replace("SHA256", "sha256");
            assert!(!verify(&vector.secret_utf8, &body, upper.as_bytes()), "{}: upper case", vector.name);
        }
    }

    #[test]
    fn other_shapes_are_wrong() {
        let good = vectors().swap_remove(0).header;
        let bare = good.trim_start_matches("sha256=").to_owned();
        for header in [
            String::new(),
            bare.clone(),
            format!("sha1={bare}"),
            format!(" {good}"),
            format!("{good} "),
            good[..70].into(),
        ] {
            assert!(!verify("test-secret-0001", b"", header.as_bytes()), "{header:?}");
        }
    }
}
