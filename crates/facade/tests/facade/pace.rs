//! A pace that is set while the client runs.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use trunkline::{Clock, ErrorKind, NewCall, Order, Rate};
use trunkline_core_types::VirtualClock;

use crate::peer::{Peer, account, builder, per_second};

fn orders(from: u32, count: u32) -> impl Iterator<Item = Order> {
    (from..from + count).map(|n| {
        let call = NewCall::say(&format!("+1415555{n:04}"), "hello").unwrap();
        Order::new(call).key(&format!("row-{n}")).unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn a_pace_that_is_set_holds_from_then_on_for_whoever_waits() {
    let peer = Peer::new([]);
    let client = builder().account(account(&peer).pace(per_second(5))).build().unwrap();
    let main = "main".parse().unwrap();
    let clock = VirtualClock::new();
    let waiting = client.place_all(stream::iter(orders(0, 30))).collect::<Vec<_>>();
    let change = async {
        for (after, pace) in [(2_050, 20), (500, 1)] {
            clock.sleep_until(clock.now() + Duration::from_millis(after)).await;
            client.set_pace(&main, per_second(pace)).unwrap();
        }
    };
    let (results, ()) = futures_util::future::join(waiting, change).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    let times: Vec<_> = peer.requests.lock().unwrap().iter().map(|(at, _)| *at).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() / 10 * 10).collect();
    let of = |gap| gaps.iter().filter(|known| **known == gap).count();
    assert!((of(200), of(50), of(1_000)) == (10, 9, 8), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pace_for_nobody_or_above_the_ceiling_is_bad_input() {
    let peer = Peer::new([]);
    let client = builder().account(account(&peer).pace(per_second(5))).build().unwrap();
    let set =
        |account: &str, pace: Rate| client.set_pace(&account.parse().unwrap(), pace).map_err(|e| e.kind());
    assert_eq!(set("other", per_second(1)), Err(ErrorKind::Input));
    assert_eq!(set("main", per_second(51)), Err(ErrorKind::Input));
    assert_eq!(set("main", per_second(50)), Ok(()));
}
