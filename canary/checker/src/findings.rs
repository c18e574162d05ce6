//! One check while it grows.

use gameday_record::verdict::{Anomaly, Check, Measure, Verdict};

/// Anomalies listed in a check; the rest is counted.
pub const LISTED: usize = 20;
/// Keys named in a reason; the rest is counted.
const KEYS_NAMED: usize = 5;
/// Different reasons given; the rest is counted.
const REASONS: usize = 10;

/// Collects what one check finds.
#[derive(Debug)]
pub(crate) struct Findings {
    name: &'static str,
    anomalies: Vec<Anomaly>,
    total: u64,
    /// Why the verdict is unknown, unless something is wrong; in order.
    reasons: Vec<(String, Vec<String>, usize)>,
    /// Keys whose reason was one too many.
    more_keys: u64,
}

impl Findings {
    pub fn new(name: &'static str) -> Self {
        Findings {
            name,
            anomalies: Vec::new(),
            total: 0,
            reasons: Vec::new(),
            more_keys: 0,
        }
    }

    /// True if another anomaly would still be listed.
    pub fn has_room(&self) -> bool {
        self.anomalies.len() < LISTED
    }

    /// Anomalies found so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// True if nothing was found and nothing was left open.
    pub fn is_clean(&self) -> bool {
        self.total == 0 && self.reasons.is_empty() && self.more_keys == 0
    }

    /// Counts anomalies that are not listed.
    pub fn count(&mut self, n: u64) {
        self.total += n;
    }

    /// Lists and counts one anomaly.
    pub fn list(&mut self, anomaly: impl FnOnce() -> Anomaly) {
        self.total += 1;
        if self.has_room() {
            self.anomalies.push(anomaly());
        }
    }

    /// Lists anomalies that were counted before, as far as there is room.
    pub fn fill(&mut self, counted: Vec<Anomaly>) {
        let room = LISTED - self.anomalies.len();
        self.anomalies.extend(counted.into_iter().take(room));
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: Findings) {
        self.total += other.total;
        self.more_keys += other.more_keys;
        self.fill(other.anomalies);
        for (reason, keys, count) in other.reasons {
            match self.reason(&reason) {
                Some(at) => {
                    let (_, named, n) = &mut self.reasons[at];
                    *n += count;
                    let room = KEYS_NAMED - named.len();
                    named.extend(keys.into_iter().take(room));
                }
                None => self.more_keys += count as u64,
            }
        }
    }

    /// Where the keys of a reason are collected; `None` if it is one too many.
    fn reason(&mut self, reason: &str) -> Option<usize> {
        let at = self.reasons.iter().position(|r| r.0 == reason);
        if at.is_none() && self.reasons.len() >= REASONS {
            return None;
        }
        Some(at.unwrap_or_else(|| {
            self.reasons.push((reason.into(), Vec::new(), 0));
            self.reasons.len() - 1
        }))
    }

    /// Something could not be decided.
    pub fn unknown(&mut self, reason: impl Into<String>) {
        self.reasons.push((reason.into(), Vec::new(), 0));
    }

    /// Something could not be decided for one key. Keys with the same reason
    /// are named together.
    pub fn unknown_key(&mut self, reason: &str, key: &str) {
        let Some(at) = self.reason(reason) else {
            self.more_keys += 1;
            return;
        };
        let (_, keys, count) = &mut self.reasons[at];
        *count += 1;
        if keys.len() < KEYS_NAMED {
            keys.push(key.into());
        }
    }

    /// The check; `examined` says what was looked at.
    pub fn finish(self, examined: &str, measures: Vec<Measure>) -> Check {
        let verdict = match (self.total, self.reasons.is_empty()) {
            (0, true) => Verdict::Pass,
            (0, false) => Verdict::Unknown,
            _ => Verdict::Fail,
        };
        let mut detail = String::new();
        if self.total > 0 {
            let s = if self.total == 1 { "y" } else { "ies" };
            detail.push_str(&format!("{} anomal{s}. ", self.total));
        }
        if !self.reasons.is_empty() {
            detail.push_str("not decided: ");
            let reasons: Vec<String> = self.reasons.iter().map(say_reason).collect();
            detail.push_str(&reasons.join("; "));
            if self.more_keys > 0 {
                detail.push_str(&format!("; and {} keys for other reasons", self.more_keys));
            }
            detail.push_str(". ");
        }
        detail.push_str(examined);
        Check {
            name: self.name.into(),
            verdict,
            detail: detail.trim_end().into(),
            anomalies: self.anomalies,
            anomalies_total: self.total,
            measures,
        }
    }
}

fn say_reason((reason, keys, count): &(String, Vec<String>, usize)) -> String {
    match (keys.len(), count - keys.len()) {
        (0, _) => reason.clone(),
        (1, 0) => format!("{reason} (key {})", keys[0]),
        (_, 0) => format!("{reason} (keys {})", keys.join(", ")),
        (_, rest) => format!("{reason} (keys {} and {rest} more)", keys.join(", ")),
    }
}
