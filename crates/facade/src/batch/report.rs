//! What came of the rows, as files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{RowClass, RowResult};
use crate::Error;

/// One JSON object a row: `line`, `key`, `class`, `call`, `error`, `field`; what is not known is `null`. Each is written at once and as a
/// whole. A later run appends: of several objects of one line the last counts.
#[derive(Debug)]
pub struct ResultsWriter<W>(W);

#[derive(Serialize)]
struct Shown<'a> {
    line: u64,
    key: Option<&'a str>,
    class: &'static str,
    call: Option<String>,
    error: Option<&'a str>,
    field: Option<&'a str>,
}

impl ResultsWriter<File> {
    /// Appends to this file, which is made if it is not there. A line that was cut off is ended first.
    ///
    /// # Errors
    /// `Input` on `out`.
    pub fn append(path: &Path) -> Result<Self, Error> {
        let open = || {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            let mut last = [b'\n'];
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != [b'\n'] {
                file.write_all(b"\n")?;
            }
            Ok(file)
        };
        open().map(Self).map_err(|error| unwritable("out", path, error))
    }
}

impl<W: Write> ResultsWriter<W> {
    /// Writes here, a line at a time.
    pub fn new(writer: W) -> Self {
        Self(writer)
    }

    /// Writes one result.
    ///
    /// # Errors
    /// As the writer; the line may be cut off then. The journal knows the call all the same.
    pub fn write(&mut self, result: &RowResult) -> io::Result<()> {
        let shown = Shown {
            line: result.line,
            key: result.key.as_ref().map(|key| key.as_str()),
            class: result.class.as_str(),
            call: result.call.as_ref().map(ToString::to_string),
            error: result.error.as_deref(),
            field: result.field.as_deref(),
        };
        let mut line = serde_json::to_vec(&shown)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        self.0.flush()
    }
}

/// A CSV file with `line`, `field` and `reason` of the records that are not calls. It is of one run: an older one is replaced.
#[derive(Debug)]
pub struct RejectsWriter {
    path: PathBuf,
    file: Option<File>,
}

impl RejectsWriter {
    /// Made with the first record that is not a call; an older file is emptied now.
    ///
    /// # Errors
    /// `Input` on `rejects`.
    pub fn new(path: &Path) -> Result<Self, Error> {
        let mut rejects = Self { path: path.to_owned(), file: None };
        if path.exists() {
            rejects.file().map_err(|error| unwritable("rejects", path, error))?;
        }
        Ok(rejects)
    }

    /// Writes the result if it is of a record that is not a call.
    ///
    /// # Errors
    /// As the file.
    pub fn write(&mut self, result: &RowResult) -> io::Result<()> {
        if result.class != RowClass::Input {
            return Ok(());
        }
        let (field, reason) =
            (result.field.as_deref().unwrap_or("row"), result.error.as_deref().unwrap_or_default());
        let line = format!("{},{},{}\n", result.line, quoted(field), quoted(reason));
        self.file()?.write_all(line.as_bytes())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = File::create(&self.path)?;
            file.write_all(b"line,field,reason\n")?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn unwritable(field: &'static str, path: &Path, error: io::Error) -> Error {
    Error::settings(
        field,
        &format!(
            "{} cannot be written; check that its folder exists, and the permissions of both",
            path.display()
        ),
    )
    .caused_by(error)
}
