//! Keys, signatures, networks and rotation.

use trunkline_simulator::{Faults, Simulator, StartErrorKind};

use crate::client::{Client, ask, create};

// From the vectors: the empty body under test-secret-0001.
const EMPTY_SIGNED: &str =
    "X-Signature: sha256=d0632805491b6be7d4af3728b329c6116c7eb2df0dd49100b0d9f7bd99af1480";

#[tokio::test]
async fn unknown_keys_and_wrong_signatures_are_told_apart_in_the_book() {
    let builder = Simulator::builder().signing_secret("test-secret-0001").require_signature();
    let simulator = builder.start().await.unwrap();
    let nobody = Client::connect(&simulator).await.ask("GET /v1/calls", "", "").await.unwrap();
    assert_eq!((nobody.status, nobody.error().0), (401, "authentication".to_owned()));
    assert!(nobody.header("request-id").is_some());
    assert_eq!(ask(&simulator, "GET /v1/calls", "", "").await.unwrap().status, 401);
    assert_eq!(ask(&simulator, "GET /v1/calls", EMPTY_SIGNED, " ").await.unwrap().status, 401);
    assert_eq!(ask(&simulator, "GET /v1/calls", EMPTY_SIGNED, "").await.unwrap().status, 200);
    let book = simulator.book();
    assert_eq!((book.unauthorized, book.signatures_refused, book.signatures_verified), (1, 2, 1));
    assert_eq!((book.requests, book.creates), (4, 0));
}

#[tokio::test]
async fn a_wrong_signature_on_a_create_rings_nobody() {
    let simulator = Simulator::start().await.unwrap();
    let body = r#"{"to":"+14155550123","tts":"Hi"}"#;
    let wrong = format!("X-Signature: sha256={}", "0".repeat(64));
    assert_eq!(ask(&simulator, "POST /v1/calls", &wrong, body).await.unwrap().status, 401);
    assert_eq!(create(&simulator, "", body).await.unwrap().status, 201, "without one it is optional");
    assert_eq!(simulator.book().calls, 1);
}

#[tokio::test]
async fn a_rotation_accepts_both_pairs_and_then_one() {
    let builder = Simulator::builder().api_key("old").signing_secret("old-secret");
    let simulator = builder.also_accept("new", "test-secret-0001").start().await.unwrap();
    let status = async |key: &str| {
        let headers = format!("Authorization: Bearer {key}\n{EMPTY_SIGNED}");
        Client::connect(&simulator).await.ask("GET /v1/calls", &headers, "").await.unwrap().status
    };
    assert_eq!((status("old").await, status("new").await, status("next").await), (200, 200, 401));
    assert!(simulator.revoke("old"));
    assert!(!simulator.revoke("old"));
    simulator.also_accept("next", "next-secret");
    assert_eq!((status("old").await, status("new").await, status("next").await), (401, 200, 200));
}

#[tokio::test]
async fn an_account_with_a_list_of_networks_answers_403_to_others() {
    let simulator = Simulator::builder().allow_from([127, 0, 0, 9].into()).start().await.unwrap();
    let answer = ask(&simulator, "GET /v1/calls", "", "").await.unwrap();
    assert_eq!((answer.status, answer.error().0), (403, "permission".to_owned()));
}

#[tokio::test]
async fn bad_settings_and_taken_ports_are_named() {
    let error = Simulator::builder().api_key("a b").start().await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (StartErrorKind::Settings, "api_key"));
    let error = Simulator::builder().also_accept("a", "").start().await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (StartErrorKind::Settings, "signing_secret"));
    let mut faults = Faults::none();
    faults.throttle = 1001;
    let error = Simulator::builder().faults(faults).start().await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (StartErrorKind::Settings, "faults"));
    let simulator = Simulator::start().await.unwrap();
    let error = Simulator::builder().listen(simulator.addr()).start().await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (StartErrorKind::Listen, "listen"));
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn no_debug_shows_a_key_or_a_number() {
    let builder = Simulator::builder().api_key("canary-key").signing_secret("canary-secret");
    let settings = format!("{:?}", builder.clone().also_accept("canary-more", "canary-most"));
    let simulator = builder.start().await.unwrap();
    create(&simulator, "", r#"{"to":"+14155550123","audio_url":"https://a.example/x?canary"}"#)
        .await
        .unwrap();
    let shown = format!("{settings} {simulator:?} {:?} {:?}", simulator.calls(), simulator.book());
    assert!(!shown.contains("canary") && !shown.contains("14155550123"), "{shown}");
    assert!(shown.contains("..23"), "{shown}");
}
