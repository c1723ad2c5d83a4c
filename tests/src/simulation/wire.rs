//! A connection to the simulated provider, byte by byte.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use trunkline::{BoxFuture, Clock, Dial, Wire};
use trunkline_core_types::{AttemptError, FailureKind, Origin};

use super::fate::{Fate, ReadEnd, WriteEnd};
use super::process::Process;
use super::story::{READ, WIRE};
use super::world::World;

#[derive(Debug)]
pub(super) struct SimDial {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) account: usize,
}

impl Dial for SimDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            let open = !self.world.door_is_shut(self.account);
            let how = if open { "takes" } else { "refuses" };
            self.world.tell("provider", None, || format!("account {} {how} a connection", self.account));
            if !open {
                return Err(AttemptError::new(FailureKind::Connect, "simulated"));
            }
            Ok(Box::new(SimWire {
                world: self.world.clone(),
                process: self.process.clone(),
                account: self.account,
                incoming: None,
                reply: Reply::None,
                reader: None,
            }) as Box<dyn Wire>)
        })
    }
}

struct SimWire {
    world: Arc<World>,
    process: Arc<Process>,
    account: usize,
    incoming: Option<Incoming>,
    reply: Reply,
    reader: Option<Waker>,
}

/// A request on its way, from the first try to write it until its reply was read.
struct Incoming {
    key: String,
    /// Of the key, from 1.
    number: u64,
    is_create: bool,
    fate: Fate,
    /// When the client first tried to write the request: a write that blocks leaves later, under the same permit.
    began: Instant,
    bytes: Vec<u8>,
    /// Bytes of its reply that were read.
    read: usize,
    blocked: Option<BoxFuture<'static, ()>>,
}

enum Reply {
    None,
    Later(BoxFuture<'static, ()>, Vec<u8>),
    Bytes(Vec<u8>),
    Ended(ReadEnd),
}

impl Incoming {
    /// Looks at what is offered, before a byte of it is taken.
    fn offered(world: &World, account: usize, buffer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(buffer);
        let key = text.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
        let target = text.lines().next().unwrap_or_default();
        let is_create = target.starts_with("POST ");
        let key = key.filter(|_| is_create).unwrap_or(target).to_owned();
        let (number, fate) = world.fate(account, &key);
        Self {
            key,
            number,
            is_create,
            fate,
            began: world.clock.now(),
            bytes: Vec::new(),
            read: 0,
            blocked: None,
        }
    }

    /// How much of `offered` may be taken now.
    fn room(&mut self, world: &World, offered: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let fate = &mut self.fate;
        let limit = fate.write.map_or(usize::MAX, |(at, _)| at);
        let room = limit.saturating_sub(self.bytes.len()).min(offered).min(fate.gulp);
        match fate.write {
            Some((_, WriteEnd::Fails)) if room == 0 => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some((_, WriteEnd::Blocks(time))) if room == 0 => {
                let timer = self.blocked.get_or_insert_with(|| world.pause(time));
                std::task::ready!(timer.as_mut().poll(cx));
                (fate.write, self.blocked) = (None, None);
                Poll::Ready(Ok(offered.min(fate.gulp)))
            }
            _ => Poll::Ready(Ok(room)),
        }
    }

    /// How much of the `left` bytes of the reply may be read now.
    fn readable(&mut self, world: &World, left: usize, cx: &mut Context<'_>) -> Poll<usize> {
        let most = left.min(self.fate.sip);
        let Some((at, time)) = self.fate.stall else { return Poll::Ready(most) };
        let until = at.saturating_sub(self.read);
        if until > 0 || left == 0 {
            return Poll::Ready(most.min(until));
        }
        let timer = self.blocked.get_or_insert_with(|| world.pause(time));
        std::task::ready!(timer.as_mut().poll(cx));
        self.fate.stall = None;
        Poll::Ready(most)
    }

    /// The body, once head and body are all there.
    fn whole(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        (body.len() >= length.parse::<usize>().unwrap()).then_some(body)
    }
}

impl SimWire {
    /// Takes bytes; with the last one the provider acts, whether anybody waits for the reply or not.
    fn take(&mut self, bytes: &[u8]) {
        let Some(incoming) = &mut self.incoming else { return };
        let (world, pid) = (&self.world, self.process.pid);
        if incoming.bytes.is_empty() && incoming.is_create {
            world.starts(pid, self.account, &incoming.key, incoming.began);
        }
        if incoming.is_create {
            world.took(pid, &incoming.key);
        }
        incoming.bytes.extend_from_slice(bytes);
        let (taken, count) = (bytes.len(), incoming.bytes.len());
        world.tell(WIRE, Some(&incoming.key), || format!("{count} bytes left, {taken} at once"));
        let Some(body) = incoming.whole() else { return };
        let acts = incoming.fate.acts;
        let reply = match incoming.is_create {
            true => world.create(&incoming.key, body, acts),
            false => world.read(&incoming.key, acts),
        };
        let mut reply = reply.into_bytes();
        reply.truncate(incoming.fate.cut.unwrap_or(usize::MAX));
        self.reply = Reply::Later(world.reply_time(self.account, incoming.fate.delay), reply);
        world.crashes(&self.process, "sent", &incoming.key, incoming.number);
    }

    /// Bytes of the reply were read, and so many are left.
    fn read(&mut self, count: usize, left: usize) {
        let Some(incoming) = &mut self.incoming else { return };
        incoming.read += count;
        let (world, read) = (&self.world, incoming.read);
        world.tell(READ, Some(&incoming.key), || {
            format!("{read} bytes of the reply were read, {count} at once")
        });
        if left == 0 {
            return self.was_read();
        }
        world.crashes(&self.process, "reading", &incoming.key, incoming.number);
    }

    /// The reply was read to its end.
    fn was_read(&mut self) {
        let incoming = self.incoming.take();
        if let Some(incoming) = &incoming {
            self.world.crashes(&self.process, "read", &incoming.key, incoming.number);
        }
        let end = incoming.as_ref().map_or(ReadEnd::Stays, |incoming| incoming.fate.end);
        if let Some(incoming) = incoming.filter(|incoming| incoming.is_create) {
            self.world.was_read(self.process.pid, self.account, &incoming.fate);
        }
        self.reply = if end == ReadEnd::Stays { Reply::None } else { Reply::Ended(end) };
    }
}

impl Wire for SimWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.process.is_dead() {
            return Poll::Pending;
        }
        if let Reply::Later(timer, bytes) = &mut self.reply {
            std::task::ready!(timer.as_mut().poll(cx));
            self.reply = Reply::Bytes(std::mem::take(bytes));
        }
        if let Reply::Bytes(bytes) = &mut self.reply {
            let count =
                std::task::ready!(self.incoming.as_mut().unwrap().readable(&self.world, bytes.len(), cx));
            let count = count.min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            bytes.drain(..count);
            let left = bytes.len();
            self.read(count, left);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
        }
        match self.reply {
            Reply::Ended(ReadEnd::Closes) => Poll::Ready(Ok(0)),
            Reply::Ended(ReadEnd::Resets) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.process.is_dead() {
            return Poll::Pending;
        }
        if matches!(self.reply, Reply::Ended(_)) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let (world, account) = (&self.world, self.account);
        let incoming = self.incoming.get_or_insert_with(|| Incoming::offered(world, account, buffer));
        let room = std::task::ready!(incoming.room(world, buffer.len(), cx))?;
        if room > 0 {
            self.take(&buffer[..room]);
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(room))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}
}
