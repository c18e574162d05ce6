//! `[[step]]`: at this time, this fault, on this target, for so long.

use super::clients;
use super::fields::{Fields, Mistakes, clip, only, range, wrong_type};
use super::groups::Groups;
use super::resources;
use super::selector::{self, Draw, Selector};
use super::step::{Start, Step, Weighted, selectors};
use super::suggest::hint;
use super::traffic;
use super::until::{self, Until};
use super::values::{self, MAX_DURATION};
use crate::faults::{Direction, FaultKind, How, Params};
use gameday_record::AlarmSpec;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Most steps of a playbook.
const MAX_STEPS: usize = 100;
/// Most times that a step is repeated.
const MAX_TIMES: u64 = 100;
/// Most groups of a split.
const MAX_GROUPS: usize = 20;

/// All steps, in the order of the text. Steps with mistakes are left out.
pub(super) fn read(
    top: &Fields<'_, '_>,
    groups: &Groups,
    alarms: &[AlarmSpec],
    m: &mut Mistakes<'_>,
) -> Vec<Step> {
    let Some(value) = top.get("step") else {
        if top.get("random").is_some() {
            return Vec::new();
        }
        m.missing(
            0..0,
            "there is no [[step]]: nothing would be broken",
            "[[step]]\nfault = \"power-off\"\ntarget = { az = \"b\" }\nat = \"0s\"\nfor = \"15s\"",
        );
        return Vec::new();
    };
    let DeValue::Array(array) = value.get_ref() else {
        return wrong_type(
            "step",
            "a list: each step begins with [[step]], in two brackets",
            value.get_ref(),
            value.span(),
            m,
        )
        .unwrap_or_default();
    };
    if array.is_empty() {
        m.missing(
            value.span(),
            "there is no step: nothing would be broken",
            "[[step]]",
        );
    }
    if array.len() > MAX_STEPS {
        m.wrong(
            value.span(),
            format!("{} steps; at most {MAX_STEPS}", array.len()),
        );
        return Vec::new();
    }
    let mut drafts = Vec::new();
    for item in array.iter() {
        match item.get_ref() {
            DeValue::Table(t) => drafts.push(draft(t, item.span(), (groups, alarms), STEP, m)),
            other => {
                let _: Option<()> = wrong_type("step", "a table", other, item.span(), m);
            }
        }
    }
    let names = name_all(&drafts, m);
    check_after(&drafts, &names, m);
    drafts
        .into_iter()
        .zip(names)
        .filter_map(|(d, name)| d.step(name))
        .collect()
}

/// A fault of `[random]`; `None` only if a mistake was recorded.
pub(super) fn weighted(
    t: &DeTable<'_>,
    span: Range<usize>,
    groups: &Groups,
    m: &mut Mistakes<'_>,
) -> Option<Weighted> {
    let mut d = draft(t, span, (groups, &[]), DRAWN, m);
    let weight = d.weight?;
    let (_, longest) = d.range?;
    d.start = Some((Start::At(Duration::ZERO), 0..0));
    let base = d.base("fault");
    let name = d.name.take().map_or(base, |(name, _)| name);
    Some(Weighted {
        weight,
        step: d.step(name)?,
        longest,
    })
}

/// A step as far as it could be read.
struct Draft {
    name: Option<(String, Range<usize>)>,
    fault: Option<FaultKind>,
    params: Params,
    sides: Option<Vec<Selector>>,
    start: Option<(Start, Range<usize>)>,
    /// How long it is held, from and to: the same but for what is drawn.
    range: Option<(Duration, Duration)>,
    until: Option<Until>,
    times: u32,
    every: Duration,
    weight: Option<u32>,
    span: Range<usize>,
    target_span: Range<usize>,
}

impl Draft {
    /// The step, unless a mistake was recorded.
    fn step(self, name: String) -> Option<Step> {
        Some(Step {
            name,
            fault: self.fault?,
            params: self.params,
            sides: self.sides?,
            start: self.start?.0,
            hold: self.range?.0,
            until: self.until,
            times: self.times,
            every: self.every,
            span: self.span,
            target_span: self.target_span,
        })
    }

    /// A name for it, if none is given.
    fn base(&self, other: &str) -> String {
        match (self.fault, &self.sides) {
            (Some(fault), Some(sides)) => format!("{} {}", fault.name(), selectors(sides)),
            _ => other.to_string(),
        }
    }
}

