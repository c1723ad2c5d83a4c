//! The table of evidence: what the peer does with a request on a connection that is up, and what is known then. Each row runs over
//! scripted IO on a fresh and on a pooled connection, over TCP and over TLS.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, FailureKind, HttpService, Idempotency, Outcome, Progress, Scope,
    SystemClock, VirtualClock,
};

use crate::scripted::{CREATED, Script, ScriptedDial, Then, URL, client, create, request};
use crate::sockets::{Over, Sockets, settle, until};

/// One row.
pub(crate) struct Row {
    script: Script,
    body: usize,
    /// The classes that are right; more than one where the kernel's timing decides.
    classes: &'static [Class],
    kind: Option<FailureKind>,
    progress: Progress,
    /// Whether the connection serves the next attempt; `None` where either is right.
    reused: Option<bool>,
}

const BIG: usize = 5 << 20;
const CUT: &str = "HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nnice";

impl Row {
    fn new(script: Script, class: &'static [Class]) -> Self {
        let row =
            Self { script, body: 9, classes: class, kind: None, progress: Progress::Complete, reused: None };
        row.reused(true)
    }

    fn fails(self, kind: FailureKind, progress: Progress) -> Self {
        Self { kind: Some(kind), progress, reused: Some(false), ..self }
    }

    fn reused(self, reused: bool) -> Self {
        Self { reused: Some(reused), ..self }
    }

    fn big(self) -> Self {
        Self { body: BIG, ..self }
    }

    fn request(&self, url: &str) -> Request<Bytes> {
        match self.body {
            9 => request(url),
            length => Request::post(url).body(Bytes::from(vec![b'x'; length])).unwrap(),
        }
    }

    fn check(&self, outcome: &Outcome, progress: Progress, fresh: bool) {
        let kind = outcome.result.as_ref().err().map(|error| error.kind());
        assert!(self.classes.contains(&outcome.class), "{outcome:?}");
        if self.classes.len() == 1 {
            let want = self.kind.map(|kind| match kind {
                FailureKind::StaleConnection if fresh => FailureKind::Connection,
                kind => kind,
            });
            assert_eq!((kind, progress), (want, self.progress), "{outcome:?}");
        }
    }
}

fn says(reply: &str) -> Script {
    Script::replies(reply)
}

fn cut(reply: &str, end: Then) -> Script {
    Script { read_then: end, ..says(reply) }
}

const UNSENT: &[Class] = &[Class::Unsent];
const AMBIGUOUS: &[Class] = &[Class::Ambiguous];
const ACCEPTED: &[Class] = &[Class::Accepted];
const REFUSED: &[Class] = &[Class::Rejected(Scope::Call)];

fn change(request: Request<Bytes>, clock: &dyn Clock) -> Attempt {
    Attempt::change(request, Idempotency::No, Deadline::At(clock.now() + Duration::from_secs(20)))
}

async fn over_scripted(row: &Row, fresh: bool) {
    let dial = ScriptedDial::new([row.script.clone(), says(CREATED)]);
    let client = client(dial.clone());
    let attempt = change(row.request(URL), &VirtualClock::new());
    let evidence = attempt.evidence().clone();
    if !fresh {
        client.warm(&attempt).await;
    }
    let outcome = client.send(attempt).await;
    row.check(&outcome, evidence.progress(), fresh);
    assert_eq!(evidence.class(), outcome.class);
    let requests = dial.connection(0).lock().unwrap().requests();
    assert!(requests <= 1 && (outcome.class != Class::Unsent || requests == 0));
    if let Some(reused) = row.reused {
        let (aborted, dropped) = {
            let state = dial.connection(0);
            let state = state.lock().unwrap();
            (state.aborted, state.dropped)
        };
        assert_eq!(dropped, !reused);
        // What failed is aborted; what merely ended is closed.
        assert!(aborted || outcome.result.is_ok());
        assert_eq!(
            client.send(create()).await.class == Class::Accepted,
            !reused || outcome.class == Class::Accepted
        );
        assert_eq!(dial.count(), if reused { 1 } else { 2 });
    }
}

