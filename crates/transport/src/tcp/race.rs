//! One connection out of several addresses, of which one that never answers holds up the others for a moment only.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use trunkline_core_types::{Clock, ClockExt};

/// How long an address has for itself before the next one is tried beside it: RFC 8305 (Happy Eyeballs), section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// The first connection that is made. An address that fails makes room for the next one at once; the error of the last to fail, `None`
/// without an address. Whatever is under way then is dropped.
pub(super) async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    clock: &dyn Clock,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<E>>
where
    F: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: Send,
{
    let (mut waiting, mut running, mut last) = (in_turn(addresses).into_iter(), Vec::new(), None);
    loop {
        running.extend(waiting.next().map(|address| Box::pin(connect(address))));
        let ended = poll_fn(|cx| poll_one(&mut running, cx));
        let ended = match waiting.len() {
            0 => Some(ended.await),
            _ => clock.bounded(clock.now() + HEAD_START, ended).await,
        };
        match ended {
            Some(Some(Ok(connected))) => return Ok(connected),
            Some(Some(Err(error))) => last = Some(error),
            Some(None) if waiting.len() == 0 => return Err(last),
            Some(None) | None => {}
        }
    }
}

/// What one of them ended with, which is then no more among them; `None` if there is none.
fn poll_one<T, F: Future<Output = T>>(
    running: &mut Vec<Pin<Box<F>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    let ended = running.iter_mut().enumerate().find_map(|(at, future)| match future.as_mut().poll(cx) {
        Poll::Ready(ended) => Some((at, ended)),
        Poll::Pending => None,
    });
    match ended {
        Some((at, ended)) => {
            running.remove(at);
            Poll::Ready(Some(ended))
        }
        None if running.is_empty() => Poll::Ready(None),
        None => Poll::Pending,
    }
}

/// Both families in turn, beginning with that of the first address: the resolver's order is that of preference, and a network may have
/// lost one of them (RFC 8305, section 4).
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first.is_ipv6());
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(preferred.next());
        order.extend(others.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;
    use trunkline_core_types::VirtualClock;

    const MS: Duration = Duration::from_millis(1);

    /// After how long an address answers, and whether it connects; none: never.
    type Script = &'static [Option<(u64, bool)>];

    fn address(port: usize) -> SocketAddr {
        ([127, 0, 0, 1], port as u16).into()
    }

    /// The port that won or failed last, the time it took, and when each was tried.
    async fn run(script: Script) -> (Result<u16, Option<u16>>, Duration, Vec<u128>) {
        let (clock, tried) = (VirtualClock::new(), Mutex::new(Vec::<Instant>::new()));
        let began = clock.now();
        let connect = |address: SocketAddr| {
            tried.lock().unwrap().push(clock.now());
            async move {
                let Some((after, connects)) = script[usize::from(address.port())] else {
                    return std::future::pending().await;
                };
                VirtualClock::new().sleep_until(began + Duration::from_millis(after)).await;
                if connects { Ok(address.port()) } else { Err(address.port()) }
            }
        };
        let addresses = (0..script.len()).map(address).collect();
        let result = race(addresses, &clock, connect).await;
        let tried = tried.lock().unwrap().iter().map(|at| (*at - began).as_millis()).collect();
        (result, clock.now() - began, tried)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_never_answers_holds_up_the_next_for_a_moment_only() {
        assert_eq!(run(&[None, None, Some((501, true))]).await, (Ok(2), 501 * MS, vec![0, 250, 500]));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_soon_is_the_only_one_tried() {
        assert_eq!(run(&[Some((249, true)), Some((0, true))]).await, (Ok(0), 249 * MS, vec![0]));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_makes_room_at_once_and_the_last_error_is_told() {
        let failing = run(&[Some((10, false)), Some((20, false)), Some((30, false))]).await;
        assert_eq!(failing, (Err(Some(2)), 30 * MS, vec![0, 10, 20]));
        assert_eq!(run(&[]).await, (Err(None), Duration::ZERO, vec![]));
        let late = run(&[Some((300, false)), Some((400, true)), Some((0, false))]).await;
        assert_eq!(late, (Ok(1), 400 * MS, vec![0, 250, 300]));
    }

    #[test]
    fn the_families_take_turns() {
        let parse =
            |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let want = parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(in_turn(found), want);
        assert_eq!(in_turn(parse(&["1.1.1.1:1"])), parse(&["1.1.1.1:1"]));
    }
}
