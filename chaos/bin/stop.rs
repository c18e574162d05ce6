//! One stop signal for every phase: Ctrl-C, SIGTERM or SIGHUP.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Listens for signals from its creation on. The first one stops the run in an
/// orderly way; further ones change nothing, because reverting goes first.
#[derive(Clone)]
pub struct Stop {
    seen: watch::Receiver<Option<i32>>,
}

impl Stop {
    /// Installs the handlers.
    pub fn install() -> std::io::Result<Self> {
        Stop::install_saying((
            "\ninterrupted: reverting, taking the cluster down and writing the report",
            "still reverting; it ends by itself",
        ))
    }

    /// Installs the handlers, which say the one at the first signal and the
    /// other at further ones.
    pub fn install_saying(
        (first_said, then_said): (&'static str, &'static str),
    ) -> std::io::Result<Self> {
        let (tx, seen) = watch::channel(None);
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let mut hup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            loop {
                let got = tokio::select! {
                    _ = int.recv() => libc::SIGINT,
                    _ = term.recv() => libc::SIGTERM,
                    _ = hup.recv() => libc::SIGHUP,
                };
                let first = tx.send_if_modified(|seen| match seen {
                    None => {
                        *seen = Some(got);
                        true
                    }
                    Some(_) => false,
                });
                eprintln!("{}", if first { first_said } else { then_said });
            }
        });
        Ok(Stop { seen })
    }

    /// The signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        *self.seen.borrow()
    }

    /// Resolves when a signal came (at once if it already did).
    pub async fn stopped(&self) -> i32 {
        let mut seen = self.seen.clone();
        let got = seen.wait_for(Option::is_some).await.map(|signal| *signal);
        match got {
            Ok(signal) => signal.unwrap_or(libc::SIGINT),
            // The handler task lives as long as the process; should it be gone, nothing stops us.
            Err(_) => std::future::pending().await,
        }
    }
}