async fn over_sockets(row: &Row, over: Over) {
    let peer = Sockets::new(over, row.script.clone());
    let clock = SystemClock::new();
    let attempt = change(row.request(&peer.url), &clock);
    let evidence = attempt.evidence().clone();
    peer.client.warm(&attempt).await;
    settle().await;
    peer.gate.hold(row.script.takes, 0);
    let outcome = peer.client.send(attempt).await;
    row.check(&outcome, evidence.progress(), false);
    let passed = peer.gate.passed();
    peer.gate.open();
    if row.reused == Some(false) {
        until("the connection ends", || peer.book().ends.len() == 1).await;
        assert_eq!(peer.gate.passed(), passed, "nothing leaves after the verdict");
    }
    let book = peer.book();
    assert!(book.connections == 1 && book.requests <= 1, "{book:?}");
    assert!(outcome.class != Class::Unsent || (book.requests, book.bytes, passed) == (0, 0, 0), "{book:?}");
}

macro_rules! rows {
    ($($name:ident: $row:expr;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn over_scripted_io() {
                over_scripted(&$row, true).await;
                over_scripted(&$row, false).await;
            }

            #[tokio::test]
            async fn over_tcp() {
                over_sockets(&$row, Over::Tcp).await;
            }

            #[tokio::test]
            async fn over_tls() {
                over_sockets(&$row, Over::Tls).await;
            }
        })*

        fn all() -> Vec<Row> {
            vec![$($row),*]
        }
    };
}

use FailureKind as K;
use Progress as P;

