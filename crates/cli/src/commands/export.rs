//! `trunkline export`: a journal as JSON lines.

use std::io::{self, BufWriter, Write};

use trunkline::SqliteJournal;

use crate::args::ExportArgs;
use crate::exit::{Exit, Problem};

pub(super) fn run(args: &ExportArgs) -> Result<Exit, Problem> {
    let failed = |error: &dyn std::error::Error| Problem::journal(&args.journal, error);
    let view = SqliteJournal::read_only(&args.journal).map_err(|error| failed(&error))?;
    let mut out = Pipe { out: BufWriter::new(io::stdout().lock()), closed: false };
    match view.export(&mut out) {
        // `trunkline export … | head` ends quietly.
        Err(_) if out.closed => Ok(Exit::Done),
        exported => exported.map(|()| Exit::Done).map_err(|error| failed(&error)),
    }
}

/// Knows whether its reader went away.
struct Pipe<W> {
    out: W,
    closed: bool,
}

impl<W> Pipe<W> {
    fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        self.closed |= done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        done
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.out.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.noted(done)
    }
}
