//! Ctrl-C, and the signal by which a service manager ends a process.

use std::future::pending;

/// Completes at the first Ctrl-C or, on Unix, `SIGTERM`.
#[cfg(unix)]
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => pending().await,
        }
    };
    futures_util::future::select(Box::pin(ctrl_c()), Box::pin(terminated)).await;
}

/// Completes at the first Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    ctrl_c().await;
}

async fn ctrl_c() {
    // Without a handler the default stays in force and ends the process.
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}
