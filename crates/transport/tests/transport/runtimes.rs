//! One client in several runtimes: a connection is driven by the one that made it, so no other may depend on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use trunkline_core_types::{Class, Clock, ClockExt, HttpService, Progress, StatusOnly, SystemClock};
use trunkline_transport::{HttpClient, TransportSettings};

use crate::scripted::{CREATED, Script, ScriptedDial, client, create, create_to, create_within, is_whole};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Answers whole requests until the connection ends.
fn serve(mut stream: TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..count]);
        if is_whole(&request) {
            request.clear();
            stream.write_all(CREATED.as_bytes()).unwrap();
        }
    }
}

/// A reply that is read through a runtime that nobody drives never comes, nor does the end of a time that it keeps.
#[test]
fn a_runtime_that_nobody_drives_holds_up_no_call_of_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/calls", listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(|| serve(stream));
        }
    });
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    let client =
        HttpClient::new(url.parse().unwrap(), TransportSettings::default(), judge, clock.clone()).unwrap();
    let (first, second) = (runtime(), runtime());
    for runtime in [&first, &second, &first, &second] {
        let now = clock.now();
        let sent = client.send(create_to(&url, now + Duration::from_secs(20)));
        let outcome = runtime.block_on(clock.bounded(now + Duration::from_secs(30), sent));
        assert_eq!(outcome.expect("an attempt ends by its deadline").class, Class::Accepted);
    }
}

#[test]
fn each_runtime_takes_its_own_connections_again() {
    let dial = ScriptedDial::new((0..3).map(|_| Script::replies(CREATED)));
    let client = client(dial.clone());
    let (first, second) = (paused(), paused());
    for (runtime, dialled) in [(&first, 1), (&second, 2), (&first, 2), (&second, 2)] {
        let sent = async { client.send(create()).await.class };
        assert_eq!((runtime.block_on(sent), dial.count()), (Class::Accepted, dialled));
    }
    let third = paused();
    third.block_on(async { client.warm(&create_within(Duration::from_secs(1))).await });
    assert_eq!(dial.count(), 3, "what another runtime has is no connection of this one");
}

#[test]
fn a_runtime_that_ended_takes_its_timers_along() {
    let dial = ScriptedDial::new((0..2).map(|_| Script::replies(CREATED)));
    let client = client(dial.clone());
    for _ in 0..2 {
        assert_eq!(paused().block_on(async { client.send(create()).await.class }), Class::Accepted);
    }
}

/// The task that placed a call is dropped by its runtime, after the request left and before a reply.
#[test]
fn a_runtime_that_ends_gives_its_attempts_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/calls", listener.local_addr().unwrap());
    let (arrived, whole) = oneshot::channel();
    let peer = thread::spawn(move || {
        let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
        let (mut stream, _) = listener.accept().unwrap();
        while !is_whole(&request) {
            let count = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        arrived.send(()).unwrap();
        stream.read(&mut buffer).map_err(|error| error.kind())
    });
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    let client =
        HttpClient::new(url.parse().unwrap(), TransportSettings::default(), judge, clock.clone()).unwrap();
    let attempt = create_to(&url, clock.now() + Duration::from_secs(20));
    let evidence = attempt.evidence().clone();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.spawn(async move { client.send(attempt).await });
    runtime.block_on(whole).unwrap();
    drop(runtime);
    assert_eq!((evidence.class(), evidence.progress()), (Class::Ambiguous, Progress::Whole));
    assert_eq!(peer.join().unwrap(), Err(ErrorKind::ConnectionReset));
}
