//! A real Vault: set up by plain requests, without any client of ours.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline::keys::{VaultLogin, VaultSettings};

use crate::variable;

/// A Vault and its root token, spoken to without any client of ours.
#[derive(Debug)]
pub struct Admin {
    /// Its address.
    pub address: String,
    /// Its root token.
    pub token: String,
}

impl Admin {
    /// The Vault that all tests share.
    pub fn shared() -> Self {
        let address = variable("TRUNKLINE_TEST_VAULT_ADDR").trim_end_matches('/').to_owned();
        Self { address, token: variable("TRUNKLINE_TEST_VAULT_TOKEN") }
    }

    /// One request; its status and body.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let host = self.address.strip_prefix("http://").expect("an http address");
        let body = body.to_string();
        let (token, length) = (&self.token, body.len());
        // HTTP/1.0, so that the answer ends with the connection and is never chunked.
        let request = format!(
            "{method} /v1/{path} HTTP/1.0\r\nhost: {host}\r\nx-vault-token: {token}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// One request that must succeed; its body.
    pub async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A KV engine of the test's own, so that scenarios do not meet.
    pub async fn engine(&self, name: &str) -> String {
        let mount = format!("{name}-{}", std::process::id());
        self.ok("POST", &format!("sys/mounts/{mount}"), json!({"type": "kv", "options": {"version": "2"}}))
            .await;
        mount
    }

    /// Writes the voice key of an engine.
    pub async fn write(&self, mount: &str, data: Value) {
        self.ok("POST", &format!("{mount}/data/voice/key"), json!({ "data": data })).await;
    }

    /// An AppRole that may read the voice key of this engine and nothing else: the role's login.
    pub async fn app_role(&self, mount: &str) -> VaultLogin {
        let policy = format!(r#"path "{mount}/data/voice/key" {{ capabilities = ["read"] }}"#);
        self.ok("PUT", &format!("sys/policies/acl/{mount}"), json!({ "policy": policy })).await;
        self.ok("POST", &format!("sys/auth/{mount}"), json!({"type": "approle"})).await;
        let role = format!("auth/{mount}/role/voice");
        self.ok("POST", &role, json!({"token_policies": [mount], "token_ttl": "600s"})).await;
        let role_id = self.ok("GET", &format!("{role}/role-id"), Value::Null).await;
        let secret_id = self.ok("POST", &format!("{role}/secret-id"), json!({})).await;
        let text = |answer: &Value, field: &str| answer["data"][field].as_str().unwrap().to_owned();
        VaultLogin::app_role(mount, text(&role_id, "role_id"), text(&secret_id, "secret_id").into())
    }

    /// The login of the root token.
    pub fn root(&self) -> VaultLogin {
        VaultLogin::Token(self.token.as_str().into())
    }

    /// Where the voice key of an engine is.
    pub fn settings(&self, mount: &str, login: VaultLogin) -> VaultSettings {
        VaultSettings::new(&self.address, mount, "voice/key", login)
    }
}

/// A Vault of the test's own, ended with it.
#[derive(Debug)]
pub struct OwnVault {
    process: Child,
    /// Speaks to it.
    pub admin: Admin,
    /// Unseals it.
    pub unseal_key: String,
}

impl OwnVault {
    /// Starts one, in memory unless the flags say otherwise.
    pub fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(variable("TRUNKLINE_TEST_VAULT_BIN"))
            .args(["-listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Vault of TRUNKLINE_TEST_VAULT_BIN starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).expect("one line of JSON");
        // Root token and unseal key are told once, at the first start of a storage.
        let text = |field: &str| started[field].as_str().unwrap_or_default().to_owned();
        let admin = Admin { address: text("addr"), token: text("root_token") };
        Self { process, admin, unseal_key: text("unseal_key") }
    }
}

impl Drop for OwnVault {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
