//! Queue time in virtual time: what a ringing tells of the provider's queue slows the account down, if it has a bound.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use trunkline::keys::StaticKeys;
use trunkline::{Account, Client, Clock, Fact, NewCall, Observer, Order, Timestamp};
use trunkline_core_types::VirtualClock;

use crate::peer::{Peer, account, builder, per_second};
use crate::webhooks::{body, signed};

const SECRET: &str = "secret";

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<String>>);

impl Observer for Seen {
    fn saw(&self, fact: Fact) {
        if let Fact::Queued { .. } | Fact::PaceShare { .. } = fact {
            self.0.lock().unwrap().push(format!("{fact:?}"));
        }
    }
}

fn client(peer: &Arc<Peer>, change: impl FnOnce(Account) -> Account) -> (Client, Arc<Seen>) {
    let (seen, keys) = (Arc::new(Seen::default()), StaticKeys::new(SECRET.into()).unwrap());
    let account = change(account(peer).pace(per_second(10)).signing_keys(keys));
    (builder().account(account).observer(seen.clone()).build().unwrap(), seen)
}

/// Tells of a call that was created so long ago.
async fn tell(client: &Client, id: &str, status: &str, queued: Duration) {
    let now = VirtualClock::new().wall();
    let at = |time| Timestamp::try_from(time).unwrap().to_string();
    let text = body(id, now, status, "");
    let created = format!(r#""timestamps":{{"created":"{}"}}"#, at(now));
    let text = text.replace(&created, &created.replace(&at(now), &at(now - queued)));
    let taken = client.webhooks().accept(&"main".parse().unwrap(), &signed(&text, SECRET)).await.unwrap();
    assert!(!taken.duplicate);
}

/// How long eleven calls take, from the first to the last.
async fn spread(client: &Client, peer: &Peer) -> Duration {
    let before = peer.count();
    let orders = (0..11).map(|n| Order::new(NewCall::say(&format!("+141555501{n:02}"), "hello").unwrap()));
    let placed = client.place_all(stream::iter(orders.collect::<Vec<_>>())).collect::<Vec<_>>().await;
    assert!(placed.iter().all(|(_, placed)| placed.is_ok()));
    let starts: Vec<Instant> = peer.requests.lock().unwrap()[before..].iter().map(|(at, _)| *at).collect();
    *starts.last().unwrap() - starts[0]
}

#[tokio::test(start_paused = true)]
async fn a_queue_above_the_account_s_bound_slows_its_calls_down_and_they_recover() {
    let peer = Peer::new([]);
    let bound = Duration::from_secs(2);
    let (client, seen) = client(&peer, |account| account.queue_bound(bound));
    assert!(spread(&client, &peer).await < Duration::from_millis(1_100));
    tell(&client, "e1", "ringing", bound).await;
    tell(&client, "e2", "answered", 10 * bound).await;
    assert!(
        spread(&client, &peer).await < Duration::from_millis(1_100),
        "within the bound, or no queue time"
    );
    tell(&client, "e3", "ringing", 3 * bound).await;
    let slowed = spread(&client, &peer).await;
    assert!(slowed > Duration::from_millis(1_300) && slowed < Duration::from_millis(1_500), "{slowed:?}");
    let clock = VirtualClock::new();
    clock.sleep_until(clock.now() + Duration::from_secs(60)).await;
    assert!(spread(&client, &peer).await < Duration::from_millis(1_100), "the pace is back");
    let want = [
        "Queued { waited: 2s }",
        "Queued { waited: 6s }",
        "PaceShare { percent: 75 }",
        "PaceShare { percent: 100 }",
    ];
    assert_eq!(*seen.0.lock().unwrap(), want);
}

#[tokio::test(start_paused = true)]
async fn without_a_bound_the_queue_is_only_measured() {
    let peer = Peer::new([]);
    let (client, seen) = client(&peer, |account| account);
    tell(&client, "e1", "ringing", Duration::from_secs(600)).await;
    assert!(spread(&client, &peer).await < Duration::from_millis(1_100));
    assert_eq!(*seen.0.lock().unwrap(), ["Queued { waited: 600s }"]);
}
