//! Registers whose values carry versions, as in Jepsen's test of etcd: a write
//! is invoked with `[nil 3]` and completes with `[7 3]`, a compare-and-set with
//! `[nil [3 4]]` and `[8 [3 4]]`, a read with `[8 4]`. The server counts the
//! changes of a key from 1.
//!
//! Such calls are turned into calls on pairs of version and value, which are
//! unique: what made version 8 is a compare-and-set from the pair of version 7,
//! if that is known. So versions that go back, or that two calls made, are
//! found like any other violation.
//!
//! A change of unknown outcome does not say which version it made. Where a
//! version was seen that no call says it made, it was the earliest such change
//! of the same value: of several that one constrains the least. Where changes
//! of different sorts could have made it, that is left open ([`Choice::Open`]).

use super::edn::Edn;
use super::pair::Call;
use gameday_record::EventKind;
use std::collections::BTreeMap;

/// Whether it is known who made every version that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is, or nobody can have.
    Made,
    /// More than one change of unknown outcome may have.
    Open,
}

/// A version and the value that it was seen with, in canonical form.
type Pair<'a> = (i64, Edn<'a>);

/// Turns the calls into calls on pairs; `None` if their values are no such.
pub(super) fn resolve(calls: &mut Vec<Call<'_>>) -> Option<Choice> {
    let register = |c: &Call<'_>| matches!(&*c.f, "read" | "write" | "cas");
    let asks = |c: &Call<'_>| second(&c.asked).is_some_and(|(version, _)| *version == Edn::Nil);
    let answered = |c: &Call<'_>| ok(c) && versioned(&c.answer).is_some();
    if !calls.iter().all(|c| register(c) && asks(c)) || !calls.iter().any(answered) {
        return None;
    }
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, call) in calls.iter().enumerate() {
        let name = call.key.as_ref().map_or_else(String::new, Edn::to_string);
        keys.entry(name).or_default().push(i);
    }
    let mut choice = Choice::Made;
    let mut gone = vec![false; calls.len()];
    for of_key in keys.values() {
        if key(calls, of_key, &mut gone) == Choice::Open {
            choice = Choice::Open;
        }
    }
    let mut gone = gone.into_iter();
    calls.retain(|_| !gone.next().unwrap_or_default());
    Some(choice)
}

fn key(calls: &mut [Call<'_>], of_key: &[usize], gone: &mut [bool]) -> Choice {
    // What was there, who saw it first (when that was over), and whether
    // somebody says that he made it.
    let mut seen: BTreeMap<i64, Vec<Seen<'_>>> = BTreeMap::new();
    for i in of_key {
        let call = &calls[*i];
        if !ok(call) {
            continue;
        }
        let until = call.finish.unwrap_or(u64::MAX);
        for (pair, made) in shown(call) {
            note(&mut seen, pair, until, made);
        }
    }
    let mut choice = Choice::Made;
    let mut taken: BTreeMap<usize, i64> = BTreeMap::new();
    let orphans = seen
        .iter()
        .flat_map(|(v, all)| all.iter().map(move |s| (*v, s)));
    for (version, orphan) in orphans.filter(|(_, s)| !s.made) {
        let before = seen.get(&(version - 1));
        let may = |i: &&usize| {
            let call = &calls[**i];
            !taken.contains_key(*i)
                && !matches!(call.outcome, Some(EventKind::Ok | EventKind::Fail))
                && call.start <= orphan.until
                && makes(call, &orphan.value, before)
        };
        let mut candidates = of_key.iter().filter(may);
        let Some(first) = candidates.next() else {
            continue;
        };
        let alike = |i: &usize| calls[*i].f == "write" && calls[*first].f == "write";
        match candidates.all(alike) {
            true => _ = taken.insert(*first, version),
            false => choice = Choice::Open,
        }
    }
    let only = |version: i64| match seen.get(&version).map(Vec::as_slice) {
        Some([one]) => Some(one.value.clone()),
        _ => None,
    };
    let mut new: Vec<(usize, Option<Change<'_>>)> = Vec::new();
    for i in of_key {
        let call = &calls[*i];
        let change = match (ok(call), taken.get(i)) {
            (true, _) => versioned(&call.answer).map(|(v, value)| (v, value.canonical())),
            (false, Some(v)) => second(&call.asked).map(|(_, value)| (*v, value.canonical())),
            (false, None) => None,
        };
        new.push((
            *i,
            change.and_then(|(v, value)| turned(&call.f, v, value, &only)),
        ));
    }
    for (i, change) in new {
        let call = &mut calls[i];
        match change {
            None if ok(call) && call.f == "read" => {
                // It found nothing, or does not say what.
                call.answer = Edn::Nil;
            }
            None => gone[i] = true,
            Some(Change::Read(pair)) => call.answer = owned(pair),
            Some(Change::Write(pair)) => {
                call.f = "write".into();
                call.asked = owned(pair);
                call.answer = Edn::Nil;
            }
            Some(Change::Cas(from, to)) => {
                call.f = "cas".into();
                call.asked = Edn::Vector(vec![from.map_or(Edn::Nil, owned), owned(to)]);
                call.answer = Edn::Nil;
            }
        }
    }
    choice
}

struct Seen<'a> {
    value: Edn<'a>,
    /// When the first call that shows it was over.
    until: u64,
    made: bool,
}

/// What a call is about pairs.
enum Change<'a> {
    Read(Pair<'a>),
    Write(Pair<'a>),
    Cas(Option<Pair<'a>>, Pair<'a>),
}

fn turned<'a>(
    f: &str,
    version: i64,
    value: Edn<'a>,
    only: &impl Fn(i64) -> Option<Edn<'a>>,
) -> Option<Change<'a>> {
    match (f, value) {
        (_, Edn::Nil) => None,
        ("read", value) => Some(Change::Read((version, value))),
        ("cas", Edn::Vector(mut pair)) if pair.len() == 2 => {
            let to = pair.pop()?;
            let from = pair.pop().filter(|v| *v != Edn::Nil);
            Some(Change::Cas(from.map(|v| (version - 1, v)), (version, to)))
        }
        ("cas", _) => None,
        (_, value) => Some(match (version, only(version - 1)) {
            (1, _) => Change::Cas(None, (1, value)),
            (_, Some(before)) => Change::Cas(Some((version - 1, before)), (version, value)),
            (_, None) => Change::Write((version, value)),
        }),
    }
}

