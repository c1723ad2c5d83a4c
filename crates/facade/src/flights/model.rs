//! Callers who share a future, under every interleaving of their locks: none waits for ever, each gets the end.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;

use super::shared::Shared;
use crate::model::explore;

type Caller = Shared<u32, ()>;

/// What a future waits for.
#[derive(Default)]
struct Event(Mutex<(bool, Option<Waker>)>);

impl Event {
    fn comes(&self) {
        let mut event = self.0.lock().unwrap();
        event.0 = true;
        let waker = event.1.take();
        drop(event);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Two callers of a future that ends with the event.
fn two() -> (Arc<Event>, Caller, Caller) {
    let event = Arc::new(Event::default());
    let waits = event.clone();
    let future = poll_fn(move |cx| {
        let mut event = waits.0.lock().unwrap();
        if event.0 {
            return Poll::Ready(7);
        }
        event.1 = Some(cx.waker().clone());
        Poll::Pending
    });
    let first = Shared::new(Box::pin(future), ());
    let second = first.downgrade().upgrade().unwrap();
    (event, first, second)
}

#[test]
fn one_who_looks_and_gives_up_leaves_nobody_waiting() {
    explore(|| {
        let (event, mut first, second) = two();
        let leaving = thread::spawn(move || {
            let _ = Pin::new(&mut first).poll(&mut Context::from_waker(Waker::noop()));
        });
        let coming = thread::spawn(move || event.comes());
        assert_eq!(block_on(second), Some(7));
        leaving.join().unwrap();
        coming.join().unwrap();
    });
}

#[test]
fn two_who_wait_get_one_end() {
    explore(|| {
        let (event, first, second) = two();
        let other = thread::spawn(move || block_on(first));
        let coming = thread::spawn(move || event.comes());
        assert_eq!(block_on(second), Some(7));
        assert_eq!(other.join().unwrap(), Some(7));
        coming.join().unwrap();
    });
}
