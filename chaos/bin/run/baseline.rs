//! The baseline as the canaries measured it.

use crate::recorder::Recorder;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gameday_chaos::runner::Health;
use gameday_record::timeline::Proof;
use gameday_record::{RunClock, Verdict};
use gameday_reports::BaselineRule;
use std::sync::Arc;
use std::time::Duration;

/// Judges it.
pub struct Baseline {
    /// Who has seen it.
    pub recorder: Arc<Recorder>,
    /// The run's clock.
    pub clock: RunClock,
    /// What must hold.
    pub rule: BaselineRule,
}

impl Health for Baseline {
    fn baseline(&self, lasted: Duration) -> BoxFuture<'_, Proof> {
        async move {
            if let Some(flaw) = self.recorder.flaw() {
                return Proof {
                    verdict: Verdict::Fail,
                    evidence: vec![flaw],
                };
            }
            let now = self.clock.now();
            // Calls of the last moment have not returned yet; they are not judged here.
            let to = now - Duration::from_millis(500);
            self.recorder
                .with_fold(|fold| fold.baseline(now - lasted, to, &self.rule))
        }
        .boxed()
    }
}
