//! What is heard of calls outlives the client where the journal does.

use std::path::PathBuf;
use std::sync::Arc;

use trunkline::keys::StaticKeys;
use trunkline::{Client, Clock, Journal, NewCall, Order, SqliteJournal, SystemClock};

use crate::peer::{Does, Peer, account};
use crate::webhooks::{body, signed};

const SECRET: &str = "canary-secret";

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-heard-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn client(&self, peer: &Arc<Peer>) -> Client {
        let account = account(peer).signing_keys(StaticKeys::new(SECRET.into()).unwrap());
        Client::builder(Journal::sqlite(self.0.join("journal")).unwrap()).account(account).build().unwrap()
    }

    /// The first line of the export.
    fn exported(&self) -> String {
        let mut out = Vec::new();
        SqliteJournal::read_only(self.0.join("journal")).unwrap().export(&mut out).unwrap();
        String::from_utf8(out).unwrap().lines().next().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_repeat_is_known_after_a_restart_and_the_export_shows_the_call() {
    let (folder, main) = (Folder::new(), "main".parse().unwrap());
    let reply = r#"{"call_id":"call_7","status":"queued","timestamps":{"created":"2026-01-31T08:00:00Z"},"cost":0.015}"#;
    let peer = Peer::new([Does::Answers(201, reply)]);
    let client = folder.client(&peer);
    let order = Order::new(NewCall::say("+14155550123", "hello").unwrap()).key("k").unwrap();
    client.place(order).await.unwrap();
    drop(client);
    let line = folder.exported();
    assert!(line.contains(r#""call":"call_7""#) && line.contains(r#""status":"queued""#), "{line}");

    let request = signed(&body("e1", SystemClock::new().wall(), "completed", "k"), SECRET);
    let client = folder.client(&peer);
    let accepted = client.webhooks().accept(&main, &request).await.unwrap();
    assert!(accepted.known && !accepted.duplicate && accepted.state.is_over());
    drop(client);
    assert!(folder.exported().contains(r#""status":"completed""#), "{}", folder.exported());

    let client = folder.client(&peer);
    let again = client.webhooks().accept(&main, &request).await.unwrap();
    assert!(again.duplicate && again.known && again.state.is_over());
    let earlier = signed(&body("e0", SystemClock::new().wall(), "ringing", "k"), SECRET);
    let accepted = client.webhooks().accept(&main, &earlier).await.unwrap();
    assert!(!accepted.duplicate && accepted.state.is_over(), "an older rank does not lower it");
    let state = client.webhooks().state(&accepted.reference).await.unwrap().unwrap();
    assert_eq!(state, accepted.state);
}
