//! A wire in memory: whatever is written is a request, and its reply can be read at once.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use trunkline::{BoxFuture, Dial, Wire};
use trunkline_core_types::{AttemptError, Origin};

use crate::sample;

#[derive(Debug, Default)]
pub(crate) struct MemoryDial {}

impl Dial for MemoryDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        let head = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nrequest-id: req_0000000001\r\ncontent-length: {}\r\n\r\n",
            sample::REPLY.len()
        );
        let wire = MemoryWire { reply: (head + sample::REPLY).into_bytes(), due: false, reader: None };
        Box::pin(std::future::ready(Ok(Box::new(wire) as Box<dyn Wire>)))
    }
}

struct MemoryWire {
    reply: Vec<u8>,
    due: bool,
    reader: Option<Waker>,
}

impl MemoryWire {
    fn wrote(&mut self, length: usize) -> Poll<io::Result<usize>> {
        self.due = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(length))
    }
}

impl Wire for MemoryWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.due {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.due = false;
        let length = self.reply.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.reply[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote(buffer.len())
    }

    fn poll_write_vectored(
        &mut self,
        _: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wrote(buffers.iter().map(|buffer| buffer.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}
}
