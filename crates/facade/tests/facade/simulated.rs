//! Over real sockets, judged by the simulator's book.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, ErrorKind, Journal, NewCall, Order, RetrySettings};
use trunkline_simulator::{Fault, Faults, Simulator};

fn quick() -> RetrySettings {
    let mut settings = RetrySettings::default();
    settings.base = Duration::from_millis(20);
    settings
}

fn account(sim: &Simulator) -> Account {
    let keys = |value: &str| StaticKeys::new(value.into()).unwrap();
    Account::new("main", ClaudeVoice::new(&sim.base_url()).unwrap(), keys(sim.api_key()))
        .unwrap()
        .signing_keys(keys(sim.signing_secret()))
}

fn client(sim: &Simulator) -> Client {
    Client::builder(Journal::in_memory()).account(account(sim)).retry(quick()).build().unwrap()
}

#[tokio::test]
async fn a_signed_call_is_placed_read_and_hung_up() {
    let sim = Simulator::builder().require_signature().start().await.unwrap();
    let client = client(&sim);
    let placed = client.place(NewCall::say("+14155550123", "您好").unwrap()).await.unwrap();
    let reference = placed.reference.unwrap();
    assert_eq!(client.get(&reference).await.unwrap().id, reference.id);
    assert!(client.hang_up(&reference).await.unwrap().status.is_final());
    let book = sim.book();
    assert_eq!((sim.times_rung("+14155550123"), book.duplicates, book.signatures_refused), (1, 0, 0));
    assert!(book.signatures_verified >= 3, "{book:?}");
}

#[tokio::test]
async fn every_fault_ends_in_one_class_and_nobody_is_rung_twice() {
    let faults = [
        (Fault::ResetBeforeActing, 1),
        (Fault::ResetAfterActing, 1),
        (Fault::ErrorBeforeActing, 1),
        (Fault::ErrorAfterActing, 1),
        (Fault::Throttle { retry_after: 1 }, 1),
        (Fault::TruncatedReply, 1),
        (Fault::Slow(Duration::from_millis(50)), 1),
    ];
    for (fault, rung) in faults {
        let sim = Simulator::start().await.unwrap();
        sim.fault_next(fault);
        let placed = client(&sim).place(NewCall::say("+14155550123", "hello").unwrap()).await;
        assert!(placed.is_ok(), "{fault:?}: {placed:?}");
        assert_eq!((sim.times_rung("+14155550123"), sim.book().duplicates), (rung, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_rejected_and_rings_nobody() {
    let sim = Simulator::start().await.unwrap();
    let voice = ClaudeVoice::new(&sim.base_url()).unwrap();
    let wrong = Account::new("main", voice, StaticKeys::new("wrong".into()).unwrap()).unwrap();
    let client = Client::builder(Journal::in_memory()).account(wrong).retry(quick()).build().unwrap();
    let error = client.place(NewCall::say("+14155550123", "hello").unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::Rejected, 401));
    assert_eq!(sim.book().calls, 0);
}

#[tokio::test]
async fn many_calls_under_faults_agree_with_the_simulator_s_book() {
    let sim = Simulator::builder().faults(Faults::some()).seed(7).require_signature().start().await.unwrap();
    let orders = (0..150).map(|n| {
        let call = NewCall::say(&format!("+1415555{n:04}"), "hello").unwrap();
        Order::new(call).key(&format!("row-{n}")).unwrap()
    });
    let results: Vec<_> = client(&sim).place_all(stream::iter(orders)).collect().await;
    assert_eq!(results.len(), 150);
    for (key, result) in &results {
        let number = format!("+1415555{:04}", key.as_str()[4..].parse::<u32>().unwrap());
        let rung = sim.times_rung(&number);
        match result {
            Ok(_) => assert_eq!(rung, 1, "{key:?}"),
            Err(error) if error.is_ambiguous() => assert!(rung <= 1, "{key:?}"),
            Err(error) => assert_eq!(rung, 0, "{key:?} {error}"),
        }
    }
    let book = sim.book();
    assert_eq!((book.duplicates, book.pace_violations, book.signatures_refused), (0, 0, 0), "{book:?}");
}
