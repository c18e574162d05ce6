//! `until`: what ends a hold before its time.

use super::fields::{Fields, Mistakes};
use super::suggest::hint;
use gameday_record::AlarmSpec;
use std::fmt;

/// The one word that is no alarm's name.
const LEADER_CHANGE: &str = "leader-change";

/// What a step waits for while it holds; `for` is how long at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// The alarm of this name fires.
    Alarm(String),
    /// Any replication group has another leader than before the injection.
    LeaderChange,
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::Alarm(name) => write!(f, "alarm '{name}' fires"),
            Until::LeaderChange => f.write_str("a leader changes"),
        }
    }
}

/// Reads it; the alarm must be one of the playbook's.
pub(super) fn read(
    f: &Fields<'_, '_>,
    alarms: &[AlarmSpec],
    m: &mut Mistakes<'_>,
) -> Option<Until> {
    let value = f.get("until")?;
    let name = f.text("until", 80, m)?;
    if name == LEADER_CHANGE {
        return Some(Until::LeaderChange);
    }
    if alarms.iter().any(|a| a.name == name) {
        return Some(Until::Alarm(name));
    }
    let mut known: Vec<&str> = alarms.iter().map(|a| a.name.as_str()).collect();
    known.push(LEADER_CHANGE);
    m.wrong_help(
        value.span(),
        "'until' names neither an alarm of this playbook nor leader-change",
        hint(&name, &known),
    );
    None
}
