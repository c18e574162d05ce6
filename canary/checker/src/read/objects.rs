//! Calls in Jepsen's terms to operations of the log: which object a call is
//! about, and what nil means.

use super::edn::Edn;
use super::event::{Event, Header, kind_of};
use super::pair::Call;
use super::values::Values;
use super::{Model, Nil};
use crate::log::{Act, Effect};
use gameday_record::EventKind;
use std::borrow::Cow;

/// What a model's calls are called; other names for the same call beside it.
const CALLS: &[(Model, &[&str])] = &[
    (Model::Register, &["read", "write"]),
    (Model::CasRegister, &["read", "write", "cas"]),
    (Model::KvAppend, &["read", "get", "put", "write", "append"]),
    (Model::Set, &["read", "add"]),
    (Model::Counter, &["read", "add"]),
    (Model::Queue, &["enqueue", "dequeue", "drain"]),
    (Model::TotalQueue, &["enqueue", "dequeue", "drain"]),
];

/// The model that the calls of a history belong to.
///
/// # Errors
/// Where a call is that no model, or not this one, has.
pub(super) fn model_of(
    calls: &[Call<'_>],
    wanted: Option<Model>,
) -> Result<Model, (usize, String)> {
    let model = wanted.unwrap_or_else(|| guess(calls));
    let known = |m: Model| {
        CALLS
            .iter()
            .find(|(of, _)| *of == m)
            .map_or(&[][..], |(_, f)| f)
    };
    for call in calls {
        let f = &*call.f;
        if known(model).contains(&f) {
            continue;
        }
        let others = CALLS.iter().filter(|(_, calls)| calls.contains(&f));
        let others: Vec<&str> = others.map(|(m, _)| m.name()).collect();
        let what = match others.as_slice() {
            [] => format!(
                "no model has the call :{f}; known are read, write, cas, get, put, append, add, enqueue, dequeue, drain"
            ),
            others => format!(
                "the model {} has no :{f} (it is a call of {})",
                model.name(),
                others.join(", ")
            ),
        };
        return Err((call.at, what));
    }
    Ok(model)
}

/// The model of a history that our writer wrote, and its name for people.
///
/// # Errors
/// Objects or calls that the writer does not write.
pub(super) fn of_header(
    header: &Header,
    calls: &[Call<'_>],
) -> Result<(Model, &'static str), (usize, String)> {
    let (model, name, known): (_, _, &[&str]) = match &*header.objects {
        "registers" => (
            Model::CasRegister,
            "registers and counters",
            &["read", "write", "cas", "add"],
        ),
        "texts" => (Model::KvAppend, "kv-append", &["get", "put", "append"]),
        "sets" => (Model::Set, "set", &["read", "add"]),
        "queues" => (Model::Queue, "queue", &["enqueue", "dequeue", "drain"]),
        "total-queues" => (
            Model::TotalQueue,
            "total-queue",
            &["enqueue", "dequeue", "drain"],
        ),
        other => return Err((0, format!("the header says that keys are {other}"))),
    };
    match calls.iter().find(|c| !known.contains(&&*c.f)) {
        Some(call) => Err((call.at, format!("{name} have no :{}", call.f))),
        None => Ok((model, name)),
    }
}

fn guess(calls: &[Call<'_>]) -> Model {
    let has = |names: &[&str]| calls.iter().any(|c| names.contains(&&*c.f));
    let collection = |form: &Edn<'_>| matches!(form, Edn::Vector(_) | Edn::List(_) | Edn::Set(_));
    if has(&["append", "put", "get"]) {
        Model::KvAppend
    } else if has(&["add"]) {
        let mut reads = calls
            .iter()
            .filter(|c| c.f == "read" && c.outcome == Some(EventKind::Ok));
        let sets = reads.any(|c| collection(&c.answer));
        if sets { Model::Set } else { Model::Counter }
    } else if has(&["cas"]) {
        Model::CasRegister
    } else {
        Model::Register
    }
}

/// Takes `[key value]` tuples of independent keys apart, in place.
///
/// The calls of one history either all have such values or none: a mixture
/// would be guesswork. `wanted`: which of the two is known.
///
/// # Errors
/// Where the mixture begins, or a completion is about another key.
pub(super) fn untuple(calls: &mut [Call<'_>], wanted: Option<bool>) -> Result<(), (usize, String)> {
    if wanted == Some(false) {
        return Ok(());
    }
    let mut tuples = wanted;
    for call in calls.iter().filter(|c| c.key.is_none()) {
        let is = tuple_of(&call.f, &call.asked);
        if *tuples.get_or_insert(is) != is {
            let what = match wanted {
                None => {
                    "some values are [key value] tuples and others are not: \
                     is this more than one history?"
                }
                Some(_) => "this value is no [key value] tuple of an independent key",
            };
            return Err((call.at, what.into()));
        }
    }
    if tuples != Some(true) {
        return Ok(());
    }
    for call in calls.iter_mut().filter(|c| c.key.is_none()) {
        let asked = std::mem::replace(&mut call.asked, Edn::Nil);
        let Some((key, value)) = split(asked) else {
            continue;
        };
        if call.outcome == Some(EventKind::Ok) {
            let answer = std::mem::replace(&mut call.answer, Edn::Nil);
            match split(answer) {
                Some((k, answer)) if k == key => call.answer = answer,
                Some((k, _)) => {
                    let what = format!(
                        "process {} invoked a call on key {key}, which returns for key {k}",
                        call.process
                    );
                    return Err((call.end_at.unwrap_or(call.at), what));
                }
                None => {
                    let what = "this value is no [key value] tuple, as the others are";
                    return Err((call.end_at.unwrap_or(call.at), what.into()));
                }
            }
        }
        call.key = Some(key);
        call.asked = value;
    }
    Ok(())
}

/// Whether the value of an invocation is a tuple of key and value.
fn tuple_of(f: &str, value: &Edn<'_>) -> bool {
    match value {
        Edn::Tagged(_, inner) => match &**inner {
            // Not what is written as a tag and one value: an instant, a UUID.
            Edn::Map(entries) => entries.iter().any(|(name, _)| is_key(name)),
            inner => tuple_of(f, inner),
        },
        Edn::Vector(v) => match (f, v.as_slice()) {
            // A value whose version is not known yet: see `versions`.
            (_, [Edn::Nil, _]) => false,
            // A compare-and-set has a pair of its own.
            ("cas", [_, second]) => matches!(second, Edn::Vector(_)),
            (_, [_, _]) => true,
            _ => false,
        },
        _ => false,
    }
}

fn is_key(name: &Edn<'_>) -> bool {
    matches!(name, Edn::Keyword(n) if n == "key" || n == "k")
}

fn split<'a>(value: Edn<'a>) -> Option<(Edn<'a>, Edn<'a>)> {
    match value {
        Edn::Vector(v) => <[Edn<'a>; 2]>::try_from(v)
            .ok()
            .map(|[k, v]| (k.canonical(), v)),
        Edn::Tagged(_, inner) => match *inner {
            Edn::Map(entries) => {
                let (mut key, mut value) = (None, Edn::Nil);
                for (name, form) in entries {
                    match name {
                        name if is_key(&name) => key = Some(form),
                        Edn::Keyword(n) if n == "value" || n == "v" => value = form,
                        _ => {}
                    }
                }
                key.map(|key| (key.canonical(), value))
            }
            inner => split(inner),
        },
        _ => None,
    }
}

/// A transaction of one micro-operation is a read or write of one key; more
/// than one is for checkers of transactions.
///
/// # Errors
/// It is another transaction.
pub(super) fn untransact(calls: &mut [Call<'_>]) -> Result<(), (usize, String)> {
    for call in calls.iter_mut().filter(|c| c.f == "txn") {
        let no = |what: &str| Err((call.at, what.to_string()));
        let Some((f, key, asked)) = single(&call.asked) else {
            return no(
                "only transactions of one read or write can be judged ([[:r k nil]] or [[:w k v]])",
            );
        };
        let answer = match call.outcome {
            Some(EventKind::Ok) => single(&call.answer),
            _ => Some((f, key.clone(), Edn::Nil)),
        };
        match answer {
            Some((g, k, answer)) if (g, &k) == (f, &key) => {
                call.f = f.into();
                call.key = Some(key);
                call.asked = asked;
                call.answer = answer;
            }
            _ => return no("this transaction returns with other calls than it was invoked with"),
        }
    }
    Ok(())
}

/// What a call that succeeded wrote is what its completion says, as in
/// Knossos: the server may have added a version, or chosen the value. True if
/// it chose one somewhere and what it chose elsewhere is not known: then calls
/// of unknown outcome may have written anything.
pub(super) fn take_answers(calls: &mut Vec<Call<'_>>) -> bool {
    let writes = |c: &Call<'_>| matches!(&*c.f, "write" | "put" | "append" | "add" | "enqueue");
    let mut chosen = false;
    for call in calls.iter_mut() {
        let pair = |form: &Edn<'_>| matches!(form, Edn::Vector(v) | Edn::List(v) if v.len() == 2);
        let counts = writes(call) || call.f == "cas" && pair(&call.answer);
        if call.outcome == Some(EventKind::Ok)
            && counts
            && call.answer != Edn::Nil
            && call.answer != call.asked
            && call.answer.canonical() != call.asked.canonical()
        {
            call.asked = std::mem::replace(&mut call.answer, Edn::Nil);
            chosen = true;
        }
    }
    let open = |c: &Call<'_>| writes(c) || c.f == "cas";
    let unknown =
        |c: &Call<'_>| open(c) && !matches!(c.outcome, Some(EventKind::Ok | EventKind::Fail));
    let strangers = chosen && calls.iter().any(unknown);
    if chosen {
        // What these would have written was not chosen, or not told.
        let untold =
            |c: &Call<'_>| writes(c) && c.asked == Edn::Nil && c.outcome != Some(EventKind::Ok);
        calls.retain(|c| !untold(c));
    }
    strangers
}

fn single<'a>(value: &Edn<'a>) -> Option<(&'static str, Edn<'a>, Edn<'a>)> {
    let Edn::Vector(calls) = value else {
        return None;
    };
    let [Edn::Vector(call)] = calls.as_slice() else {
        return None;
    };
    match call.as_slice() {
        [Edn::Keyword(f) | Edn::Text(f), key, value] => match &**f {
            "r" => Some(("read", key.clone(), value.clone())),
            "w" => Some(("write", key.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// What is needed to turn calls into acts.
pub(super) struct Meaning {
    pub model: Model,
    pub nil: Nil,
    /// Our own writer wrote the file: `:absent` stands for what is absent.
    pub ours: bool,
}

impl Meaning {
    /// What a call did.
    ///
    /// # Errors
    /// A value that its object cannot have.
    pub fn act<'b>(
        &self,
        call: &'b Call<'_>,
        values: &mut Values,
        elements: &'b mut Vec<i64>,
    ) -> Result<(Act<'b>, Effect), String> {
        let effect = match call.outcome {
            Some(EventKind::Ok) => Effect::Ok,
            Some(EventKind::Fail) if call.refused && call.f == "cas" => Effect::Refused,
            // It says that there was nothing to be dequeued.
            Some(EventKind::Fail) if call.refused && call.f == "dequeue" => Effect::Ok,
            Some(EventKind::Fail) => Effect::Failed,
            _ => Effect::Unknown,
        };
        let ok = effect == Effect::Ok;
        if ok && call.f == "dequeue" && call.answer == Edn::Nil && self.nil == Nil::Anything {
            // It took something, and does not say what.
            return Ok((Act::Dequeue(None), Effect::Unknown));
        }
        let anything = ok && call.answer == Edn::Nil && self.nil == Nil::Anything;
        let act = match (self.model, &*call.f) {
            (_, "read" | "get") if anything => Act::ReadAnything,
            (Model::KvAppend, "read" | "get") => Act::Get(match &call.answer {
                Edn::Text(text) if ok => text,
                Edn::Nil => "",
                _ if !ok => "",
                other => return Err(format!("a text is a string, not {}", kind_of(other))),
            }),
            (Model::KvAppend, "append") => Act::Append(text(&call.asked)?),
            (Model::KvAppend, _) => Act::Put(text(&call.asked)?),
            (Model::Set, "read") => {
                elements.clear();
                match &call.answer {
                    Edn::Vector(found) | Edn::List(found) | Edn::Set(found) if ok => {
                        for form in found {
                            elements.push(self.value(form, values)?);
                        }
                    }
                    Edn::Nil => {}
                    _ if !ok => {}
                    other => return Err(format!("a set is a collection, not {}", kind_of(other))),
                }
                Act::ReadSet(elements)
            }
            (Model::Set, _) => Act::AddElement(self.value(&call.asked, values)?),
            (Model::Queue | Model::TotalQueue, "enqueue") => {
                Act::Enqueue(self.value(&call.asked, values)?)
            }
            (Model::Queue | Model::TotalQueue, "dequeue") => Act::Dequeue(match call.outcome {
                Some(EventKind::Ok) => self.maybe(&call.answer, values)?,
                _ => None,
            }),
            (Model::Queue | Model::TotalQueue, _) => {
                elements.clear();
                match &call.answer {
                    Edn::Vector(found) | Edn::List(found) if ok => {
                        for form in found {
                            elements.push(self.value(form, values)?);
                        }
                    }
                    Edn::Nil => {}
                    _ if !ok => {}
                    other => {
                        return Err(format!("a drain returns a list, not {}", kind_of(other)));
                    }
                }
                Act::Drain(elements)
            }
            (Model::Counter, "read") => Act::Read {
                strong: true,
                found: match &call.answer {
                    Edn::Nil => None,
                    form if ok => Some(number(form)?),
                    _ => None,
                },
            },
            (_, "add") => Act::Add {
                delta: number(&call.asked)?,
                sum: call.more.sum.filter(|_| ok),
            },
            (_, "read") => Act::Read {
                strong: true,
                found: if ok {
                    self.maybe(&call.answer, values)?
                } else {
                    None
                },
            },
            (_, "cas") => {
                let (expected, new) = match &call.asked {
                    Edn::Vector(v) | Edn::List(v) if v.len() == 2 => (&v[0], &v[1]),
                    other => {
                        return Err(format!(
                            "the value of a :cas is [expected new], not {other}"
                        ));
                    }
                };
                Act::Cas {
                    expected: self.maybe(expected, values)?,
                    new: self.value(new, values)?,
                    found: match &call.more.observed {
                        Some(form) if effect == Effect::Refused => Some(self.maybe(form, values)?),
                        _ => None,
                    },
                }
            }
            _ if call.more.insert => Act::Insert(self.value(&call.asked, values)?),
            _ => Act::Write(self.value(&call.asked, values)?),
        };
        Ok((act, effect))
    }

    fn maybe(&self, form: &Edn<'_>, values: &mut Values) -> Result<Option<i64>, String> {
        match form {
            Edn::Nil => Ok(None),
            form if self.ours && is_absent(form) => Ok(None),
            form => self.value(form, values).map(Some),
        }
    }

    fn value(&self, form: &Edn<'_>, values: &mut Values) -> Result<i64, String> {
        match form {
            Edn::Nil => Err("nil cannot be written: it stands for what is absent".into()),
            form => Ok(values.number(form)),
        }
    }
}

/// How our writer spells what is absent where nil would mean anything.
pub(crate) const ABSENT: &str = "absent";

/// A write of absence, which stands only before the calls of our own writer's
/// histories.
pub(super) fn writes_absence(e: &Event<'_>) -> bool {
    let value = match &e.value {
        Edn::Vector(v) => v.last(),
        value => Some(value),
    };
    e.f == "write" && value.is_some_and(is_absent)
}

fn is_absent(form: &Edn<'_>) -> bool {
    matches!(form, Edn::Keyword(k) if k == ABSENT)
}

fn number(form: &Edn<'_>) -> Result<i64, String> {
    match form {
        Edn::Int(n) => Ok(*n),
        other => Err(format!(
            "a counter counts in whole numbers of 64 bits, not {other}"
        )),
    }
}

fn text<'b>(form: &'b Edn<'_>) -> Result<&'b str, String> {
    match form {
        Edn::Text(text) => Ok(text),
        other => Err(format!("a text is a string, not {}", kind_of(other))),
    }
}

/// Table and name of a key: its text, or its form if it is no string. A key
/// of two strings is a key of a table.
pub(super) fn key_name<'b>(key: &'b Edn<'_>) -> (Cow<'b, str>, Cow<'b, str>) {
    let none = Cow::Borrowed("");
    match key {
        Edn::Text(text) => (none, Cow::Borrowed(text)),
        Edn::Vector(v) => match v.as_slice() {
            [Edn::Text(table), Edn::Text(key)] => (Cow::Borrowed(table), Cow::Borrowed(key)),
            _ => (none, Cow::Owned(key.to_string())),
        },
        other => (none, Cow::Owned(other.to_string())),
    }
}
