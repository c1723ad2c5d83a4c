//! Reading, listing, looking up and hanging up.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_simulator::Simulator;

use crate::client::{BODY, Client, HandClock, ask, create};

async fn get(simulator: &Simulator, path: &str) -> Value {
    let answer = ask(simulator, &format!("GET {path}"), "", "").await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_call_moves_with_the_clock() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    let created = create(&simulator, "", BODY).await.unwrap().json();
    let path = format!("/v1/calls/{}", created["call_id"].as_str().unwrap());
    for (seconds, status) in [(1, "ringing"), (4, "answered"), (20, "completed")] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(get(&simulator, &path).await["status"], status);
    }
    let call = get(&simulator, &path).await;
    let stamps = json!({"created": "2026-01-31T08:00:00Z", "ringing": "2026-01-31T08:00:01Z",
        "answered": "2026-01-31T08:00:05Z", "ended": "2026-01-31T08:00:25Z"});
    assert_eq!((&call["timestamps"], &call["duration"]), (&stamps, &json!(20)));
    assert_eq!(simulator.calls()[0].status, "completed");
}

#[tokio::test]
async fn a_hang_up_is_final_and_repeatable() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    let call = create(&simulator, "", BODY).await.unwrap().json();
    let line = format!("DELETE /v1/calls/{}", call["call_id"].as_str().unwrap());
    let first = ask(&simulator, &line, "", "").await.unwrap();
    assert_eq!((first.status, &first.json()["status"]), (200, &json!("canceled")));
    assert!(first.text.contains(r#""cost":0,"#), "{}", first.text);
    clock.advance(Duration::from_secs(60));
    let again = ask(&simulator, &line, "", "").await.unwrap();
    assert_eq!((again.status, again.text), (200, first.text));
    assert_eq!(simulator.book().calls, 1, "who was rung stays in the book");
}

#[tokio::test]
async fn keys_are_given_back_unless_they_are_hidden() {
    for (builder, shown) in
        [(Simulator::builder(), json!("k0")), (Simulator::builder().hide_keys(), Value::Null)]
    {
        let simulator = builder.start().await.unwrap();
        create(&simulator, "k0", BODY).await.unwrap();
        let listed = get(&simulator, "/v1/calls").await["data"][0].clone();
        let read = get(&simulator, &format!("/v1/calls/{}", listed["call_id"].as_str().unwrap())).await;
        assert_eq!((&listed["idempotency_key"], &read["idempotency_key"]), (&shown, &shown));
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    let simulator = Simulator::start().await.unwrap();
    let mut placed = Vec::new();
    for n in 0..5 {
        let body = BODY.replace("0123", if n % 2 == 0 { "0200" } else { "0201" });
        placed.push(
            create(&simulator, &format!("k{n}"), &body).await.unwrap().json()["call_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let first = get(&simulator, "/v1/calls?limit=3").await;
    assert_eq!(
        (ids(&first), &first["has_more"], &first["last_id"]),
        (vec![&*placed[0], &*placed[1], &*placed[2]], &json!(true), &json!(placed[2]))
    );
    let rest = get(&simulator, &format!("/v1/calls?limit=3&after={}", placed[2])).await;
    assert_eq!((ids(&rest), &rest["has_more"]), (vec![&*placed[3], &*placed[4]], &json!(false)));
    let of_one = get(&simulator, &format!("/v1/calls?to=%2B14155550200&after={}", placed[0])).await;
    assert_eq!(ids(&of_one), vec![&*placed[2], &*placed[4]]);
    let exact = get(&simulator, "/v1/calls?to=%2B14155550200&limit=3").await;
    assert_eq!((ids(&exact).len(), &exact["has_more"]), (3, &json!(false)));
    let looked_up = get(&simulator, "/v1/calls?idempotency_key=k3").await;
    assert_eq!(ids(&looked_up), vec![&*placed[3]]);
    assert_eq!(
        get(&simulator, "/v1/calls?idempotency_key=k9").await,
        json!({"data": [], "has_more": false, "last_id": null})
    );
}

#[tokio::test]
async fn created_after_is_inclusive_and_a_listing_may_lag() {
    let clock = HandClock::new();
    let lag = Duration::from_secs(2);
    let simulator = Simulator::builder().clock(clock.clone()).listing_lag(lag).start().await.unwrap();
    create(&simulator, "k", BODY).await.unwrap();
    assert_eq!(ids(&get(&simulator, "/v1/calls").await).len(), 0);
    assert_eq!(ids(&get(&simulator, "/v1/calls?idempotency_key=k").await).len(), 1);
    clock.advance(lag);
    assert_eq!(ids(&get(&simulator, "/v1/calls?created_after=2026-01-31T08:00:00Z").await).len(), 1);
    assert_eq!(ids(&get(&simulator, "/v1/calls?created_after=2026-01-31T08:00:00.001Z").await).len(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_other_methods_405() {
    let simulator = Simulator::start().await.unwrap();
    for line in [
        "GET /v1/calls/call_9",
        "DELETE /v1/calls/call_9",
        "GET /v1/calls/",
        "GET /v1/calls/a/b",
        "GET /",
        "POST /calls",
    ] {
        let answer = ask(&simulator, line, "", "").await.unwrap();
        assert_eq!((answer.status, answer.error().0), (404, "not_found".to_owned()), "{line}");
    }
    for (line, allow) in [
        ("PUT /v1/calls", "GET, POST"),
        ("POST /v1/calls/x", "GET, DELETE"),
        ("POST /_book", "GET"),
        ("DELETE /_health", "GET"),
    ] {
        let answer = ask(&simulator, line, "", "").await.unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{line}");
    }
    let wrong = ask(&simulator, "GET /v1/calls?after=call_9", "", "").await.unwrap();
    assert_eq!((wrong.status, wrong.error().1), (400, "after".to_owned()));
}

#[tokio::test]
async fn the_book_is_read_without_a_key() {
    let simulator = Simulator::start().await.unwrap();
    create(&simulator, "", BODY).await.unwrap();
    let mut client = Client::connect(&simulator).await;
    assert_eq!(client.ask("GET /_health", "", "").await.unwrap().status, 200);
    let book = client.ask("GET /_book", "", "").await.unwrap().json();
    assert_eq!(book, serde_json::to_value(simulator.book()).unwrap());
    assert_eq!(
        (&book["calls"], &book["people"], &book["duplicates"], &book["pace_violations"]),
        (&json!(1), &json!(1), &json!(0), &json!(0))
    );
    assert_eq!(book["requests"], 1, "the book's own pages are not counted");
    client.send(b"HEAD /_book HTTP/1.1\r\nHost: s\r\n\r\n").await.unwrap();
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
}