rows! {
    reset_before_the_first_byte_is_unsent:
        Row::new(Script::takes(0, Then::Reset), UNSENT).fails(K::StaleConnection, P::Connected);
    closed_before_the_first_byte_is_unsent:
        Row::new(Script::takes(0, Then::Close), UNSENT).fails(K::StaleConnection, P::Connected);
    a_write_blocked_until_the_time_is_up_is_unsent:
        Row::new(Script::takes(0, Then::Hang), UNSENT).fails(K::Timeout, P::Connected);
    reset_within_the_request_is_ambiguous:
        Row::new(Script::takes(40, Then::Reset), AMBIGUOUS).fails(K::Connection, P::Part);
    closed_within_the_request_is_ambiguous:
        Row::new(Script::takes(40, Then::Close), AMBIGUOUS).fails(K::Connection, P::Part);
    blocked_within_the_request_is_ambiguous:
        Row::new(Script::takes(40, Then::Hang), AMBIGUOUS).fails(K::Timeout, P::Part);
    blocked_within_a_big_body_is_ambiguous:
        Row::new(Script::takes(100_000, Then::Hang), AMBIGUOUS).big().fails(K::Timeout, P::Part);
    closed_right_after_the_request_is_ambiguous:
        Row::new(cut("", Then::Close), AMBIGUOUS).fails(K::Connection, P::Whole);
    reset_right_after_the_request_is_ambiguous:
        Row::new(cut("", Then::Reset), AMBIGUOUS).fails(K::Connection, P::Whole);
    silence_after_the_request_is_ambiguous:
        Row::new(says(""), AMBIGUOUS).fails(K::Timeout, P::Whole);
    a_head_cut_by_a_close_is_ambiguous:
        Row::new(cut(&CREATED[..30], Then::Close), AMBIGUOUS).fails(K::Connection, P::Whole);
    a_head_cut_by_a_reset_is_ambiguous:
        Row::new(cut(&CREATED[..30], Then::Reset), AMBIGUOUS).fails(K::Connection, P::Whole);
    a_head_cut_by_silence_is_ambiguous:
        Row::new(says(&CREATED[..30]), AMBIGUOUS).fails(K::Timeout, P::Whole);
    a_body_cut_by_a_close_is_accepted:
        Row::new(cut(CUT, Then::Close), ACCEPTED).fails(K::Truncated, P::Head);
    a_body_cut_by_a_reset_is_accepted:
        Row::new(cut(CUT, Then::Reset), ACCEPTED).fails(K::Truncated, P::Head);
    a_body_cut_by_silence_is_accepted:
        Row::new(says(CUT), ACCEPTED).fails(K::Timeout, P::Head);
    bad_json_with_a_2xx_is_accepted:
        Row::new(says("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n{\"ca:"), ACCEPTED);
    a_204_is_accepted:
        Row::new(says("HTTP/1.1 204 No Content\r\n\r\n"), ACCEPTED);
    a_chunked_reply_is_accepted:
        Row::new(says("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nni\r\n2\r\nce\r\n0\r\n\r\n"), ACCEPTED);
    a_chunked_reply_cut_within_a_chunk_is_accepted:
        Row::new(cut("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n9\r\nni", Then::Close), ACCEPTED)
            .fails(K::Truncated, P::Head);
    a_reply_that_ends_with_its_connection_is_accepted:
        Row::new(cut("HTTP/1.1 201 Created\r\n\r\nnice", Then::Close), ACCEPTED).reused(false);
    a_reply_that_ends_with_a_reset_is_accepted:
        Row::new(cut("HTTP/1.1 201 Created\r\n\r\nnice", Then::Reset), ACCEPTED).fails(K::Truncated, P::Head);
    a_megabyte_and_connection_close_is_accepted:
        Row::new(cut(&format!("HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 1048576\r\n\r\n{}",
            "y".repeat(1 << 20)), Then::Close), ACCEPTED).reused(false);
    two_bytes_beyond_the_content_length_are_accepted:
        Row::new(says(&format!("{CREATED}xx")), ACCEPTED).reused(false);
    a_100_and_a_103_are_skipped:
        Row::new(says(&format!("HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{CREATED}")), ACCEPTED);
    a_100_and_then_silence_is_ambiguous:
        Row::new(says("HTTP/1.1 100 Continue\r\n\r\n"), AMBIGUOUS).fails(K::Timeout, P::Whole);
    a_100_and_then_a_close_is_ambiguous:
        Row::new(cut("HTTP/1.1 100 Continue\r\n\r\n", Then::Close), AMBIGUOUS).fails(K::Connection, P::Whole);
    a_3xx_is_ambiguous_and_not_followed:
        Row::new(says("HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"), AMBIGUOUS);
    a_408_is_ambiguous:
        Row::new(says("HTTP/1.1 408 X\r\ncontent-length: 0\r\n\r\n"), AMBIGUOUS);
    a_5xx_is_ambiguous:
        Row::new(says("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"), AMBIGUOUS);
    what_is_not_http_is_ambiguous:
        Row::new(says("SSH-2.0-OpenSSH_9.9\r\n\r\n"), AMBIGUOUS).fails(K::Protocol, P::Whole);
    an_early_400_with_writes_open_is_rejected:
        Row { reused: None, ..Row::new(Script { early: true, ..says("HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n") }, REFUSED)
            .big() };
    an_early_413_with_writes_blocked_is_rejected:
        Row::new(Script { early: true, takes: 100_000, ..says("HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n") }, REFUSED)
            .big().reused(false);
    an_early_413_and_a_reset_is_rejected_or_ambiguous:
        Row { reused: None, ..Row::new(Script { early: true, takes: 100_000, write_then: Then::Reset, read_then: Then::Reset,
            ..says("HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n") }, &[Class::Rejected(Scope::Call), Class::Ambiguous]).big() };
}

#[test]
fn the_table_reaches_every_step() {
    let reached: std::collections::BTreeSet<_> = all().into_iter().map(|row| row.progress).collect();
    assert_eq!(reached.len(), Progress::ALL.len() - 1, "all but waiting, which has no connection");
}
