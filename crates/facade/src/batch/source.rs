//! The bytes of a file: what kind they are, and on which line the next one stands.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use crate::Error;

/// The longest record, in bytes.
pub(super) const MAX_RECORD: usize = 256 * 1024;
/// The longest field, in bytes.
pub(super) const MAX_FIELD: usize = 64 * 1024;
/// The most columns.
pub(super) const MAX_COLUMNS: usize = 256;

/// How much is looked at before anything is read as text.
const HEAD: usize = 8 * 1024;
const BUFFER: usize = 64 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

type Bytes = Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

/// Bytes with their line. Lines end with LF, CRLF or CR.
pub(super) struct Source {
    bytes: BufReader<Bytes>,
    line: u64,
    after_cr: bool,
    position: u64,
}

impl Source {
    /// Looks at the first bytes; UTF-8 with or without a byte order mark is text, everything else is told apart here.
    pub(super) fn new(reader: impl Read + Send + 'static) -> Result<Self, Error> {
        let mut reader: Box<dyn Read + Send> = Box::new(reader);
        let mut head = Vec::with_capacity(HEAD);
        reader.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Err(Error::settings("file", "is UTF-16; save it as UTF-8"));
        }
        if head.contains(&0) {
            let problem = "is binary, or UTF-16 without a mark; save it as UTF-8 text (a spreadsheet: export it as CSV)";
            return Err(Error::settings("file", problem));
        }
        let mut position = 0;
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
            position = BOM.len() as u64;
        }
        let bytes = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(reader));
        Ok(Self { bytes, line: 1, after_cr: false, position })
    }

    /// The line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes consumed so far, a byte order mark included.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes; none at the end of the file only.
    pub(super) fn chunk(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.bytes.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.bytes.buffer())
    }

    /// Goes past `count` bytes of the last chunk.
    pub(super) fn consume(&mut self, count: usize) {
        for &byte in self.bytes.buffer().iter().take(count) {
            // The LF of a CRLF ends no line of its own.
            self.line += u64::from(byte == b'\r' || byte == b'\n' && !self.after_cr);
            self.after_cr = byte == b'\r';
        }
        self.position += count as u64;
        self.bytes.consume(count);
    }

    /// Goes past line ends, so that `line` is that of the next record.
    pub(super) fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.chunk()?;
            let ends = chunk.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let more = ends > 0 && ends == chunk.len();
            self.consume(ends);
            if !more {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("line", &self.line).finish_non_exhaustive()
    }
}

/// A file that the system could not read.
pub(super) fn unreadable(error: io::Error) -> Error {
    let problem = format!("cannot be read: {}", error.kind());
    Error::settings("file", &problem).caused_by(error)
}
