//! What only threads show: drops at any instant while another thread writes. Nothing called unsent was acted on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use trunkline_core_types::{
    Attempt, Class, ClockExt, EntropyExt, HttpService, Idempotency, SeededEntropy, SystemClock,
};
use trunkline_transport::TransportSettings;

use crate::leaves::{BODY, reqwest_leaf, tower_leaf, until};
use crate::peer::{CREATED, read_request};

const THREADS: usize = 4;
/// So many of both classes are wanted, or the run shows nothing; a busy machine needs more attempts for them.
const WANTED: usize = 100;
const PATIENCE: usize = 8;

/// Which of the numbered requests arrived whole: the server acts on those.
struct Acted(Vec<AtomicU64>);

impl Acted {
    fn mark(&self, number: usize) {
        self.0[number / 64].fetch_or(1 << (number % 64), Ordering::SeqCst);
    }

    fn contains(&self, number: usize) -> bool {
        self.0[number / 64].load(Ordering::SeqCst) & (1 << (number % 64)) != 0
    }
}

/// Serves until told to stop, then until every connection has ended by the client's hand.
async fn serve(listener: TcpListener, acted: Arc<Acted>, mut stop: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        let next = std::future::poll_fn(|cx| {
            if std::pin::Pin::new(&mut stop).poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            listener.poll_accept(cx).map(|accepted| accepted.ok())
        });
        let Some((mut stream, _)) = next.await else { break };
        let acted = acted.clone();
        connections.spawn(async move {
            while let Some(request) = read_request(&mut stream).await {
                let request = String::from_utf8_lossy(&request).into_owned();
                let number = request.split("/n/").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
                acted.mark(number.parse().unwrap());
                if stream.write_all(CREATED.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Waits for the reply, or polls once and drops the attempt at a random instant within some microseconds.
async fn drop_at_random(
    leaf: &dyn HttpService,
    origin: &str,
    number: usize,
    entropy: &SeededEntropy,
) -> Class {
    let request = Request::post(format!("{origin}/n/{number}")).body(BODY.into()).unwrap();
    let attempt = Attempt::change(request, Idempotency::No, until(Duration::from_secs(60)));
    let evidence = attempt.evidence().clone();
    let mut future = leaf.send(attempt);
    let mut polls = if entropy.below(5) < 2 { u64::MAX } else { 0 };
    std::future::poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() || polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        Poll::Pending
    })
    .await;
    // Meanwhile the connection's task runs on a worker.
    for _ in 0..entropy.below(4_000) {
        std::hint::spin_loop();
    }
    drop(future);
    evidence.class()
}

fn run(drops: usize, make: fn(&str, TransportSettings) -> Arc<dyn HttpService>) {
    // Two of five get their reply and leave a connection to the next, where the race is closest.
    let attempts = drops * 2;
    let most = attempts * PATIENCE;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let acted = Arc::new(Acted((0..most.div_ceil(64)).map(|_| AtomicU64::new(0)).collect()));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let server = runtime.spawn(serve(listener, acted.clone(), stopped));
    let (leaf, next) = (make(&origin, TransportSettings::default()), AtomicUsize::new(0));
    let (unsent, ambiguous) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let enough = || [&unsent, &ambiguous].iter().all(|seen| seen.load(Ordering::Relaxed) > WANTED);

    // Outside the runtime's workers: inside one, the woken connection waits for the dropper.
    let drop_some = |thread: usize, handle: Handle| {
        let (entropy, mut verdicts) = (SeededEntropy::new(thread as u64), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= most || (number >= attempts && enough()) {
                return verdicts;
            }
            let class = handle.block_on(drop_at_random(&*leaf, &origin, number, &entropy));
            unsent.fetch_add(usize::from(class == Class::Unsent), Ordering::Relaxed);
            ambiguous.fetch_add(usize::from(class == Class::Ambiguous), Ordering::Relaxed);
            verdicts.push((number, class));
        }
    };
    let verdicts: Vec<(usize, Class)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| (thread, runtime.handle().clone()))
            .map(|(thread, handle)| scope.spawn(move || drop_some(thread, handle)))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });

    // Whatever is still under way arrives before its connection ends.
    drop(leaf);
    stop.send(()).unwrap();
    let over = runtime.block_on(async {
        let until = until(Duration::from_secs(60)).ends_by();
        SystemClock::new().bounded(until, server).await
    });
    over.unwrap().unwrap();
    let with = |class| verdicts.iter().filter(move |(_, seen)| *seen == class);
    let acted_on = |class| with(class).filter(|(number, _)| acted.contains(*number)).count();
    let count = |class| with(class).count();
    let seen = format!(
        "unsent {}, ambiguous {} ({} acted on), accepted {}",
        count(Class::Unsent),
        count(Class::Ambiguous),
        acted_on(Class::Ambiguous),
        count(Class::Accepted)
    );
    assert_eq!(acted_on(Class::Unsent), 0, "called unsent and acted on; {seen}");
    assert_eq!(acted_on(Class::Accepted), count(Class::Accepted), "{seen}");
    assert!(count(Class::Unsent) + count(Class::Ambiguous) >= drops, "{seen}");
    assert!(enough(), "{seen}");
}

#[test]
fn nothing_that_reqwest_dropped_as_unsent_was_acted_on() {
    run(20_000, reqwest_leaf);
}

#[test]
fn nothing_that_a_tower_service_dropped_as_unsent_was_acted_on() {
    run(5_000, tower_leaf);
}
