//! Each fault over the wire: what the client sees, what the book says, what a repeat under the key gets.

use std::io::ErrorKind;

use trunkline_simulator::{Fault, Faults, Simulator};

use crate::client::{BODY, Client, HandClock, ask, bearer, create};

/// Rings and the replay header after a fault and one repeat under the same key.
async fn repeat(simulator: &Simulator) -> (u32, bool) {
    let rung = simulator.times_rung("+14155550123");
    let answer = create(simulator, "k", BODY).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(simulator.times_rung("+14155550123"), 1);
    (rung, answer.header("idempotent-replayed").is_some())
}

#[tokio::test]
async fn a_reset_before_acting_rings_nobody() {
    let simulator = Simulator::start().await.unwrap();
    simulator.fault_next(Fault::ResetBeforeActing);
    let error = create(&simulator, "k", BODY).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(repeat(&simulator).await, (0, false));
    assert_eq!(simulator.book().faults.get("reset_before_acting"), Some(&1));
}

#[tokio::test]
async fn a_reset_after_acting_rings() {
    let simulator = Simulator::start().await.unwrap();
    simulator.fault_next(Fault::ResetAfterActing);
    let error = create(&simulator, "k", BODY).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(repeat(&simulator).await, (1, true));
}

#[tokio::test]
async fn errors_before_and_after_acting_look_alike() {
    for (fault, after) in [(Fault::ErrorBeforeActing, (0, false)), (Fault::ErrorAfterActing, (1, true))] {
        let simulator = Simulator::start().await.unwrap();
        simulator.fault_next(fault);
        let answer = create(&simulator, "k", BODY).await.unwrap();
        assert_eq!((answer.status, answer.error().0), (500, "api".to_owned()));
        assert_eq!(repeat(&simulator).await, after, "{fault:?}");
    }
}

#[tokio::test]
async fn a_throttle_is_no_violation() {
    let simulator = Simulator::start().await.unwrap();
    simulator.fault_next(Fault::Throttle { retry_after: 7 });
    let answer = create(&simulator, "k", BODY).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(repeat(&simulator).await, (0, false));
    assert_eq!(simulator.book().pace_violations, 0);
}

#[tokio::test]
async fn a_lost_track_is_found_by_its_key() {
    let simulator = Simulator::start().await.unwrap();
    simulator.fault_next(Fault::LostTrack);
    for _ in 0..2 {
        let answer = create(&simulator, "k", BODY).await.unwrap();
        assert_eq!((answer.status, answer.error().0), (409, "idempotency_state_unknown".to_owned()));
    }
    let found = ask(&simulator, "GET /v1/calls?idempotency_key=k", "", "").await.unwrap().json();
    assert_eq!(found["data"][0]["call_id"], simulator.calls()[0].call_id);
    assert_eq!(simulator.book().calls, 1);
}

#[tokio::test]
async fn a_truncated_reply_has_its_head_and_half_its_body() {
    let simulator = Simulator::builder().seed(1).clock(HandClock::new()).start().await.unwrap();
    let whole = create(&simulator, "k0", &BODY.replace("0123", "0100")).await.unwrap().text.len();
    simulator.fault_next(Fault::TruncatedReply);
    let error = create(&simulator, "k", BODY).await.unwrap_err();
    // The key, and with it the body, is one character shorter.
    let whole = whole - 1;
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(error.to_string(), format!("201, {} of {whole}", whole / 2));
    assert_eq!(repeat(&simulator).await, (1, true));
}

#[tokio::test]
async fn a_close_after_the_reply_leaves_a_stale_connection() {
    let simulator = Simulator::builder().clock(HandClock::new()).start().await.unwrap();
    simulator.fault_next(Fault::CloseAfterReply);
    let mut client = Client::connect(&simulator).await;
    let headers = bearer(&simulator, "Idempotency-Key: k");
    let answer = client.ask("POST /v1/calls", &headers, BODY).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (201, None));
    // The clock stands still, so no deadline closes it.
    assert!(client.answer().await.is_err());
    assert_eq!(repeat(&simulator).await, (1, true));
}

#[tokio::test]
async fn queued_faults_come_in_order() {
    let simulator = Simulator::start().await.unwrap();
    for fault in [Fault::ErrorBeforeActing, Fault::Throttle { retry_after: 1 }] {
        assert!(simulator.fault_next(fault));
    }
    let mut statuses = Vec::new();
    for n in 0..3 {
        statuses.push(create(&simulator, &format!("k{n}"), BODY).await.unwrap().status);
    }
    assert_eq!(statuses, [500, 429, 201]);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let mut books = Vec::new();
    for seed in [5, 5, 6] {
        let mut faults = Faults::hostile();
        faults.slow = 0;
        let simulator =
            Simulator::builder().faults(faults).seed(seed).clock(HandClock::new()).start().await.unwrap();
        for n in 0..50 {
            let body = BODY.replace("0123", &format!("{n:04}"));
            let _ = create(&simulator, &format!("k{n}"), &body).await;
        }
        let calls: Vec<String> = simulator.calls().into_iter().map(|call| call.call_id).collect();
        books.push((simulator.book(), calls));
    }
    assert_eq!(books[0], books[1]);
    assert_ne!(books[0], books[2]);
    assert!(books[0].0.faults.len() > 3, "{:?}", books[0].0.faults);
}
