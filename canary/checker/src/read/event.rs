//! Operation maps of Jepsen's kind, whatever text they stood in.

use super::edn::Edn;
use crate::log::Strangers;
use gameday_record::EventKind;
use std::borrow::Cow;

/// One invocation or completion of a client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event<'a> {
    /// Where it begins in the file, in bytes.
    pub at: usize,
    pub process: u64,
    pub kind: EventKind,
    pub f: Cow<'a, str>,
    /// Key, where it stands beside the value.
    pub key: Option<Edn<'a>>,
    pub value: Edn<'a>,
    pub time: Option<u64>,
    pub index: Option<u64>,
    /// A failure that says: the condition did not hold.
    pub refused: bool,
    /// What [`crate::write`] adds and others leave out.
    pub more: More<'a>,
}

/// Fields that our own writer adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct More<'a> {
    pub observed: Option<Edn<'a>>,
    pub sum: Option<i64>,
    pub az: Cow<'a, str>,
    pub endpoint: Cow<'a, str>,
    pub insert: bool,
    pub last: bool,
}

/// What our own writer says about a whole history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub objects: String,
    pub complete: bool,
    pub unique_values: bool,
    pub final_reads: bool,
    pub initial: Option<i64>,
    pub strangers: Option<Strangers>,
}

/// What an operation map is.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed<'a> {
    Event(Event<'a>),
    Header(Header),
    /// The nemesis, or something else that is no client.
    NoClient,
}

/// Reads one operation map, tagged or not.
///
/// # Errors
/// What is missing or wrong, in words.
pub(super) fn parse<'a>(form: Edn<'a>, at: usize) -> Result<Parsed<'a>, String> {
    let entries = match form {
        Edn::Map(entries) => entries,
        Edn::Tagged(_, inner) if matches!(*inner, Edn::Map(_)) => return parse(*inner, at),
        other => return Err(format!("an operation is a map, not {}", kind_of(&other))),
    };
    let mut fields = Fields::default();
    for (key, value) in entries {
        let (Edn::Keyword(name) | Edn::Text(name)) = key else {
            continue;
        };
        let slot = match &*name {
            "process" => &mut fields.process,
            "type" => &mut fields.kind,
            "f" => &mut fields.f,
            "value" => &mut fields.value,
            "key" => &mut fields.key,
            "time" => &mut fields.time,
            "index" => &mut fields.index,
            "error" => &mut fields.error,
            "observed" => &mut fields.observed,
            "sum" => &mut fields.sum,
            "az" => &mut fields.az,
            "endpoint" => &mut fields.endpoint,
            "insert" => &mut fields.insert,
            "last" => &mut fields.last,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(format!(":{name} stands twice in one operation"));
        }
    }
    fields.parse(at)
}

#[derive(Debug, Default)]
struct Fields<'a> {
    process: Option<Edn<'a>>,
    kind: Option<Edn<'a>>,
    f: Option<Edn<'a>>,
    value: Option<Edn<'a>>,
    key: Option<Edn<'a>>,
    time: Option<Edn<'a>>,
    index: Option<Edn<'a>>,
    error: Option<Edn<'a>>,
    observed: Option<Edn<'a>>,
    sum: Option<Edn<'a>>,
    az: Option<Edn<'a>>,
    endpoint: Option<Edn<'a>>,
    insert: Option<Edn<'a>>,
    last: Option<Edn<'a>>,
}