/// The pairs that a call shows, and whether it made them.
fn shown<'a>(call: &Call<'a>) -> Vec<(Pair<'a>, bool)> {
    let Some((version, value)) = versioned(&call.answer) else {
        return Vec::new();
    };
    let value = value.canonical();
    match (&*call.f, value) {
        (_, Edn::Nil) => Vec::new(),
        ("cas", Edn::Vector(mut pair)) if pair.len() == 2 => {
            let to = pair.pop().map(|v| ((version, v), true));
            let from = pair.pop().filter(|v| *v != Edn::Nil);
            let from = from.map(|v| ((version - 1, v), false));
            from.into_iter().chain(to).collect()
        }
        ("cas", _) => Vec::new(),
        (f, value) => vec![((version, value), f == "write")],
    }
}

fn note<'a>(seen: &mut BTreeMap<i64, Vec<Seen<'a>>>, pair: Pair<'a>, until: u64, made: bool) {
    let all = seen.entry(pair.0).or_default();
    match all.iter_mut().find(|s| s.value == pair.1) {
        Some(known) => {
            known.until = known.until.min(until);
            known.made |= made;
        }
        None => all.push(Seen {
            value: pair.1,
            until,
            made,
        }),
    }
}

/// Whether a call may have written this value over one of the version before.
fn makes(call: &Call<'_>, value: &Edn<'_>, before: Option<&Vec<Seen<'_>>>) -> bool {
    let Some((_, asked)) = second(&call.asked) else {
        return false;
    };
    match (&*call.f, asked.canonical()) {
        ("write", asked) => asked == *value,
        ("cas", Edn::Vector(pair)) if pair.len() == 2 => {
            let held = |all: &Vec<Seen<'_>>| all.iter().any(|s| s.value == pair[0]);
            pair[1] == *value && before.is_none_or(held)
        }
        _ => false,
    }
}

fn ok(call: &Call<'_>) -> bool {
    call.outcome == Some(EventKind::Ok)
}

fn second<'b, 'a>(form: &'b Edn<'a>) -> Option<(&'b Edn<'a>, &'b Edn<'a>)> {
    match form {
        Edn::Vector(v) => <&[Edn<'a>; 2]>::try_from(v.as_slice())
            .ok()
            .map(|[a, b]| (a, b)),
        _ => None,
    }
}

fn versioned<'b, 'a>(form: &'b Edn<'a>) -> Option<(i64, &'b Edn<'a>)> {
    match second(form) {
        Some((Edn::Int(version), value)) => Some((*version, value)),
        _ => None,
    }
}

fn owned<'a>((version, value): Pair<'a>) -> Edn<'a> {
    Edn::Vector(vec![Edn::Int(version), value])
}
