//! What is done to the process of an adopted container, over the engine, so that
//! the engine knows that it was wanted: a restart policy then does not undo it.
//! Each of these waits for the engine for as long as it takes; `acts` says when
//! to stop waiting.

use super::bounds;
use super::found::{Bounds, Found, Standing};
use crate::runtime::docker::deadline::err;
use crate::runtime::docker::engine::status;
use crate::runtime::docker::inspect::inspect;
use crate::runtime::docker::state;
use crate::runtime::limits::Limits;
use crate::runtime::{ProcessState, RuntimeError};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    KillContainerOptions, RestartContainerOptions, StartContainerOptions, StopContainerOptions,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between two looks at a container that should end.
const LOOK: Duration = Duration::from_millis(20);
/// How long a container may take to end after SIGKILL.
const END: Duration = Duration::from_secs(20);

/// One container.
#[derive(Clone)]
pub(super) struct Life {
    /// Its engine, which is waited for.
    pub docker: Docker,
    /// Its id.
    pub id: String,
}

fn said(done: Result<(), Error>) -> Result<(), RuntimeError> {
    done.map_err(|e| err(e.to_string()))
}

impl Life {
    /// What its process is doing.
    pub async fn state(&self) -> Result<ProcessState, RuntimeError> {
        let said = inspect(&self.docker, &self.id).await?;
        let said = said.ok_or_else(|| err("its container was removed"))?;
        let state = said
            .state
            .ok_or_else(|| err("Docker does not say what it is doing"))?;
        Ok(state::of(&state))
    }

    async fn found(&self) -> Result<Found, RuntimeError> {
        let said = inspect(&self.docker, &self.id).await?;
        Found::read(said.ok_or_else(|| err("its container was removed"))?).map_err(err)
    }

    /// SIGKILL, and waits until it has ended.
    pub async fn kill(self) -> Result<(), RuntimeError> {
        let options = KillContainerOptions {
            signal: "SIGKILL".into(),
        };
        match self.docker.kill_container(&self.id, Some(options)).await {
            // It does not run: what was wanted.
            Err(e) if status(&e) == Some(409) => {}
            done => said(done)?,
        }
        let ended = async {
            while !matches!(self.state().await?, ProcessState::Exited(_)) {
                sleep(LOOK).await;
            }
            Ok(())
        };
        let late = || err(format!("it has not ended {END:?} after SIGKILL"));
        timeout(END, ended).await.unwrap_or_else(|_| Err(late()))
    }

    /// Its own signal to stop, and SIGKILL after its own time to stop, as it is configured.
    pub async fn stop(self) -> Result<(), RuntimeError> {
        said(
            self.docker
                .stop_container(&self.id, None::<StopContainerOptions>)
                .await,
        )
    }

    /// Starts it unless it runs.
    pub async fn start(&self) -> Result<(), RuntimeError> {
        said(
            self.docker
                .start_container(&self.id, None::<StartContainerOptions>)
                .await,
        )
    }

    /// Stops it as `stop` does, and starts it.
    pub async fn restart(&self) -> Result<(), RuntimeError> {
        said(
            self.docker
                .restart_container(&self.id, None::<RestartContainerOptions>)
                .await,
        )
    }

    /// Freezes it unless it is frozen.
    pub async fn pause(self) -> Result<(), RuntimeError> {
        match self.found().await?.standing {
            Standing::Paused => Ok(()),
            _ => said(self.docker.pause_container(&self.id).await),
        }
    }

    /// Thaws it if it is frozen.
    pub async fn resume(self) -> Result<(), RuntimeError> {
        match self.found().await?.standing {
            Standing::Paused => said(self.docker.unpause_container(&self.id).await),
            _ => Ok(()),
        }
    }

    /// Bounds it; where nothing is asked for, as it was.
    pub async fn limit(self, before: Bounds, limits: Limits) -> Result<(), RuntimeError> {
        let body = match limits == Limits::default() {
            true => match bounds::back(&before, &self.found().await?.bounds) {
                Some(body) => body,
                None => return Ok(()),
            },
            false => bounds::narrowed(&before, limits).map_err(err)?,
        };
        said(self.docker.update_container(&self.id, body).await)
    }

    /// `docker inspect` of it, as it is now.
    pub async fn inspected(&self) -> Result<serde_json::Value, RuntimeError> {
        let said = inspect(&self.docker, &self.id).await?;
        let said = said.ok_or_else(|| err("its container was removed"))?;
        serde_json::to_value(said).map_err(|e| err(e.to_string()))
    }
}