impl<'a> Fields<'a> {
    fn parse(self, at: usize) -> Result<Parsed<'a>, String> {
        let missing = |field: &str| format!("an operation without :{field}");
        let kind = self.kind.as_ref().ok_or_else(|| missing("type"))?;
        let kind = match name_of(kind) {
            Some("invoke") => EventKind::Invoke,
            Some("ok") => EventKind::Ok,
            Some("fail") => EventKind::Fail,
            Some("info") => EventKind::Info,
            _ => return Err(format!(":type is {kind}, not :invoke, :ok, :fail or :info")),
        };
        let process = match self.process.ok_or_else(|| missing("process"))? {
            Edn::Keyword(name) if name == "gameday" => {
                return header(self.value.unwrap_or(Edn::Nil)).map(Parsed::Header);
            }
            // Elle numbers the nemesis -1.
            Edn::Int(-1) => return Ok(Parsed::NoClient),
            other if name_of(&other) == Some("nemesis") => return Ok(Parsed::NoClient),
            other => match count(&other) {
                Some(process) => process,
                None if kind == EventKind::Info => return Ok(Parsed::NoClient),
                None => return Err(format!(":process is {other}; clients are numbered from 0")),
            },
        };
        let f = match self.f.ok_or_else(|| missing("f"))? {
            Edn::Keyword(f) | Edn::Text(f) => f,
            other => return Err(format!(":f is {other}, not a keyword")),
        };
        let counted = |form: Option<Edn<'a>>, field: &str| match form {
            None | Some(Edn::Nil) => Ok(None),
            Some(form) => match count(&form) {
                None => Err(format!(":{field} is {form}, not a number from 0")),
                some => Ok(some),
            },
        };
        let text = |form| match form {
            Some(Edn::Text(t)) => t,
            _ => Cow::Borrowed(""),
        };
        let sum = match self.sum {
            Some(Edn::Int(n)) => Some(n),
            _ => None,
        };
        let said = |what: fn(&Edn<'a>) -> bool| self.error.as_ref().is_some_and(what);
        let refused =
            self.observed.is_some() || said(is_condition) || f == "dequeue" && said(is_empty);
        Ok(Parsed::Event(Event {
            at,
            process,
            kind,
            f,
            key: self.key.as_ref().map(Edn::canonical),
            value: self.value.unwrap_or(Edn::Nil),
            // How Jepsen says that an operation has no time.
            time: match self.time {
                Some(Edn::Int(-1)) => None,
                time => counted(time, "time")?,
            },
            index: counted(self.index, "index")?,
            refused,
            more: More {
                observed: self.observed,
                sum,
                az: text(self.az),
                endpoint: text(self.endpoint),
                insert: self.insert == Some(Edn::Bool(true)),
                last: self.last == Some(Edn::Bool(true)),
            },
        }))
    }
}

/// A number from 0.
fn count(form: &Edn<'_>) -> Option<u64> {
    match form {
        Edn::Int(n) => u64::try_from(*n).ok(),
        Edn::Number(n) => n.parse().ok(),
        _ => None,
    }
}

pub(super) fn is_condition(error: &Edn<'_>) -> bool {
    match error {
        Edn::Vector(forms) => forms.first().is_some_and(is_condition),
        other => name_of(other) == Some("condition"),
    }
}

/// How clients say that a queue had nothing to give: `:empty`, or `:exhausted`
/// as in Jepsen's tests.
pub(super) fn is_empty(error: &Edn<'_>) -> bool {
    match error {
        Edn::Vector(forms) => forms.first().is_some_and(is_empty),
        other => matches!(name_of(other), Some("empty" | "exhausted")),
    }
}

fn header(value: Edn<'_>) -> Result<Header, String> {
    let Edn::Map(entries) = value else {
        return Err("the header of the history is no map".into());
    };
    let mut header = Header::default();
    for (key, value) in entries {
        match (name_of(&key), value) {
            (Some("objects"), Edn::Keyword(k)) => header.objects = k.into_owned(),
            (Some("complete"), Edn::Bool(b)) => header.complete = b,
            (Some("unique-values"), Edn::Bool(b)) => header.unique_values = b,
            (Some("final-reads"), Edn::Bool(b)) => header.final_reads = b,
            (Some("forgotten"), until) if count(&until).is_some() => {
                header.strangers = count(&until).map(Strangers::Forgotten);
            }
            (Some("assigned"), Edn::Bool(true)) => header.strangers = Some(Strangers::Assigned),
            (Some("initial"), Edn::Int(n)) => header.initial = Some(n),
            (Some("initial"), Edn::Nil) => header.initial = None,
            (_, value) => return Err(format!("the header says {key} {value}, which is not known")),
        }
    }
    Ok(header)
}

/// The text of a keyword or string.
pub(super) fn name_of<'b>(form: &'b Edn<'_>) -> Option<&'b str> {
    match form {
        Edn::Keyword(name) | Edn::Text(name) => Some(name),
        _ => None,
    }
}

/// What sort of form it is, for people.
pub(super) fn kind_of(form: &Edn<'_>) -> &'static str {
    match form {
        Edn::Nil => "nil",
        Edn::Bool(_) => "a boolean",
        Edn::Int(_) | Edn::Number(_) => "a number",
        Edn::Text(_) => "a string",
        Edn::Char(_) => "a character",
        Edn::Keyword(_) => "a keyword",
        Edn::Symbol(_) => "a symbol",
        Edn::List(_) => "a list",
        Edn::Vector(_) => "a vector",
        Edn::Map(_) => "a map",
        Edn::Set(_) => "a set",
        Edn::Tagged(..) => "a tagged form",
    }
}
