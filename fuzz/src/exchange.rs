//! What a server writes on a connection: whatever it is, the class says what is known.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Uri};
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, HttpService as _, Idempotency, Intent, StatusOnly, VirtualClock,
};
use trunkline_transport::{HttpClient, TransportSettings};

use crate::quiet;
use crate::wire::{self, PeerDial};

const MAX_REPLY: usize = 2048;
/// Two reads of the longest head.
const MAX_READ: usize = 2 * 8 * 1024 + MAX_REPLY + 64 * 1024;

/// The first byte is the size of a packet, the second says whether the server hangs at the end; then its bytes.
pub fn check(data: &[u8]) {
    let [chunk, stays, says @ ..] = data else { return };
    let peer = PeerDial::new(says, usize::from(*chunk), stays % 2 == 1, 1);
    let outcome = wire::run(async {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let mut settings = TransportSettings::default();
        (settings.max_reply, settings.max_head) = (MAX_REPLY, 8 * 1024);
        let dial = Arc::new(peer.clone());
        let Ok(origin) = "http://127.0.0.1:9".parse() else { unreachable!("an origin") };
        let client = match HttpClient::with_dial(
            origin,
            settings,
            Arc::new(StatusOnly::default()),
            clock.clone(),
            dial,
        ) {
            Ok(client) => client,
            Err(error) => panic!("{error}"),
        };
        client.send(create(&*clock)).await
    });
    let begun = !peer.peer().heard.is_empty();
    let unheard = peer.peer().told == 0;
    assert!(peer.peer().told <= MAX_READ, "read without a bound");
    match &outcome.result {
        Ok(reply) => {
            assert!(says.starts_with(b"HTTP/1.") || says.windows(7).any(|part| part == b"HTTP/1."));
            assert!(reply.body().len() <= MAX_REPLY);
            assert_eq!(outcome.class == Class::Accepted, reply.status().is_success());
        }
        Err(error) => {
            quiet::error(error);
            assert_eq!(
                outcome.class == Class::Accepted,
                error.status().is_some_and(|status| status.is_success())
            );
        }
    }
    assert_eq!(outcome.class == Class::Unsent, !begun, "{outcome:?}");
    assert!(!unheard || matches!(outcome.class, Class::Ambiguous | Class::Unsent), "{outcome:?}");
}

fn create(clock: &dyn Clock) -> Attempt {
    let mut request = Request::new(Bytes::from_static(b"{\"to\":\"+14155550123\"}"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("http://127.0.0.1:9/v1/calls");
    let (Ok(key), Ok(account)) = ("k-1".parse(), "main".parse()) else { unreachable!("words") };
    let intent = Intent { key, account, detail: Bytes::new(), fence: SystemTime::UNIX_EPOCH };
    let deadline = Deadline::At(clock.now() + Duration::from_secs(5));
    Attempt::create(request, Arc::new(intent), Idempotency::No, deadline)
}