/// Keys of a step, whatever its fault.
const STEP: &[&str] = &[
    "name", "fault", "at", "after", "delay", "times", "every", "for", "until",
];
/// Keys of a fault that is drawn.
const DRAWN: &[&str] = &["name", "weight", "fault", "for"];
/// Keys of both that some faults have.
const OF_FAULTS: &[&str] = &[
    "target",
    "to",
    "from",
    "groups",
    "direction",
    "how",
    "uptime",
    "refuses",
    "sync_delay",
    "operation",
    "file",
    "jump",
    "drift",
    "cpus",
    "memory_mib",
    "pause",
    "binary",
];

fn draft(
    t: &DeTable<'_>,
    span: Range<usize>,
    (groups, alarms): (&Groups, &[AlarmSpec]),
    known: &[&str],
    m: &mut Mistakes<'_>,
) -> Draft {
    let drawn = known == DRAWN;
    let title = if drawn {
        "[[random.fault]]"
    } else {
        "[[step]]"
    };
    let keys = [known, OF_FAULTS, &traffic::KEYS].concat();
    let f = Fields::new(t, span.clone(), title, &keys, m);
    for (key, example) in [("fault", "fault = \"power-off\""), ("for", "for = \"15s\"")] {
        if f.get(key).is_none() {
            m.missing(span.clone(), format!("the step has no '{key}'"), example);
        }
    }
    let fault = fault(&f, m);
    let start = if drawn { None } else { start(&f, fault, m) };
    let weight = match f.get("weight") {
        Some(_) => f.whole("weight", 1..=1000, m).map(|w| w as u32),
        None => Some(1),
    };
    let params = params(&f, fault, drawn, m);
    let range = if drawn {
        range(&f, "for", m)
    } else {
        f.duration("for", Duration::from_millis(1)..=MAX_DURATION, m)
            .map(|hold| (hold, hold))
    };
    let (times, every) = repeated(&f, range, m);
    if let (Some(FaultKind::CrashLoop), Some((hold, _))) = (fault, range)
        && hold < params.uptime * 3
    {
        m.wrong_help(
            f.key_span("for"),
            format!(
                "a process that lives {} must be seen to crash more than once",
                values::show(params.uptime)
            ),
            format!("for = \"{}\" or longer", values::show(params.uptime * 3)),
        );
    }
    Draft {
        name: f
            .get("name")
            .and_then(|v| Some((f.text("name", 80, m)?.replace('\n', " "), v.span()))),
        fault,
        params,
        sides: sides(&f, fault, groups, m),
        start,
        range,
        until: until::read(&f, alarms, m),
        times,
        every,
        weight,
        target_span: f
            .get("target")
            .or(f.get("groups"))
            .map_or(span.clone(), |v| v.span()),
        span,
    }
}

fn start(
    f: &Fields<'_, '_>,
    fault: Option<FaultKind>,
    m: &mut Mistakes<'_>,
) -> Option<(Start, Range<usize>)> {
    // There it is the delay of messages.
    let is_own = !fault.is_some_and(|fault| FaultKind::TRAFFIC.contains(&fault));
    let at = f.duration("at", Duration::ZERO..=MAX_DURATION, m);
    let after = after(f, m);
    let delay = is_own
        .then(|| f.duration("delay", Duration::ZERO..=MAX_DURATION, m))
        .flatten();
    match (f.get("at"), f.get("after")) {
        (Some(_), Some(value)) => {
            m.wrong(
                value.span(),
                "a step begins 'at' a time or 'after' a step, not both",
            );
            None
        }
        (None, None) => {
            m.missing(
                f.span.clone(),
                "the step does not say when it begins",
                "at = \"0s\" (after the steps phase began), or after = \"another step\"",
            );
            None
        }
        (Some(_), None) if is_own && f.get("delay").is_some() => {
            m.wrong(
                f.key_span("delay"),
                "'delay' goes with 'after', or with a fault of traffic; with 'at', make the time \
                 later",
            );
            None
        }
        (Some(value), None) => at.map(|at| (Start::At(at), value.span())),
        (None, Some(value)) => {
            let (name, later) = after?;
            if later.is_some() && delay.is_some() {
                m.wrong(f.key_span("delay"), "the delay is in 'after' already");
                return None;
            }
            let delay = later.or(delay).unwrap_or_default();
            Some((Start::After(name, delay), value.span()))
        }
    }
}

