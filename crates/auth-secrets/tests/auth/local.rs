//! Environment and file.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use trunkline_auth_secrets::{EnvKeys, FileKeys};
use trunkline_core_types::{Clock, KeyErrorKind, KeyProvider, VirtualClock};

use crate::support::{Logged, soon};

/// A directory that is removed when the test ends.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_variable_is_read_with_its_id() {
    // The environment of a running process cannot be changed safely, so a child gets it.
    if std::env::var_os("TRUNKLINE_TEST_CHILD").is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "local::a_variable_is_read_with_its_id"])
            .envs([
                ("TRUNKLINE_TEST_CHILD", "1"),
                ("KEY_VAR", "canary-env\n"),
                ("ID_VAR", "AC1"),
                ("EMPTY_VAR", ""),
            ])
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "the child ran nothing");
        return;
    }
    let keys = EnvKeys::new("KEY_VAR").with_id_var("ID_VAR");
    let read = keys.keys(soon()).await.unwrap();
    assert_eq!((read.current.expose(), read.current.id()), ("canary-env\n", Some("AC1")));
    assert_eq!((read.current.version(), read.previous.is_none()), ("env-1", true));
    assert_eq!(keys.keys(soon()).await.unwrap().current.version(), "env-1");
    assert!(!format!("{keys:?} {read:?}").contains("canary"));

    let empty = EnvKeys::new("EMPTY_VAR").keys(soon()).await.unwrap_err();
    assert_eq!(empty.kind(), KeyErrorKind::Invalid);
    let no_id = EnvKeys::new("KEY_VAR").with_id_var("ABSENT_VAR").keys(soon()).await.unwrap_err();
    assert_eq!(no_id.kind(), KeyErrorKind::Missing);
    assert!(no_id.to_string().contains("ABSENT_VAR"), "{no_id}");
}

#[tokio::test]
async fn a_file_is_trimmed_once_and_read_again_when_it_changes() {
    let folder = Folder::new("rotates");
    let path = folder.0.join("key");
    let keys = FileKeys::new(&path).with_id("AC1");
    for (written, value, version) in [
        ("first\n", "first", "file-1"),
        ("first\r\n", "first", "file-1"),
        ("second\n\n", "second\n", "file-2"),
        (" third ", " third ", "file-3"),
    ] {
        std::fs::write(&path, written).unwrap();
        let read = keys.keys(soon()).await.unwrap().current;
        assert_eq!((read.expose(), read.version(), read.id()), (value, version, Some("AC1")), "{written:?}");
    }
    assert!(!format!("{keys:?}").contains("third"));
}

#[tokio::test]
async fn files_that_hold_no_key_are_refused_with_the_path_and_without_the_content() {
    let folder = Folder::new("refused");
    let large = vec![b'c'; 64 * 1024 + 1];
    for (name, content, kind) in [
        ("empty", &b""[..], KeyErrorKind::Invalid),
        ("newline", b"\n", KeyErrorKind::Invalid),
        ("binary", b"canary\xff", KeyErrorKind::Invalid),
        ("large", &large, KeyErrorKind::Invalid),
    ] {
        let path = folder.0.join(name);
        std::fs::write(&path, content).unwrap();
        let error = FileKeys::new(&path).keys(soon()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert!(
            error.to_string().contains(name) && !format!("{error} {error:?}").contains("canary"),
            "{error}"
        );
    }
    std::fs::write(folder.0.join("largest"), &large[1..]).unwrap();
    assert!(FileKeys::new(folder.0.join("largest")).keys(soon()).await.is_ok());
    let absent = FileKeys::new(folder.0.join("absent")).keys(soon()).await.unwrap_err();
    assert_eq!(absent.kind(), KeyErrorKind::Missing);
    let directory = FileKeys::new(&folder.0).keys(soon()).await.unwrap_err();
    assert_eq!(directory.kind(), KeyErrorKind::Invalid);
}

#[cfg(unix)]
#[test]
fn a_file_that_everybody_may_read_is_served_with_one_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("open");
    let logged = Logged::default();
    for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
        let path = folder.0.join(format!("key-{mode:o}"));
        std::fs::write(&path, "canary").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        // The read runs on another thread, so the log is set for that one.
        let log = logged.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .on_thread_start(move || std::mem::forget(log.capture()))
            .build()
            .unwrap();
        let keys = FileKeys::new(&path);
        for _ in 0..3 {
            assert_eq!(runtime.block_on(keys.keys(soon())).unwrap().current.expose(), "canary");
        }
        drop(runtime);
        let text = logged.text();
        assert_eq!(text.matches("every user").count(), warnings, "{mode:o}: {text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_ends_the_read() {
    let folder = Folder::new("late");
    std::fs::write(folder.0.join("key"), "value").unwrap();
    let clock = VirtualClock::new();
    let keys = FileKeys::new(folder.0.join("key")).with_clock(Arc::new(clock));
    let error = keys.keys(clock.now() - Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::Timeout);
}
