//! Placing calls: the reply, idempotency, pace, refusals.

use std::num::NonZeroU32;
use std::time::Duration;

use trunkline_simulator::{Fault, Simulator};

use crate::client::{BODY, Client, HandClock, ask, bearer, create, request};

#[tokio::test]
async fn a_create_rings_once_and_answers_the_call() {
    let clock = HandClock::new();
    clock.advance(Duration::from_micros(999));
    let simulator = Simulator::builder().clock(clock).start().await.unwrap();
    let body = r#"{"to":"+14155550123","tts":"Hi","tags":{"b":"1","a":"2"},"from":"+14155550199","x":1}"#;
    let answer = create(&simulator, "k-1", body).await.unwrap();
    assert_eq!(answer.status, 201);
    let id = answer.json()["call_id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.text,
        format!(
            r#"{{"call_id":"{id}","status":"queued","to":"+14155550123","from":"+14155550199","timestamps":{{"created":"2026-01-31T08:00:00Z"}},"cost":0.015,"currency":"USD","tags":{{"b":"1","a":"2"}},"idempotency_key":"k-1"}}"#
        )
    );
    assert!(id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    assert_eq!(answer.header("date"), Some("Sat, 31 Jan 2026 08:00:00 GMT"));
    assert!(answer.header("request-id").is_some_and(|id| id.starts_with("req_")));
    let book = simulator.book();
    assert_eq!((book.calls, book.people, book.duplicates, book.creates), (1, 1, 0, 1));
    let call = simulator.calls().remove(0);
    assert_eq!((call.call_id, call.said, call.idempotency_key.as_deref()), (id, "Hi".into(), Some("k-1")));
    assert_eq!(call.status, "queued");
}

#[tokio::test]
async fn a_repeat_without_a_key_is_a_duplicate() {
    let simulator = Simulator::start().await.unwrap();
    for _ in 0..3 {
        assert_eq!(create(&simulator, "", BODY).await.unwrap().status, 201);
    }
    assert_eq!(create(&simulator, "", &BODY.replace("0123", "0124")).await.unwrap().status, 201);
    let book = simulator.book();
    assert_eq!((book.calls, book.people, book.duplicates), (4, 2, 2));
    assert_eq!((simulator.times_rung("+14155550123"), simulator.times_rung("+14155550124")), (3, 1));
    assert_eq!(simulator.times_rung("+14155550125"), 0);
}

#[tokio::test]
async fn a_key_replays_its_first_success_as_it_was() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    let first = create(&simulator, "k", BODY).await.unwrap();
    assert_eq!(first.header("idempotent-replayed"), None);
    clock.advance(Duration::from_secs(10));
    let again = create(&simulator, "k", BODY).await.unwrap();
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = create(&simulator, "k", &format!("{BODY} ")).await.unwrap();
    assert_eq!((other.status, other.error().0), (409, "idempotency_conflict".to_owned()));
    assert_eq!((simulator.book().calls, simulator.book().replays), (1, 1));
    clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(create(&simulator, "k", BODY).await.unwrap().header("idempotent-replayed"), None);
    assert_eq!(simulator.times_rung("+14155550123"), 2);
}

