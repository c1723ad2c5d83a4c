//! One KV version 2 read: value, id and version in one request.

use serde_json::{Map, Value};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use trunkline_core_types::Key;
use vaultrs::api::exec_with_result;
use vaultrs::api::kv2::requests::ReadSecretRequest;
use vaultrs::client::VaultClient;
use zeroize::{Zeroize, Zeroizing};

use super::errors::Failure;
use super::settings::Checked;

/// The longest value of a field, in bytes.
const LONGEST: usize = 64 * 1024;

/// A version of the secret.
pub(super) struct Secret {
    pub(super) key: Key,
    pub(super) number: u64,
}

/// Reads a version, or the latest.
pub(super) async fn read(
    client: &VaultClient,
    settings: &Checked,
    version: Option<u64>,
) -> Result<Secret, Failure> {
    let request =
        ReadSecretRequest::builder().mount(&settings.mount).path(&settings.path).version(version).build();
    let request = request.map_err(|_| Failure::Unreadable)?;
    // What vaultrs and the crates below log is the server's text; ours says what happened.
    let answer = exec_with_result(client, request).with_subscriber(NoSubscriber::default()).await;
    let answer = answer.map_err(|error| Failure::of(&error))?;
    let number = answer.metadata.version;
    let mut fields = match answer.data {
        Value::Object(fields) => fields,
        Value::Null => return Err(Failure::Gone(number)),
        _ => return Err(Failure::Unreadable),
    };
    let value = take(&mut fields, &settings.field);
    let id = settings.id_field.as_deref().map(|name| take(&mut fields, name)).transpose();
    wipe(fields);
    let (value, id) = (value?, id?);
    let mut key = Key::new(value.as_str().into(), format!("kv-{number}")).map_err(|_| Failure::Unreadable)?;
    if let Some(id) = id {
        key = key.with_id(id.as_str());
    }
    Ok(Secret { key, number })
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Result<Zeroizing<String>, Failure> {
    let bad = |problem| Err(Failure::Field { name: name.to_owned(), problem });
    match fields.remove(name) {
        None => bad("is not there"),
        Some(Value::String(text)) if text.is_empty() => bad("is empty"),
        Some(Value::String(text)) if text.len() > LONGEST => bad("is longer than 64 KiB"),
        Some(Value::String(text)) => Ok(Zeroizing::new(text)),
        Some(_) => bad("is not a string"),
    }
}

/// Clears the texts beside ours; the copies in the HTTP and JSON layers are out of reach.
fn wipe(fields: Map<String, Value>) {
    for (_, value) in fields {
        if let Value::String(mut text) = value {
            text.zeroize();
        }
    }
}
