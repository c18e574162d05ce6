//! What containers of this engine can do: tried in a short-lived one of our
//! own image, with the rights of an agent and a network of its own.

use super::attach::{Stderr, attach};
use super::containers::Maker;
use super::deadline::bounded;
use super::{containers, engine, leftovers};
use crate::runtime::control::lock;
use crate::runtime::facilities::{Facilities, MAX_ANSWER};
use crate::runtime::leftover::Thing;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

/// Deadline of the probe's answer, once its container runs.
const ANSWER: Duration = Duration::from_secs(20);

/// What containers can do here; found out once in the life of this process. Without an engine,
/// or if the probe fails, nothing is known.
pub async fn facilities() -> &'static Facilities {
    static FOUND: OnceCell<Facilities> = OnceCell::const_new();
    let find = || async {
        probe()
            .await
            .unwrap_or_else(|why| Facilities::unknown(&why))
    };
    FOUND.get_or_init(find).await
}

async fn probe() -> Result<Facilities, String> {
    let (docker, _) = engine::connect().await?;
    let maker = Maker::alone(&docker, "probe").await?;
    let made = bounded("probe", maker.prober()).await.map_err(|e| e.0)?;
    let answer = tokio::time::timeout(ANSWER, ask(&maker, &made)).await;
    // The engine removes it at its end; one that never started, or hangs, has none.
    let (id, name) = (made, containers::base_name(&maker.marks));
    let removed = leftovers::remove(&docker, &Thing::Container { id, name }).await;
    let answer = answer.map_err(|_| format!("the probe does not answer within {ANSWER:?}"))??;
    removed.map_err(|e| format!("the probe's container is not removed: {e}"))?;
    Ok(answer)
}

async fn ask(maker: &Maker, id: &str) -> Result<Facilities, String> {
    let stderr = Stderr::default();
    let streams = attach(&maker.docker, id, stderr.clone()).await?;
    maker.start(id).await?;
    let mut text = String::new();
    let mut stdout = streams.stdout.take(MAX_ANSWER);
    let read = stdout.read_to_string(&mut text).await;
    read.map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| {
        let said = String::from_utf8_lossy(&lock(&stderr)).trim().to_string();
        format!("the probe's answer is not understood: {e} {said}")
    })
}
