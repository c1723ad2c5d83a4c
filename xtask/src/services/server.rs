//! One started server: its first line says that it is up; it ends with this task, however the task ends.

use crate::run;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a server may take to say that it is up.
const START: Duration = Duration::from_secs(60);

/// Ends the process it is given when stdin closes without a word: this task was killed.
const WATCH: &str = r#"trap '' INT HUP TERM; read -r word || kill -9 "$1""#;

/// A running process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    watcher: Child,
}

impl Server {
    /// Starts `command` and returns with its first line of output; its stderr goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<(Self, String)> {
        Self::start_within(command, log, START)
    }

    fn start_within(command: &mut Command, log: &Path, limit: Duration) -> Result<(Self, String)> {
        let shown = run::shown(command);
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
        let mut server = watched(child)?;
        let line =
            server.first_line(limit).with_context(|| format!("`{shown}`; its log is {}", log.display()))?;
        Ok((server, line))
    }

    fn first_line(&mut self, limit: Duration) -> Result<String> {
        let stdout = self.child.stdout.take().context("has no stdout")?;
        let (sender, receiver) = mpsc::sync_channel(1);
        // The thread ends with the server, which closes its stdout.
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let _ = sender.send(lines.next());
            lines.for_each(drop);
        });
        match receiver.recv_timeout(limit) {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("ended before it was up"),
            Err(_) => bail!("was not up after {} s", limit.as_secs()),
        }
    }
}

fn watched(mut child: Child) -> Result<Server> {
    let mut watch = run::command("sh");
    watch.args(["-c", WATCH, "watch"]).arg(child.id().to_string());
    match watch.stdin(Stdio::piped()).stdout(Stdio::null()).spawn() {
        Ok(watcher) => Ok(Server { child, watcher }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error).context("cannot start `sh`")
        }
    }
}

impl Server {
    fn end(&mut self) -> io::Result<ExitStatus> {
        // The watcher goes first and is told so: it must not hit a process that got the same id later.
        if let Some(mut stdin) = self.watcher.stdin.take() {
            let _ = stdin.write_all(b"ended\n");
        }
        let _ = self.watcher.wait();
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("xtask-{}-{name}.log", std::process::id()))
    }

    fn start(script: &str, name: &str, limit: Duration) -> (Result<(Server, String)>, String) {
        let log = log(name);
        let started = Server::start_within(run::command("sh").args(["-c", script]), &log, limit);
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        (started, text)
    }

    /// Whether no process has this id, not even an ended one that nobody waited for.
    fn ended(id: u32) -> bool {
        !Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn gives_the_first_line_and_ends_when_dropped() {
        let (started, _) = start("echo up; exec sleep 20", "up", START);
        let (server, line) = started.unwrap();
        assert_eq!(line, "up");
        let ids = [server.child.id(), server.watcher.id()];
        assert!(!ids.into_iter().any(ended));
        drop(server);
        assert!(ids.into_iter().all(ended));
    }

    #[test]
    fn does_not_wait_for_a_server_to_end_by_itself() {
        let (started, _) = start("echo up; exec sleep 20", "kill", START);
        assert!(!started.unwrap().0.end().unwrap().success());
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_log() {
        let (started, log) = start("echo no port >&2; exit 1", "ends", START);
        let error = format!("{:#}", started.unwrap_err());
        assert!(error.contains("ended before it was up") && error.contains(".log"), "{error}");
        assert_eq!(log, "no port\n");
    }

    #[test]
    fn a_server_that_says_nothing_is_ended() {
        let (started, _) = start("exec sleep 20", "silent", Duration::ZERO);
        assert!(format!("{:#}", started.unwrap_err()).contains("was not up"));
    }

    #[test]
    fn the_watcher_ends_the_server_of_a_task_that_was_killed() {
        let (started, _) = start("echo up; exec sleep 20", "orphan", START);
        let (mut server, _) = started.unwrap();
        drop(server.watcher.stdin.take());
        let status = server.child.wait().unwrap();
        assert!(!status.success());
    }
}
