//! A reply that is lost while its callback came, over a journal that is slow to say so.

use std::time::Duration;

use trunkline::Clock;
use trunkline::keys::StaticKeys;
use trunkline_core_types::VirtualClock;

use crate::peer::Does;
use crate::rig::{Delays, Rig, keyed};
use crate::webhooks::{body, signed};

/// A call of 5 s whose reply is lost after its callback came; how it ended, and after how long.
async fn placed_while_told(claim: Duration) -> (Rig, bool, Duration) {
    let delays = Delays { claim, ..Delays::default() };
    let secret = || StaticKeys::new("secret".into()).unwrap();
    let rig = Rig::new([Does::Hangs], delays, 0, |account| account.signing_keys(secret()));
    let clock = VirtualClock::new();
    let began = clock.now();
    let order = keyed("k").timeout(Duration::from_secs(5));
    let (ended, _) = tokio::join!(rig.client.place(order), async {
        clock.sleep_until(began + Duration::from_secs(4)).await;
        let event = signed(&body("e1", clock.wall(), "queued", "k"), "secret");
        rig.client.webhooks().accept(&"main".parse().unwrap(), &event).await.unwrap()
    });
    let placed = ended.map(|placed| placed.reference.unwrap().to_string());
    (rig, placed.is_ok_and(|reference| reference == "main/call_7"), clock.now() - began)
}

#[tokio::test(start_paused = true)]
async fn the_proof_is_heard_if_the_journal_says_so_in_time_and_replayed_later_if_not() {
    let (_, heard, took) = placed_while_told(Duration::ZERO).await;
    assert!(heard && took <= Duration::from_secs(5), "{took:?}");
    let (rig, heard, took) = placed_while_told(Duration::from_secs(1)).await;
    assert!(!heard && took <= Duration::from_secs(5), "the call's time is over: {took:?}");
    let again = rig.client.place(keyed("k")).await.unwrap();
    assert_eq!((again.replayed, again.reference.unwrap().to_string().as_str()), (true, "main/call_7"));
    assert_eq!(rig.peer.count(), 1);
}
