//! A connection to the simulated provider, byte by byte.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use trunkline::{BoxFuture, Clock, Dial, Wire};
use trunkline_core_types::{AttemptError, FailureKind, Origin};

use super::provider::{Fate, ReadEnd, World, WriteEnd};

#[derive(Debug)]
pub(super) struct SimDial {
    pub(super) world: Arc<World>,
    pub(super) account: usize,
}

impl Dial for SimDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            if self.world.refuses_connection() {
                return Err(AttemptError::new(FailureKind::Connect, "simulated"));
            }
            Ok(Box::new(SimWire {
                world: self.world.clone(),
                account: self.account,
                request: Vec::new(),
                fate: None,
                began: None,
                blocked: None,
                reply: Reply::None,
                reader: None,
            }) as Box<dyn Wire>)
        })
    }
}

struct SimWire {
    world: Arc<World>,
    account: usize,
    request: Vec<u8>,
    /// Drawn with the first byte of a request.
    fate: Option<Fate>,
    /// When the client first tried to write the request: a write that blocks leaves later, under the same permit.
    began: Option<Instant>,
    blocked: Option<BoxFuture<'static, ()>>,
    reply: Reply,
    reader: Option<Waker>,
}

enum Reply {
    None,
    Later(BoxFuture<'static, ()>),
    Bytes(Vec<u8>),
    Ended(ReadEnd),
}

impl SimWire {
    fn after(&self, time: Duration) -> BoxFuture<'static, ()> {
        let clock = &self.world.clock;
        clock.sleep_until(clock.now() + time)
    }

    fn is_whole(&self) -> bool {
        let text = String::from_utf8_lossy(&self.request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        body.len() >= length.parse::<usize>().unwrap()
    }

    /// How much of `offered` may be taken now.
    fn room(&mut self, offered: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let taken = self.request.len();
        if taken == 0 {
            self.began.get_or_insert(self.world.clock.now());
        }
        let fate = self.fate.get_or_insert_with(|| self.world.fate());
        let limit = fate.write.map_or(usize::MAX, |(at, _)| at);
        let room = limit.saturating_sub(taken).min(offered).min(fate.gulp);
        match fate.write {
            Some((_, WriteEnd::Fails)) if room == 0 => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some((_, WriteEnd::Blocks(time))) if room == 0 => {
                let until = self.world.clock.now() + time;
                let timer = self.blocked.get_or_insert_with(|| self.world.clock.sleep_until(until));
                std::task::ready!(timer.as_mut().poll(cx));
                fate.write = None;
                Poll::Ready(Ok(offered.min(fate.gulp)))
            }
            _ => Poll::Ready(Ok(room)),
        }
    }
}

impl Wire for SimWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if matches!(self.reply, Reply::None) && self.is_whole() {
            let delay = self.fate.as_ref().map_or(Duration::ZERO, |fate| fate.delay);
            self.reply = Reply::Later(self.after(delay));
            // The provider acts when the request is whole, and answers later.
            let request = String::from_utf8(std::mem::take(&mut self.request)).unwrap();
            let fate = self.fate.clone().unwrap();
            let mut reply = self.world.act(&request, fate.acts).into_bytes();
            reply.truncate(fate.cut.unwrap_or(usize::MAX));
            self.request = reply;
        }
        if let Reply::Later(timer) = &mut self.reply {
            std::task::ready!(timer.as_mut().poll(cx));
            self.reply = Reply::Bytes(std::mem::take(&mut self.request));
        }
        if let Reply::Bytes(bytes) = &mut self.reply {
            if !bytes.is_empty() {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                return Poll::Ready(Ok(count));
            }
            let fate = self.fate.take();
            if let Some(fate) = &fate {
                self.world.was_read(self.account, fate);
            }
            let end = fate.map_or(ReadEnd::Stays, |fate| fate.end);
            self.reply = if end == ReadEnd::Stays { Reply::None } else { Reply::Ended(end) };
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
        if matches!(self.reply, Reply::Ended(_)) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = std::task::ready!(self.room(buffer.len(), cx))?;
        if self.request.is_empty() && room > 0 {
            let began = self.began.take().unwrap();
            self.world.first_byte(self.account, began);
        }
        self.request.extend_from_slice(&buffer[..room]);
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