#[tokio::test]
async fn an_error_leaves_the_key_free() {
    let simulator = Simulator::start().await.unwrap();
    assert_eq!(create(&simulator, "k", r#"{"to":"+14155550123"}"#).await.unwrap().status, 400);
    simulator.fault_next(Fault::ErrorBeforeActing);
    assert_eq!(create(&simulator, "k", BODY).await.unwrap().status, 500);
    let placed = create(&simulator, "k", BODY).await.unwrap();
    assert_eq!((placed.status, placed.header("idempotent-replayed")), (201, None));
}

#[tokio::test]
async fn a_running_key_is_in_progress_until_its_reply() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    simulator.fault_next(Fault::Slow(Duration::from_secs(5)));
    let mut slow = Client::connect(&simulator).await;
    let headers = bearer(&simulator, "Idempotency-Key: k");
    slow.send(request("POST /v1/calls", &headers, BODY).as_bytes()).await.unwrap();
    while simulator.book().calls == 0 {
        tokio::task::yield_now().await;
    }
    let second = create(&simulator, "k", BODY).await.unwrap();
    assert_eq!((second.status, second.error().0), (409, "idempotency_in_progress".to_owned()));
    assert_eq!(second.header("retry-after"), Some("1"));
    // The call's life shows the time, so the connection's watch and the slow reply are both asleep here.
    clock.sleepers(1).await;
    clock.advance(Duration::from_secs(5));
    assert_eq!(slow.answer().await.unwrap().status, 201);
    assert_eq!(create(&simulator, "k", BODY).await.unwrap().header("idempotent-replayed"), Some("true"));
    assert_eq!(simulator.book().duplicates, 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_the_call_and_ends_the_key_s_run() {
    let simulator = Simulator::builder().clock(HandClock::new()).start().await.unwrap();
    simulator.fault_next(Fault::Slow(Duration::from_secs(5)));
    let mut gone = Client::connect(&simulator).await;
    let headers = bearer(&simulator, "Idempotency-Key: k");
    gone.send(request("POST /v1/calls", &headers, BODY).as_bytes()).await.unwrap();
    while simulator.book().calls == 0 {
        tokio::task::yield_now().await;
    }
    drop(gone);
    let replay = loop {
        let answer = create(&simulator, "k", BODY).await.unwrap();
        if answer.status != 409 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    assert_eq!(simulator.times_rung("+14155550123"), 1);
}

#[tokio::test]
async fn ignored_keys_ring_again_and_are_still_found() {
    let simulator = Simulator::builder().ignore_idempotency().start().await.unwrap();
    for _ in 0..2 {
        assert_eq!(create(&simulator, "k", BODY).await.unwrap().header("idempotent-replayed"), None);
    }
    assert_eq!(simulator.book().duplicates, 1);
    let page = ask(&simulator, "GET /v1/calls?idempotency_key=k", "", "").await.unwrap().json();
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn above_the_pace_nobody_is_rung() {
    let clock = HandClock::new();
    let rate = NonZeroU32::new(2).unwrap();
    let builder = Simulator::builder().rate(rate).rate_tolerance(Duration::ZERO).clock(clock.clone());
    let simulator = builder.start().await.unwrap();
    for n in 0..3 {
        assert_eq!(create(&simulator, &format!("k{n}"), BODY).await.unwrap().status, 201);
    }
    let over = create(&simulator, "k3", BODY).await.unwrap();
    assert_eq!((over.status, over.error().0), (429, "rate_limit".to_owned()));
    assert_eq!(over.header("retry-after"), Some("2"), "the window is closed: a whole second is not enough");
    assert_eq!(ask(&simulator, "GET /v1/calls", "", "").await.unwrap().status, 200);
    assert_eq!((simulator.book().calls, simulator.book().pace_violations), (3, 1));
    clock.advance(Duration::from_millis(1001));
    assert_eq!(create(&simulator, "k3", BODY).await.unwrap().status, 201);
}

#[tokio::test]
async fn what_the_contract_forbids_is_named() {
    let simulator = Simulator::start().await.unwrap();
    let auth = format!("Authorization: Bearer {}", simulator.api_key());
    let cases = [
        ("", BODY, "content-type"),
        ("Content-Type: text/plain", BODY, "content-type"),
        ("Content-Type: application/json\nContent-Type: application/json", BODY, "content-type"),
        ("Content-Type: application/json", "{", "body"),
        ("Content-Type: application/json", r#"{"to":"0","tts":"a"}"#, "to"),
        ("Content-Type: application/json\nIdempotency-Key: a b", BODY, "idempotency-key"),
        ("Content-Type: application/json\nIdempotency-Key: ", BODY, "idempotency-key"),
        ("Content-Type: application/json\nIdempotency-Key: a\nIdempotency-Key: a", BODY, "idempotency-key"),
    ];
    for (headers, body, param) in cases {
        let headers = format!("{auth}\n{headers}");
        let answer = Client::connect(&simulator).await.ask("POST /v1/calls", &headers, body).await.unwrap();
        assert_eq!(answer.status, 400, "{headers}");
        assert_eq!(answer.error(), ("invalid_request".to_owned(), param.to_owned()), "{headers}");
        assert!(answer.header("request-id").is_some());
    }
    let headers = format!("{auth}\nContent-Type: Application/JSON ; charset=utf-8");
    let answer = Client::connect(&simulator).await.ask("POST /v1/calls", &headers, BODY).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(simulator.book().calls, 1);
}
