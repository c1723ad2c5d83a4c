//! A journal that fails at a later page of its open calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline::{Client, Clock, Journal};
use trunkline_core_types::{AttemptJournal, Intent, VirtualClock};

use crate::faulty::{Fault, Faulty};
use crate::peer::{Does, Peer, account};

const NONE: &str = r#"{"data":[],"has_more":false,"last_id":null}"#;

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_takes_nothing_from_the_pages_before() {
    let clock = Arc::new(VirtualClock::new());
    let journal = Faulty::new(clock.clone());
    journal.set(Fault::SecondPage);
    for n in 0..300 {
        let intent = Arc::new(Intent {
            key: format!("k{n:03}").parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: Bytes::new(),
            fence: clock.wall(),
        });
        journal.claim(&intent).await.unwrap();
        journal.begin(&intent, 1).await.unwrap();
    }
    let peer = Peer::new((0..300).map(|_| Does::Answers(200, NONE)));
    let client = Client::builder(Journal::custom(journal))
        .clock(clock.clone())
        .account(account(&peer))
        .build()
        .unwrap();
    clock.sleep_until(clock.now() + Duration::from_secs(100)).await;
    let report = client.reconciler().run_once(1_000).await;
    assert_eq!((report.findings.len(), report.proven_absent), (256, 256));
    assert!(report.error.is_some(), "and it says what failed");
    let report = client.reconciler().run_once(1_000).await;
    assert_eq!((report.findings.len(), report.error.is_some()), (44, false), "it goes on from there");
}
