//! Keys from a file, such as a mounted secret.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use secrecy::SecretString;
use tokio::sync::Semaphore;
use trunkline_core_types::{
    BoxFuture, Clock, ClockExt, KeyError, KeyErrorKind, KeyProvider, KeySet, SystemClock,
};
use zeroize::Zeroizing;

use crate::counted::Counted;

/// A key in a file, read again at each call, so that a mounted secret that rotates is seen.
///
/// One newline at the end is trimmed (`\n` or `\r\n`), nothing else is touched. Refused: an empty file, one over 64 KiB, one that is
/// not UTF-8, anything that is not a regular file. A file that others than its owner and group may read is served with a warning in
/// the log, once, and not refused, because mounted secrets are often made that way. The version is a counter, `file-1`, `file-2`.
/// There is no previous key.
///
/// The read runs on tokio's blocking threads, one at a time for each `FileKeys`, so a file system that hangs holds one thread and no
/// worker; the caller waits until its deadline. Needs a tokio runtime.
///
/// Errors of `keys`: `Missing`, `Invalid`, `Denied` (no permission), `Unavailable` (any other failure of the read), `Timeout`. They
/// name the path.
///
/// ```
/// use trunkline_auth_secrets::FileKeys;
///
/// let keys = FileKeys::new("/run/secrets/voice-api-key");
/// # drop(keys);
/// ```
#[derive(Debug)]
pub struct FileKeys {
    path: Arc<Path>,
    id: Option<Box<str>>,
    clock: Arc<dyn Clock>,
    counted: Counted,
    reads: Arc<Semaphore>,
    warned: Arc<AtomicBool>,
}

impl FileKeys {
    /// The label of this store in facts.
    pub const BACKEND: &str = "file";

    /// The largest file, in bytes.
    pub const MAX_BYTES: u64 = 64 * 1024;

    /// A key in the file at this path. Nothing is read before the first call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
            id: None,
            clock: Arc::new(SystemClock::new()),
            counted: Counted::new(Self::BACKEND),
            reads: Arc::new(Semaphore::new(1)),
            warned: Arc::default(),
        }
    }

    /// The id that goes with the value, for Basic authentication. Default: none.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The clock that the deadline is measured on. Default: the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    async fn fetch(&self, deadline: Instant) -> Result<KeySet, KeyError> {
        let value = self.clock.bounded(deadline, self.read()).await.unwrap_or_else(|| {
            let hangs = "was not read in time; check the file system it is on";
            Err(failure(KeyErrorKind::Timeout, &self.path, hangs))
        })?;
        self.counted.key(value, self.id.as_deref())
    }

    async fn read(&self) -> Result<SecretString, KeyError> {
        let stopped =
            || failure(KeyErrorKind::Unavailable, &self.path, "was not read; the runtime is stopping");
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            failure(KeyErrorKind::Unavailable, &self.path, "cannot be read outside of a tokio runtime")
        })?;
        let turn = self.reads.clone().acquire_owned().await.map_err(|_| stopped())?;
        let (path, warned) = (self.path.clone(), self.warned.clone());
        let read = runtime.spawn_blocking(move || {
            // Held until the read is over, also when its caller has given up.
            let _turn = turn;
            read_file(&path, &warned)
        });
        read.await.map_err(|_| stopped())?
    }
}

fn failure(kind: KeyErrorKind, path: &Path, what: &str) -> KeyError {
    KeyError::new(kind, format!("key file {} {what}", path.display()))
}

fn read_file(path: &Path, warned: &AtomicBool) -> Result<SecretString, KeyError> {
    let fail = |kind, what: &str| failure(kind, path, what);
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => fail(KeyErrorKind::Missing, "does not exist; mount or write it"),
        std::io::ErrorKind::PermissionDenied => {
            fail(KeyErrorKind::Denied, "may not be read; give this process's user read permission")
        }
        _ => fail(KeyErrorKind::Unavailable, "cannot be read now"),
    };
    // Before the open, which would wait for ever on a pipe.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(fail(KeyErrorKind::Invalid, "is not a regular file; name the file that holds the key"));
    }
    if readable_by_others(&metadata) && !warned.swap(true, Ordering::Relaxed) {
        tracing::warn!(path = %path.display(), "key file can be read by every user of this machine; use mode 0640 or less");
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let limit = FileKeys::MAX_BYTES + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 >= limit {
        return Err(fail(
            KeyErrorKind::Invalid,
            "is larger than 64 KiB; it should hold one key and nothing else",
        ));
    }
    let text = str::from_utf8(&bytes)
        .map_err(|_| fail(KeyErrorKind::Invalid, "is not UTF-8; write the key as text"))?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err(fail(KeyErrorKind::Invalid, "is empty; write the key into it"));
    }
    Ok(text.into())
}

#[cfg(unix)]
fn readable_by_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn readable_by_others(_: &std::fs::Metadata) -> bool {
    false
}

impl KeyProvider for FileKeys {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(self.fetch(deadline))
    }

    fn backend(&self) -> &'static str {
        Self::BACKEND
    }
}
