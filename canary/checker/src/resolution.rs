//! Writes of unknown outcome, found out afterwards.

use crate::intake::takes_part;
use crate::log::{Code, Effect, Entry, Log};
use gameday_record::verdict::Resolution;
use hashbrown::HashSet;

/// What became of the writes (and insertions, conditional writes, additions)
/// of unknown outcome.
///
/// `seen`: a read, or a conditional write that succeeded or told what it
/// found, shows the value, so the write took effect. For what was not seen,
/// `logged` is asked about table, key, value and when it was sent: `Some(true)` if the store's
/// log has the write as applied, `Some(false)` if it is whole and does not,
/// `None` if that is not known. Additions have no value of their own and stay
/// open, as does a value that is written to its key more than once.
///
/// ```
/// use gameday_checker::log::Log;
/// use gameday_checker::{generate, resolve};
/// let history = generate::history(&generate::Options::default());
/// let log = Log::of(&history)?;
/// let r = resolve(&log, |_, _, _, _| Some(false));
/// assert!(r.unknown > 0 && r.seen > 0);
/// assert_eq!(r.unknown, r.seen + r.absent);
/// assert_eq!(resolve(&log, |_, _, _, _| None).open, r.absent);
/// # Ok::<(), gameday_checker::log::Full>(())
/// ```
pub fn resolve(log: &Log, logged: impl Fn(&str, &str, i64, u64) -> Option<bool>) -> Resolution {
    let mut r = Resolution::default();
    let mut open: HashSet<(u32, i64)> = HashSet::new();
    let mut twice: HashSet<(u32, i64)> = HashSet::new();
    for e in log.entries.iter().filter(|e| unknown_write(e)) {
        r.unknown += 1;
        let value = (e.key, e.second());
        let nameless = matches!(
            e.code,
            Code::Add | Code::Append | Code::Dequeue | Code::Drain
        );
        if nameless || !open.insert(value) {
            twice.insert(value);
        }
    }
    if r.unknown == 0 {
        return r;
    }
    for e in &log.entries {
        if !unknown_write(e) && writes(e) && open.contains(&(e.key, e.second())) {
            twice.insert((e.key, e.second()));
        }
    }
    let mut seen: HashSet<(u32, i64)> = HashSet::new();
    let mut see = |key: u32, v: i64| {
        if open.contains(&(key, v)) {
            seen.insert((key, v));
        }
    };
    for e in &log.entries {
        match (e.code, e.effect) {
            (
                Code::Read | Code::EventualRead | Code::Get | Code::Cas | Code::Dequeue,
                Effect::Ok,
            ) => {
                log.first(e).into_iter().for_each(|v| see(e.key, v));
            }
            (Code::Cas, Effect::Refused) => {
                log.third(e)
                    .flatten()
                    .into_iter()
                    .for_each(|v| see(e.key, v));
            }
            (Code::ReadSet | Code::Drain, Effect::Ok) => {
                log.elements_of(e).iter().for_each(|v| see(e.key, *v));
            }
            _ => {}
        }
    }
    for e in log.entries.iter().filter(|e| unknown_write(e)) {
        let value = (e.key, e.second());
        if twice.contains(&value) {
            r.open += 1;
        } else if seen.contains(&value) {
            r.seen += 1;
        } else {
            let (table, key) = (log.table_name(e.key), log.key_name(e.key));
            match logged(table, key, e.second(), e.start) {
                Some(true) => r.logged += 1,
                Some(false) => r.absent += 1,
                None => r.open += 1,
            }
        }
    }
    r
}

fn unknown_write(e: &Entry) -> bool {
    e.effect == Effect::Unknown && writes(e)
}

fn writes(e: &Entry) -> bool {
    let effect = matches!(e.effect, Effect::Ok | Effect::Unknown);
    e.code == Code::Add || !e.code.reads() && takes_part(e) && effect
}