/// `after = "step"`, or `after = { step = "step", delay = "5s" }`.
fn after(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<(String, Option<Duration>)> {
    let value = f.get("after")?;
    let DeValue::Table(table) = value.get_ref() else {
        return Some((f.text("after", 80, m)?, None));
    };
    let f = Fields::new(table, value.span(), "'after'", &["step", "delay"], m);
    if f.get("step").is_none() {
        m.missing(
            value.span(),
            "'after' names no step",
            "after = { step = \"another step\", delay = \"5s\" }",
        );
    }
    let delay = f.duration("delay", Duration::ZERO..=MAX_DURATION, m);
    Some((f.text("step", 80, m)?, delay))
}

/// How many times, and from one to the next.
fn repeated(
    f: &Fields<'_, '_>,
    hold: Option<(Duration, Duration)>,
    m: &mut Mistakes<'_>,
) -> (u32, Duration) {
    let once = (1, Duration::ZERO);
    let times = f.whole("times", 2..=MAX_TIMES, m);
    let every = f.duration("every", Duration::from_millis(1)..=MAX_DURATION, m);
    match (f.get("times"), f.get("every")) {
        (None, None) => once,
        (Some(_), Some(value)) => match (times, every, hold) {
            (Some(_), Some(every), Some((hold, _))) if every <= hold => {
                m.wrong(
                    value.span(),
                    format!(
                        "'every' is from one beginning to the next, and longer than 'for', {}",
                        values::show(hold)
                    ),
                );
                once
            }
            (Some(times), Some(every), _) => (times as u32, every),
            _ => once,
        },
        (Some(value), None) | (None, Some(value)) => {
            m.wrong_help(
                value.span(),
                "a step that is repeated says both how many times and how often",
                "times = 3\nevery = \"30s\"",
            );
            once
        }
    }
}

fn fault(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<FaultKind> {
    let name = f.text("fault", 80, m)?;
    let kind = FaultKind::named(&name);
    if kind.is_none() {
        let known: Vec<&str> = FaultKind::ALL.iter().map(|k| k.name()).collect();
        m.wrong_help(
            f.get("fault").map_or(f.span.clone(), |v| v.span()),
            format!("unknown fault '{}'", clip(&name)),
            hint(&name, &known),
        );
    }
    kind
}

fn params(
    f: &Fields<'_, '_>,
    fault: Option<FaultKind>,
    drawn: bool,
    m: &mut Mistakes<'_>,
) -> Params {
    let mut params = Params::default();
    let is_traffic = fault.is_some_and(|fault| FaultKind::TRAFFIC.contains(&fault));
    if fault == Some(FaultKind::OneWay) {
        params.direction = Direction::Out;
    }
    let directed = [&[FaultKind::OneWay], FaultKind::TRAFFIC].concat();
    if only(f, "direction", &directed, fault, m)
        && let Some(value) = f.get("direction")
        && let Some(direction) = f.text("direction", 10, m)
    {
        match direction.as_str() {
            "in" => params.direction = Direction::In,
            "out" => params.direction = Direction::Out,
            "both" if is_traffic => params.direction = Direction::Both,
            other => m.wrong_help(
                value.span(),
                format!("there is no direction '{}'", clip(other)),
                if is_traffic {
                    "\"out\": what the target sends; \"in\": what it is sent; or \"both\""
                } else {
                    "\"out\": what the target sends is lost; \"in\": what it is sent is lost"
                },
            ),
        }
    }
    if only(f, "how", FaultKind::PARTITIONS, fault, m)
        && let Some(how) = f.word("how", &[("drop", How::Drop), ("reject", How::Reject)], m)
    {
        params.how = how;
    }
    if only(f, "from", &[FaultKind::Clients], fault, m) {
        params.from = clients::read(f, m);
    }
    for key in traffic::KEYS {
        // 'delay' of another fault is that of its start, which what is drawn has none of.
        if key != "delay" || drawn {
            only(f, key, FaultKind::TRAFFIC, fault, m);
        }
    }
    if is_traffic && let Some(fault) = fault {
        params.traffic = traffic::read(f, fault, m);
    }
    let limits = Duration::from_secs(1)..=Duration::from_secs(600);
    if only(f, "uptime", &[FaultKind::CrashLoop], fault, m)
        && let Some(uptime) = f.duration("uptime", limits, m)
    {
        params.uptime = uptime;
    }
    params.resources = resources::read(f, fault, m);
    let rolling = [FaultKind::RollingRestart, FaultKind::RollingUpgrade];
    if only(f, "pause", &rolling, fault, m)
        && let Some(pause) = f.duration("pause", Duration::ZERO..=Duration::from_secs(600), m)
    {
        params.pause = pause;
    }
    if only(f, "binary", &[FaultKind::RollingUpgrade], fault, m) {
        params.binary = f.text("binary", 4096, m).map(PathBuf::from);
        if fault == Some(FaultKind::RollingUpgrade) && f.get("binary").is_none() {
            m.missing(
                f.span.clone(),
                "an upgrade does not say to what",
                "binary = \"path of another build of gameday\"",
            );
        }
    }
    params
}

/// The targets of a fault; `None` only if a mistake was recorded.
fn sides(
    f: &Fields<'_, '_>,
    fault: Option<FaultKind>,
    groups: &Groups,
    m: &mut Mistakes<'_>,
) -> Option<Vec<Selector>> {
    let to = [
        &[FaultKind::Isolate, FaultKind::OneWay, FaultKind::Reset],
        FaultKind::TRAFFIC,
    ]
    .concat();
    if !(only(f, "groups", &[FaultKind::Split], fault, m) && only(f, "to", &to, fault, m)) {
        return None;
    }
    if fault == Some(FaultKind::Split) {
        return split(f, groups, m);
    }
    let target = match f.get("target") {
        Some(value) => Some((selector::read(value, groups, m)?, value.span())),
        None => None,
    };
    match (fault, target) {
        (Some(FaultKind::Majority), target) => {
            let among = target.map_or(Selector::All, |(s, _)| s);
            Some(vec![Selector::Draw(Draw::Minority, Box::new(among))])
        }
        (_, None) => {
            m.missing(
                f.span.clone(),
                "the step has no 'target'",
                "target = { az = \"b\" }",
            );
            None
        }
        (Some(FaultKind::Leader), Some((target, span))) => match target {
            Selector::Leader(group) if groups.is_one(&group) => Some(vec![
                Selector::Leader(group.clone()),
                Selector::Followers(group),
            ]),
            _ => {
                m.wrong_help(
                    span,
                    "this fault sets the leader of one partition apart from its followers",
                    format!("target = {{ leader = \"{}\" }}", groups.example()),
                );
                None
            }
        },
        (_, Some((target, _))) => {
            let mut sides = vec![target];
            if let Some(to) = f.get("to") {
                sides.push(selector::read(to, groups, m)?);
            }
            Some(sides)
        }
    }
}

/// `groups = [{ … }, { … }]`.
fn split(f: &Fields<'_, '_>, groups: &Groups, m: &mut Mistakes<'_>) -> Option<Vec<Selector>> {
    const EXAMPLE: &str = "groups = [{ az = \"a\" }, { az = \"b\" }]";
    if f.get("target").is_some() {
        m.wrong_help(
            f.key_span("target"),
            "a split has groups instead of a target",
            EXAMPLE,
        );
        return None;
    }
    let Some(value) = f.get("groups") else {
        m.missing(f.span.clone(), "the step has no 'groups'", EXAMPLE);
        return None;
    };
    match value.get_ref() {
        DeValue::Array(list) if (2..=MAX_GROUPS).contains(&list.len()) => {
            let read: Vec<_> = list.iter().map(|v| selector::read(v, groups, m)).collect();
            read.into_iter().collect()
        }
        _ => {
            m.wrong_help(
                value.span(),
                format!("'groups' is a list of 2 to {MAX_GROUPS} targets"),
                EXAMPLE,
            );
            None
        }
    }
}

/// Given names must be unique; the others get one that is.
fn name_all(drafts: &[Draft], m: &mut Mistakes<'_>) -> Vec<String> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (i, d) in drafts.iter().enumerate() {
        if let Some((name, span)) = &d.name
            && let Some(first) = taken.insert(name.clone(), i)
        {
            m.wrong(
                span.clone(),
                format!("'{}' is already the name of step {}", clip(name), first + 1),
            );
        }
    }
    drafts
        .iter()
        .enumerate()
        .map(|(i, d)| {
            if let Some((name, _)) = &d.name {
                return name.clone();
            }
            let base = d.base(&format!("step {}", i + 1));
            let free = std::iter::once(base.clone())
                .chain((2..).map(|n| format!("{base} ({n})")))
                .find(|name| !taken.contains_key(name))
                .expect("an endless list of names has a free one");
            taken.insert(free.clone(), i);
            free
        })
        .collect()
}

/// `after` names another step, and following it comes to an end.
fn check_after(drafts: &[Draft], names: &[String], m: &mut Mistakes<'_>) {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = |i: usize| match &drafts[i].start {
        Some((Start::After(name, _), _)) => names.iter().position(|n| n == name),
        _ => None,
    };
    for (i, d) in drafts.iter().enumerate() {
        let Some((Start::After(name, _), span)) = &d.start else {
            continue;
        };
        if before(i).is_none() {
            m.wrong_help(
                span.clone(),
                format!("there is no step '{}'", clip(name)),
                hint(name, &known),
            );
            continue;
        }
        let mut at = i;
        for _ in 0..drafts.len() {
            match before(at) {
                Some(next) if next == i => {
                    m.wrong(
                        span.clone(),
                        format!("'{}' would wait for itself", clip(&names[i])),
                    );
                    break;
                }
                Some(next) => at = next,
                None => break,
            }
        }
    }
}
