//! A panic anywhere in this process is noticed: whichever task or thread it ends, it is said, and
//! whoever has something in force is told to end it in order.

use futures_util::FutureExt;
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::sync::LazyLock;
use tokio::sync::watch;

/// What the first one said.
static FIRST: LazyLock<watch::Sender<Option<String>>> = LazyLock::new(watch::Sender::default);

/// From now on, panics are noticed.
pub fn notice() {
    std::panic::set_hook(Box::new(|info| {
        let text = words(info);
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => warn!("{text}\n{backtrace}"),
            _ => warn!("{text}"),
        }
        FIRST.send_if_modified(|first| match first {
            None => {
                *first = Some(text);
                true
            }
            Some(_) => false,
        });
    }));
}

fn words(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(|l| format!(" in {l}"));
    format!(
        "gameday failed{}: {}",
        place.unwrap_or_default(),
        message(info.payload())
    )
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

/// What the first panic said, if there was one.
pub fn seen() -> Option<String> {
    FIRST.borrow().clone()
}

/// Resolves with what the first panic said, at once if there was one.
pub async fn comes() -> String {
    let mut first = FIRST.subscribe();
    let text = first.wait_for(Option::is_some).await.map(|t| t.clone());
    match text {
        Ok(text) => text.unwrap_or_default(),
        // The sender is never dropped.
        Err(_) => std::future::pending().await,
    }
}

/// Drives `work` to its end, or to its panic, whose words are the error.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|payload| format!("gameday failed: {}", message(payload.as_ref())))
}

/// The same for what is no future.
pub fn caught_here<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    done.map_err(|payload| format!("gameday failed: {}", message(payload.as_ref())))
}

/// Panics where `GAMEDAY_PANIC` says so: a bug on purpose, as the store has some, in the builds
/// that have those alone.
pub fn on_purpose(place: &str) {
    if gameday_cluster::config::Bug::ALL.is_empty() {
        return;
    }
    if std::env::var("GAMEDAY_PANIC").is_ok_and(|wanted| wanted == place) {
        panic!("a panic on purpose ({place})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the hook is the whole process's.
    #[tokio::test]
    async fn a_panic_of_a_task_that_nobody_waits_for_is_noticed() {
        assert_eq!(caught(async { 5 }).await, Ok(5));
        let usual = std::panic::take_hook();
        notice();
        tokio::spawn(async { panic!("nobody waits for {}", "this") });
        let said = comes().await;
        std::panic::set_hook(usual);
        assert!(said.contains("nobody waits for this"), "{said}");
        assert!(said.contains("panics.rs"), "{said}");
        assert_eq!(seen(), Some(said));

        let why = caught(async { panic!("half way") }).await.map(|()| 0);
        assert_eq!(why, Err("gameday failed: half way".into()));
    }
}
