//! Exit codes, the same for every command.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Pass,
    /// 1: an SLO missed, or an anomaly in the data.
    Fail,
    /// 2: could not be decided.
    Inconclusive,
    /// 4: something could not be reverted.
    NotClean,
    /// 64: the command line or the playbook is wrong.
    Usage,
    /// 70: gameday itself failed.
    Internal,
    /// Any other code, as a report gives it (3, 130, 143 …).
    Code(u8),
}

impl Exit {
    /// Of a command that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    pub fn of_signal(signal: i32) -> Exit {
        Exit::Code(u8::try_from(128 + signal).unwrap_or(130))
    }

    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Pass => 0,
            Exit::Fail => 1,
            Exit::Inconclusive => 2,
            Exit::NotClean => 4,
            Exit::Usage => 64,
            Exit::Internal => 70,
            Exit::Code(c) => c,
        }
    }
}
