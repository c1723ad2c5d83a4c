//! A journal that keeps an event and does not get to say so.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use trunkline::keys::StaticKeys;
use trunkline::{Client, Clock, ErrorKind, Journal, WebhookErrorKind};
use trunkline_core_types::VirtualClock;

use crate::faulty::{Fault, Faulty};
use crate::peer::{Peer, account};
use crate::rig::keyed;
use crate::webhooks::{body, signed};

const SECRET: &str = "secret";

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_ends_its_lease_although_nobody_hears_that_it_was_kept() {
    let (peer, clock) = (Peer::new([]), Arc::new(VirtualClock::new()));
    let journal = Faulty::new(clock.clone());
    journal.set(Fault::HearAnswer);
    let capped = account(&peer)
        .signing_keys(StaticKeys::new(SECRET.into()).unwrap())
        .live_calls(NonZeroU32::MIN, Duration::from_secs(3_600));
    let client = Client::builder(Journal::custom(journal.clone()))
        .clock(clock.clone())
        .account(capped)
        .build()
        .unwrap();
    client.place(keyed("k")).await.unwrap();
    let (webhooks, main) = (client.webhooks(), "main".parse().unwrap());
    let over = signed(&body("e1", clock.wall(), "completed", "k"), SECRET);
    let error = webhooks.accept(&main, &over).await.unwrap_err();
    assert_eq!(error.kind(), WebhookErrorKind::Unavailable);
    journal.set(None);
    assert!(webhooks.accept(&main, &over).await.unwrap().duplicate, "it was kept");
    let quick = |key| keyed(key).timeout(Duration::from_secs(1));
    assert!(client.place(quick("l")).await.is_ok(), "the line is free");
    assert_eq!(client.place(quick("m")).await.unwrap_err().kind(), ErrorKind::Unsent, "and taken again");
}
