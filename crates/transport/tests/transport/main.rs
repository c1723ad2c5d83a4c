//! Behaviour of the client and its layers, against scripted IO, loopback peers and scripted layers.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod breaker;
mod evidence;
mod layers;
mod loopback;
mod pool;
mod proxy;
mod retry;
mod scripted;
mod tls;
