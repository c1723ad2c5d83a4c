//! The simulator over real loopback connections, read by a client that shares nothing with it.

#[cfg(test)]
mod client;

#[cfg(test)]
mod account;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod create;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod reading;
