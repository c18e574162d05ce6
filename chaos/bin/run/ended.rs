//! How a run ended, where the runner does not say it.

use gameday_chaos::runner::{ExecutionSummary, Stop};
use gameday_record::RunState;

pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGTERM => "SIGTERM",
        libc::SIGHUP => "SIGHUP",
        _ => "Ctrl-C",
    }
}

pub fn stopped(why: Stop) -> ExecutionSummary {
    match why {
        Stop::Interrupted(why) => ended(RunState::Interrupted, why),
        Stop::Condition(why) | Stop::Asked(why) => ended(RunState::Stopped, why),
        Stop::Failed(why) => ended(RunState::Failed, why),
    }
}

pub fn interrupted(signal: i32) -> ExecutionSummary {
    ended(RunState::Interrupted, signal_name(signal).into())
}

pub fn failed(reason: String) -> ExecutionSummary {
    warn!("{reason}");
    ended(RunState::Failed, reason)
}

pub fn ended(state: RunState, reason: String) -> ExecutionSummary {
    ExecutionSummary {
        state,
        reason: Some(reason),
        unproven: Vec::new(),
        not_clean: Vec::new(),
    }
}
