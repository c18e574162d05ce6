//! One stop signal for every phase: Ctrl-C, SIGTERM or SIGHUP.

use crate::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Listens for signals from its creation on. The first one stops the run in an
/// orderly way; further ones change nothing, because reverting goes first.
///
/// A signal that was ignored when the program began stays ignored: that is how `nohup` and shells
/// that put something into the background ask for it.
#[derive(Clone)]
pub struct Stop {
    seen: watch::Receiver<Option<i32>>,
}

impl Stop {
    /// Installs the handlers.
    pub fn install() -> std::io::Result<Self> {
        Stop::install_saying((
            "\ninterrupted: reverting, letting the system go and writing the report",
            "still reverting; it ends by itself",
        ))
    }

    /// Installs the handlers, which say the one at the first signal and the
    /// other at further ones.
    pub fn install_saying(
        (first_said, then_said): (&'static str, &'static str),
    ) -> std::io::Result<Self> {
        let (tx, seen) = watch::channel(None);
        let mut int = listen(libc::SIGINT)?;
        let mut term = listen(libc::SIGTERM)?;
        let mut hup = listen(libc::SIGHUP)?;
        tokio::spawn(async move {
            loop {
                let got = tokio::select! {
                    () = comes(&mut int) => libc::SIGINT,
                    () = comes(&mut term) => libc::SIGTERM,
                    () = comes(&mut hup) => libc::SIGHUP,
                };
                let first = tx.send_if_modified(|seen| match seen {
                    None => {
                        *seen = Some(got);
                        true
                    }
                    Some(_) => false,
                });
                warn!("{}", if first { first_said } else { then_said });
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

/// For what is short and leaves something behind when it is cut off: a signal changes how it
/// ends, not that it does.
pub async fn to_its_end(work: impl Future<Output = Exit>) -> Exit {
    let said = (
        "\ninterrupted: what was made to find out is taken away first",
        "it ends by itself",
    );
    let stop = match Stop::install_saying(said) {
        Ok(stop) => stop,
        Err(e) => {
            warn!("signals cannot be handled: {e}");
            return Exit::Internal;
        }
    };
    let exit = work.await;
    stop.signal().map_or(exit, Exit::of_signal)
}

/// Nothing, if the signal was ignored when the program began.
fn listen(number: i32) -> std::io::Result<Option<Signal>> {
    match is_ignored(number)? {
        true => Ok(None),
        false => signal(SignalKind::from_raw(number)).map(Some),
    }
}

fn is_ignored(number: i32) -> std::io::Result<bool> {
    // SAFETY: sigaction is plain data, and without a new action the call only writes the old one.
    let (done, now) = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        let done = libc::sigaction(number, std::ptr::null(), &mut now);
        (done, now)
    };
    match done {
        0 => Ok(now.sa_sigaction == libc::SIG_IGN),
        _ => Err(std::io::Error::last_os_error()),
    }
}

async fn comes(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
