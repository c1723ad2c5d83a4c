//! What a batch reads and writes; all of it is opened before anything is dialled.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline::batch::{Batch, Columns, RejectsWriter, ResultsWriter};
use trunkline::{Journal, SqliteSettings, SystemClock};

use crate::args::BatchArgs;
use crate::commands::reconcile::RETENTION;
use crate::exit::Problem;

pub(super) type Results = ResultsWriter<File>;

/// Everything that a batch needs beside its account.
pub(super) struct Files {
    pub(super) batch: Batch,
    /// Size of the file, for the progress.
    pub(super) bytes: u64,
    pub(super) results: Option<Results>,
    pub(super) rejects: RejectsWriter,
    pub(super) journal: Journal,
}

impl Files {
    pub(super) fn open(args: &BatchArgs) -> Result<Self, Problem> {
        let (batch, bytes) = batch(args)?;
        let results = args.out.as_deref().map(ResultsWriter::append).transpose()?;
        let rejects = RejectsWriter::new(&rejects_path(args))?;
        let mut settings = SqliteSettings::new(Arc::new(SystemClock::new()));
        settings.retention = RETENTION;
        let path = journal_path(args);
        let journal = Journal::sqlite_with(&path, settings);
        let journal = journal.map_err(|error| Problem::from(error).about(&path))?;
        Ok(Self { batch, bytes, results, rejects, journal })
    }
}

/// The rows of the file, and its size.
pub(super) fn batch(args: &BatchArgs) -> Result<(Batch, u64), Problem> {
    let columns = columns(args)?;
    let unreadable = |error: std::io::Error| {
        let path = args.file.display();
        Problem::input("file", format!("{path} cannot be read; check path and permission: {error}"))
    };
    let file = File::open(&args.file).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err(Problem::input(
            "file",
            format!("{} is a folder; name a file in it", args.file.display()),
        ));
    }
    let lines = args.file.extension().is_some_and(|end| end == "jsonl" || end == "ndjson");
    let batch = if lines { Batch::jsonl(file, columns)? } else { Batch::csv(file, columns)? };
    Ok((batch, about.len()))
}

fn columns(args: &BatchArgs) -> Result<Columns, Problem> {
    let file_name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let mut columns = Columns::new(args.name.as_deref().unwrap_or(&file_name));
    for pair in &args.map {
        let (field, column) = pair
            .split_once('=')
            .ok_or_else(|| Problem::input("map", "must be FIELD=COLUMN, such as to=Phone"))?;
        columns = columns.map(field, column)?;
    }
    if let Some(template) = &args.say {
        columns = columns.say_template(template)?;
    }
    let separator = match args.separator.as_str() {
        "tab" | "\\t" => '\t',
        other => other.chars().next().filter(|_| other.chars().count() == 1).unwrap_or('?'),
    };
    Ok(columns.separator(separator)?)
}

pub(super) fn journal_path(args: &BatchArgs) -> PathBuf {
    args.journal.clone().unwrap_or_else(|| beside(&args.file, ".journal"))
}

pub(super) fn rejects_path(args: &BatchArgs) -> PathBuf {
    beside(&args.file, ".rejects.csv")
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(end);
    name.into()
}
