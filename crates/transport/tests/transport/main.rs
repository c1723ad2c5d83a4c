//! Behaviour of the client and its layers, against scripted IO, loopback peers and scripted layers.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod address;
mod bounds;
mod breaker;
mod budget;
mod bytewise;
mod evidence;
mod layers;
mod loopback;
mod pool;
mod proxy;
mod reopen;
mod retry;
mod rows;
mod runtimes;
mod scripted;
mod setup;
mod sockets;
mod stale;
mod tls;
