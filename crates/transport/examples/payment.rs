//! A payment that is signed, retried and never booked twice, against a server that loses its first answer.
//!
//! Run it with `cargo run -p trunkline-transport --example payment`; it ends with an error if anything was booked twice.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use trunkline_auth_secrets::{BearerSigner, Signers, StaticKeys, XSignatureSigner};
use trunkline_core_types::{
    Attempt, AttemptJournal, Claim, Class, Clock, Deadline, HttpService, Idempotency, Intent, Origin,
    Outcome, StatusOnly, SystemClock, SystemEntropy, Unobserved,
};
use trunkline_journal::MemoryJournal;
use trunkline_transport::{HttpClient, Journaled, Retry, RetrySettings, Signer, TransportSettings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let server = Arc::new(Server::default());
    let serving = tokio::spawn(serve(listener, server.clone()));

    let clock = Arc::new(SystemClock::new());
    let journal = Arc::new(MemoryJournal::new(clock.clone()));
    let bank = stack(base.parse()?, journal.clone(), clock.clone())?;
    let order = Order {
        url: format!("{base}/payments"),
        key: "order-17",
        body: r#"{"amount":1250,"currency":"EUR"}"#,
    };

    let paid = pay(&*bank, &*journal, &*clock, &order).await?.ok_or("the order was claimed before")?;
    check(paid.class == Class::Accepted, "the payment is accepted")?;
    check(paid.tries == 2, "the lost answer took a second try")?;
    // Paying the order again reaches nobody: the journal has its answer.
    check(pay(&*bank, &*journal, &*clock, &order).await?.is_none(), "an order is paid once")?;

    serving.abort();
    let book = server.book();
    check(book.requests == 2, "the server saw two requests")?;
    check(book.payments.len() == 1, "the server booked once")
}

/// Outermost first: retry, signer, journal, client. A repeat is signed and noted anew.
fn stack(
    origin: Origin,
    journal: Arc<dyn AttemptJournal>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn HttpService>, Box<dyn Error>> {
    let quiet = Arc::new(Unobserved::default());
    let api_key = Arc::new(StaticKeys::new("example-api-key".into())?);
    let secret = Arc::new(StaticKeys::new("example-signing-secret".into())?);
    let sign = Signers::new(BearerSigner::new(origin.clone(), api_key))
        .with_body_signature(XSignatureSigner::new(origin.clone(), secret));

    let judge = Arc::new(StatusOnly::default());
    let client = HttpClient::new(origin, TransportSettings::default(), judge, clock.clone())?;
    let journaled = Journaled::new(Arc::new(client), journal, clock.clone(), quiet.clone());
    let signed = Signer::new(Arc::new(journaled), Arc::new(sign), clock.clone());
    let mut settings = RetrySettings::default();
    settings.base = Duration::from_millis(20);
    Ok(Arc::new(Retry::new(Arc::new(signed), settings, clock, Arc::new(SystemEntropy::new()), quiet)))
}

struct Order {
    url: String,
    key: &'static str,
    body: &'static str,
}

/// Pays an order once; `None` if it has its answer, or may have been paid.
async fn pay(
    bank: &dyn HttpService,
    journal: &dyn AttemptJournal,
    clock: &dyn Clock,
    order: &Order,
) -> Result<Option<Outcome>, Box<dyn Error>> {
    const TIME: Duration = Duration::from_secs(30);
    let intent = Arc::new(Intent {
        key: order.key.parse()?,
        account: "bank".parse()?,
        detail: order.body.into(),
        fence: clock.wall() + TIME,
    });
    let Claim::Go { number } = journal.claim(&intent).await? else { return Ok(None) };
    let request = Request::post(&order.url)
        .header("content-type", "application/json")
        .header("idempotency-key", order.key)
        .body(Bytes::from(order.body))?;
    // The server says that it keeps a key for a day.
    let kept = Idempotency::Key { window: Duration::from_secs(23 * 3600) };
    let attempt = Attempt::create(request, intent.clone(), kept, Deadline::At(clock.now() + TIME));
    let outcome = bank.send(attempt.numbered(number)).await;
    let reply = outcome.result.as_ref().ok().map(|reply| reply.to_record(&intent.account));
    journal.settle_claim(&intent.key, number, outcome.class, reply)?;
    Ok(Some(outcome))
}

fn check(holds: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("does not hold: {what}").into()) }
}

/// A payment API that books once for each idempotency key.
#[derive(Default)]
struct Server(Mutex<Book>);

#[derive(Default)]
struct Book {
    payments: BTreeMap<String, Vec<u8>>,
    requests: usize,
}

impl Server {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one request, books it and answers; the first answer is lost.
    async fn answer(&self, stream: TcpStream) -> Option<()> {
        let (mut stream, mut headers) = (BufReader::new(stream), BTreeMap::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                None if line.trim_end().is_empty() => break,
                None => continue,
            };
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
        if !headers.contains_key("authorization") || !headers.contains_key("x-signature") {
            return stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.ok();
        }
        let first = {
            let (mut book, key) = (self.book(), headers.remove("idempotency-key")?);
            book.payments.entry(key).or_insert(body);
            book.requests += 1;
            book.requests == 1
        };
        if first {
            return None;
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 13\r\n\r\n{\"id\":\"pay1\"}").await.ok()
    }
}

async fn serve(listener: TcpListener, server: Arc<Server>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection serves one request and is closed.
        let _ = server.answer(stream).await;
    }
}
