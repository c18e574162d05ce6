//! The canaries of a run: started, asked for final reads, stopped.

use super::Run;
use crate::recorder::{Canary, tell_all};
use crate::system::canaries::Task;
use futures_util::future::try_join_all;
use gameday_canary::protocol::Command;
use std::collections::BTreeMap;
use std::time::Duration;

/// A canary must be ready in this time.
const READY: Duration = Duration::from_secs(20);
/// So long after their deadline the last of the final reads has ended, and that is known, once no
/// other call is in flight: each of those may still take its timeout.
const FINAL: Duration = Duration::from_secs(20);
/// The stream ends, once no call is in flight.
const DONE: Duration = Duration::from_secs(20);

impl Run {
    /// Starts one in each AZ.
    pub(super) async fn start_canaries(
        &self,
        canaries: &mut BTreeMap<String, Canary>,
    ) -> Result<(), String> {
        let launches = self.system.canaries(&Task {
            workload: &self.prepared.playbook.measuring.workload,
            seed: self.prepared.seed,
            clock: self.clock,
        })?;
        let launched = launches.into_iter().map(|launch| async move {
            let name = launch.unit.clone();
            let instrument = self.runtime.launch_instrument(launch).await;
            instrument.map(|i| (name, i)).map_err(|e| e.to_string())
        });
        for (name, instrument) in try_join_all(launched).await? {
            canaries.insert(name.clone(), self.recorder.attach(&name, instrument));
        }
        for canary in canaries.values_mut() {
            canary.wait("ready", READY, |p| p.ready).await?;
        }
        let failed = tell_all(canaries, Command::Start).await;
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// How long a call of a canary may take.
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.prepared.playbook.measuring.workload.timeout_ms)
    }

    /// Every key is read a last time.
    pub(super) async fn final_reads(&self, canaries: &mut BTreeMap<String, Canary>) {
        let workload = &self.prepared.playbook.measuring.workload;
        let keys = gameday_canary::most_keys(workload, self.system.topology().azs.len());
        let within = gameday_canary::final_reads_within(keys) + self.timeout() + FINAL;
        let mut failed = tell_all(canaries, Command::Final).await;
        for canary in canaries.values_mut() {
            failed.extend(
                canary
                    .wait("done with its final reads", within, |p| p.last.is_some())
                    .await
                    .err(),
            );
        }
        for why in failed {
            self.note(format!("final reads: {why}")).await;
        }
    }

    /// Ends their streams.
    pub(super) async fn stop_canaries(&self, canaries: &mut BTreeMap<String, Canary>) {
        let mut failed = tell_all(canaries, Command::Stop).await;
        for canary in canaries.values_mut() {
            failed.extend(
                canary
                    .wait("done", self.timeout() + DONE, |p| {
                        p.done.is_some() && p.ended.is_some()
                    })
                    .await
                    .err(),
            );
        }
        for why in failed {
            self.recorder.spoil(why);
        }
        self.recorder.flush();
    }
}
