//! What a journal kept of a reply, and what `place` makes of it: whatever it is, nobody is rung again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use secrecy::SecretString;
use trunkline::{Account, Client, ErrorKind, Journal, NewCall, Order};
use trunkline_auth_secrets::StaticKeys;
use trunkline_core_types::{
    AttemptJournal, BoxFuture, Claim, Class, IdempotencyKey, Intent, JournalError, Reply, Scope, VirtualClock,
};

use crate::wire::{self, PeerDial};
use crate::{quiet, reply};

/// A record as it stands.
pub fn check(data: &[u8]) {
    let record = Bytes::copy_from_slice(data);
    if let Some((account, reply)) = Reply::from_record(&record) {
        assert_eq!(reply.to_record(&account), record, "another record");
        assert!(reply.body().is_empty() || !format!("{reply:?}").contains('{'));
    }
    for class in [Class::Accepted, Class::Rejected(Scope::Call)] {
        placed_before(class, &record);
    }
}

fn placed_before(class: Class, record: &Bytes) {
    let peer = PeerDial::new(b"", 1, false, 0);
    let placed = wire::run(async {
        let client = client(Kept(class, record.clone()), peer.clone());
        let order = NewCall::say("+14155550123", "Hello.").map(Order::new).and_then(|order| order.key("k-1"));
        let Ok(order) = order else { unreachable!("an order") };
        client.place(order).await
    });
    assert_eq!(peer.peer().dialled, 0, "rung again");
    match placed {
        Ok(placed) => {
            assert!(placed.replayed && class == Class::Accepted);
            if let Some(call) = placed.call {
                reply::comes_back(&reply::voice(), &call);
            }
        }
        Err(error) => {
            assert!(class != Class::Accepted, "a call that was placed is an error: {error:?}");
            assert!(matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Ambiguous), "{error:?}");
            quiet::error(&error);
        }
    }
}

fn client(journal: Kept, dial: PeerDial) -> Client {
    let Ok(keys) = StaticKeys::new(SecretString::from("canary-key-7f3a")) else { unreachable!("a key") };
    let account = match Account::new("main", reply::voice(), keys) {
        Ok(account) => account.dial(Arc::new(dial)),
        Err(error) => panic!("{error}"),
    };
    let builder = Client::builder(Journal::custom(Arc::new(journal))).account(account);
    match builder.clock(Arc::new(VirtualClock::new())).build() {
        Ok(client) => client,
        Err(error) => panic!("{error}"),
    }
}

/// A journal in which every key has its answer.
#[derive(Debug)]
struct Kept(Class, Bytes);

type Step<'a, T> = BoxFuture<'a, Result<T, JournalError>>;

impl AttemptJournal for Kept {
    fn claim<'a>(&'a self, _: &'a Arc<Intent>) -> Step<'a, Claim> {
        let settled = Claim::Settled(self.0, Some(self.1.clone()));
        std::future::ready(Ok(settled)).boxed()
    }

    fn begin<'a>(&'a self, _: &'a Arc<Intent>, _: u32) -> Step<'a, ()> {
        panic!("an attempt of a call that has its answer")
    }

    fn end(&self, _: &IdempotencyKey, _: u32, _: Class, _: Option<Bytes>) -> Result<(), JournalError> {
        Ok(())
    }

    fn settle(&self, _: &IdempotencyKey, _: Class, _: Option<Bytes>) -> Result<(), JournalError> {
        Ok(())
    }

    fn open_calls<'a>(
        &'a self,
        _: std::time::SystemTime,
        _: Option<&'a IdempotencyKey>,
        _: usize,
    ) -> Step<'a, Vec<Arc<Intent>>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}
