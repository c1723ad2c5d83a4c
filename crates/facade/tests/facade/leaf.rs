//! An account over a leaf of the user's: reqwest, judged by the simulator's book.

use std::sync::Arc;
use std::time::Duration;

use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Client, Journal, NewCall, Provider, ReqwestService, RetrySettings, SystemClock,
    TransportSettings,
};
use trunkline_simulator::{Fault, Simulator};

#[tokio::test]
async fn a_reqwest_leaf_stands_at_the_foot_of_the_whole_stack() {
    let sim = Simulator::builder().require_signature().start().await.unwrap();
    let keys = |value: &str| StaticKeys::new(value.into()).unwrap();
    let provider = Arc::new(ClaudeVoice::new(&sim.base_url()).unwrap());
    let leaf = ReqwestService::new(
        provider.origin().parse().unwrap(),
        TransportSettings::default(),
        provider.clone(),
        Arc::new(SystemClock::new()),
    );
    let account = Account::shared("main", provider, Arc::new(keys(sim.api_key())))
        .unwrap()
        .signing_keys(keys(sim.signing_secret()))
        .service(Arc::new(leaf.unwrap()));
    let mut retry = RetrySettings::default();
    retry.base = Duration::from_millis(20);
    let client = Client::builder(Journal::in_memory()).account(account).retry(retry).build().unwrap();

    sim.fault_next(Fault::ResetAfterActing);
    let placed = client.place(NewCall::say("+14155550123", "hello").unwrap()).await.unwrap();
    assert_eq!((placed.tries, sim.times_rung("+14155550123")), (2, 1));
    // A documented refusal reads as such, so the leaf asked the provider's judge.
    sim.fault_next(Fault::Throttle { retry_after: 1 });
    let placed = client.place(NewCall::say("+14155550124", "hello").unwrap()).await.unwrap();
    assert_eq!((placed.tries, sim.times_rung("+14155550124")), (2, 1));
    let reference = placed.reference.unwrap();
    assert!(client.hang_up(&reference).await.unwrap().status.is_final());
    assert_eq!(sim.book().duplicates, 0);
}
