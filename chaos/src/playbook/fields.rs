//! Reading a table of the spanned tree field by field, collecting mistakes
//! instead of stopping at the first.

use super::diagnostic::{Diagnostic, Source};
use super::suggest::hint;
use super::values::{self, MAX_DURATION};
use crate::faults::FaultKind;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest playbook that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 256 << 10;

/// A value of the tree with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Most names in a list or a table.
pub(super) const MAX_NAMES: usize = 100;

/// Most mistakes that are reported; a binary file would have thousands.
const MAX_ERRORS: usize = 50;

/// Mistakes found so far.
pub(super) struct Mistakes<'s> {
    source: &'s Source,
    found: Vec<(Range<usize>, Kind, Diagnostic)>,
}

/// Whether a mistake can be a mere consequence of a syntax error nearby.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syntax,
    Missing,
    Wrong,
}

impl<'s> Mistakes<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Mistakes {
            source,
            found: Vec::new(),
        }
    }

    pub(super) fn none(&self) -> bool {
        self.found.is_empty()
    }

    /// Something that stands there is wrong.
    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.push(Kind::Wrong, span, message.into(), None);
    }

    /// The same, with a way out.
    pub(super) fn wrong_help(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Kind::Wrong, span, message.into(), Some(help.into()));
    }

    /// Something is not there.
    pub(super) fn missing(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Kind::Missing, span, message.into(), Some(help.into()));
    }

    /// The text is not TOML there.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let message = format!("this is not TOML: {}", error.message());
        self.push(Kind::Syntax, span, message, None);
    }

    fn push(&mut self, kind: Kind, span: Range<usize>, message: String, help: Option<String>) {
        let mut d = Diagnostic::at(self.source, span.clone(), message);
        d.help = help;
        self.found.push((span, kind, d));
    }

    /// All of them in the order of the text. Beside a syntax error, what is
    /// missing, what stands on the same line and what the parser made up to go
    /// on (it has no place) may be its consequence only and is left out.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        let line = |d: &Diagnostic| d.place.as_ref().map(|p| p.line);
        let broken: Vec<_> = self
            .found
            .iter()
            .filter(|(_, k, _)| *k == Kind::Syntax)
            .map(|(_, _, d)| line(d))
            .collect();
        if !broken.is_empty() {
            self.found.retain(|(span, kind, d)| match kind {
                Kind::Syntax => true,
                Kind::Missing => false,
                Kind::Wrong => !span.is_empty() && !broken.contains(&line(d)),
            });
        }
        self.found.sort_by_key(|(span, _, _)| span.start);
        // One syntax error per line: the others follow from it.
        self.found.dedup_by(|(_, kind, d), (_, first_kind, first)| {
            *kind == Kind::Syntax && *first_kind == Kind::Syntax && line(d) == line(first)
        });
        let mut all: Vec<Diagnostic> = self.found.into_iter().map(|(_, _, d)| d).collect();
        if all.len() > MAX_ERRORS {
            let more = all.len() - MAX_ERRORS;
            all.truncate(MAX_ERRORS);
            all.push(Diagnostic::whole(
                self.source.name.clone(),
                format!("{more} further errors are not shown"),
            ));
        }
        all
    }
}

/// A table whose keys are known.
pub(super) struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    /// Where to say that something is missing.
    pub(super) span: Range<usize>,
}

impl<'t, 'i> Fields<'t, 'i> {
    /// Looks at a table; keys that are not `known` are mistakes.
    pub(super) fn new(
        table: &'t DeTable<'i>,
        span: Range<usize>,
        title: &str,
        known: &[&str],
        m: &mut Mistakes<'_>,
    ) -> Self {
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                m.wrong_help(
                    key.span(),
                    format!("unknown key '{}' in {title}", clip(name)),
                    hint(name, known),
                );
            }
        }
        Fields { table, span }
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.table
            .iter()
            .find(|(k, _)| k.get_ref().as_ref() == key)
            .map(|(_, v)| v)
    }

    /// Where `key` or else the whole table stands.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .iter()
            .find(|(k, _)| k.get_ref().as_ref() == key)
            .map_or(self.span.clone(), |(k, _)| k.span())
    }

    /// A text of at most `most` characters.
    pub(super) fn text(&self, key: &str, most: usize, m: &mut Mistakes<'_>) -> Option<String> {
        text(key, self.get(key)?, most, m)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, m: &mut Mistakes<'_>) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(b) => Some(*b),
            other => wrong_type(key, "true or false", other, value.span(), m),
        }
    }

    /// A whole number in a range.
    pub(super) fn whole(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        m: &mut Mistakes<'_>,
    ) -> Option<u64> {
        let value = self.get(key)?;
        whole(key, value, range, m)
    }

    /// One word of a list.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        known: &[(&str, T)],
        m: &mut Mistakes<'_>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let DeValue::String(s) = value.get_ref() else {
            let expected = format!("one of \"{}\"", names.join("\", \""));
            return wrong_type(key, &expected, value.get_ref(), value.span(), m);
        };
        let found = known.iter().find(|(name, _)| *name == s.as_ref());
        if found.is_none() {
            m.wrong_help(
                value.span(),
                format!("'{key}' cannot be '{}'", clip(s)),
                hint(s, &names),
            );
        }
        found.map(|(_, what)| *what)
    }

    /// A duration of whole seconds in a range, in milliseconds.
    pub(super) fn seconds(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        m: &mut Mistakes<'_>,
    ) -> Option<u64> {
        let d = self.duration(key, range, m)?;
        if d.subsec_nanos() != 0 {
            m.wrong(
                self.get(key).map_or(self.span.clone(), |v| v.span()),
                format!("'{key}' is a whole number of seconds"),
            );
            return None;
        }
        Some(d.as_secs() * 1000)
    }

    /// A number in a range.
    pub(super) fn number(
        &self,
        key: &str,
        range: RangeInclusive<f64>,
        m: &mut Mistakes<'_>,
    ) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().parse::<f64>().ok(),
            DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
            other => return wrong_type(key, "a number", other, value.span(), m),
        };
        match number {
            Some(n) if range.contains(&n) => Some(n),
            _ => {
                m.wrong(
                    value.span(),
                    format!("'{key}' is from {} to {}", range.start(), range.end()),
                );
                None
            }
        }
    }

    /// A duration in a range.
    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        m: &mut Mistakes<'_>,
    ) -> Option<Duration> {
        let value = self.get(key)?;
        let read = match value.get_ref() {
            DeValue::String(s) => values::duration(s),
            DeValue::Integer(i) if i.radix() == 10 && i.as_str().len() < 6 => Err(format!(
                "a duration needs its unit, in quotes: \"{}s\"",
                i.as_str()
            )),
            other => return wrong_type(key, "a duration such as \"30s\"", other, value.span(), m),
        };
        let problem = match read {
            Ok(d) if range.contains(&d) => return Some(d),
            Ok(_) => format!(
                "'{key}' is from {} to {}",
                values::show(*range.start()),
                values::show(*range.end())
            ),
            Err(e) => e,
        };
        m.wrong(value.span(), problem);
        None
    }

    /// A share written in percent, above 0.
    pub(super) fn percent(&self, key: &str, m: &mut Mistakes<'_>) -> Option<f64> {
        self.share(key, values::percent, m)
    }

    /// A share written in percent, as `read` reads it.
    pub(super) fn share(
        &self,
        key: &str,
        read: fn(&str) -> Result<f64, String>,
        m: &mut Mistakes<'_>,
    ) -> Option<f64> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(s) => match read(s) {
                Ok(share) => Some(share),
                Err(e) => {
                    m.wrong(value.span(), e);
                    None
                }
            },
            other => wrong_type(key, "a share such as \"99.9%\"", other, value.span(), m),
        }
    }
}

/// A text that is not empty, of at most `most` characters, on one line.
pub(super) fn text(
    key: &str,
    value: &Value<'_>,
    most: usize,
    m: &mut Mistakes<'_>,
) -> Option<String> {
    match value.get_ref() {
        DeValue::String(s) => {
            let length = s.chars().count();
            if s.trim().is_empty() {
                m.wrong(value.span(), format!("'{key}' is empty"));
                None
            } else if length > most {
                m.wrong(
                    value.span(),
                    format!("'{key}' has {length} characters; at most {most}"),
                );
                None
            } else if s.chars().any(|c| c.is_control() && c != '\n') {
                m.wrong(value.span(), format!("'{key}' has control characters"));
                None
            } else {
                Some(s.trim().to_string())
            }
        }
        other => wrong_type(key, "a text in quotes", other, value.span(), m),
    }
}

/// A list of 1 to `count` texts of at most `most` characters each.
pub(super) fn texts(
    key: &str,
    value: &Value<'_>,
    most: usize,
    count: usize,
    m: &mut Mistakes<'_>,
) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Array(list) if (1..=count).contains(&list.len()) => {
            let read: Vec<_> = list.iter().map(|v| text(key, v, most, m)).collect();
            read.into_iter().collect()
        }
        DeValue::Array(_) => {
            m.wrong(value.span(), format!("'{key}' has 1 to {count} texts"));
            None
        }
        other => wrong_type(key, "a list of texts", other, value.span(), m),
    }
}

/// A whole number in a range.
pub(super) fn whole(
    key: &str,
    value: &Value<'_>,
    range: RangeInclusive<u64>,
    m: &mut Mistakes<'_>,
) -> Option<u64> {
    match value.get_ref() {
        DeValue::Integer(i) => match u64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) if range.contains(&n) => Some(n),
            _ => {
                m.wrong(
                    value.span(),
                    format!(
                        "'{key}' is a whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                );
                None
            }
        },
        other => wrong_type(key, "a whole number", other, value.span(), m),
    }
}

/// Says that the type is not the one expected.
pub(super) fn wrong_type<T>(
    key: &str,
    expected: &str,
    got: &DeValue<'_>,
    span: Range<usize>,
    m: &mut Mistakes<'_>,
) -> Option<T> {
    let got = match got {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    m.wrong(span, format!("'{key}' is {expected}, not {got}"));
    None
}

/// A name as it may stand in a message.
pub(super) fn clip(name: &str) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut out: String = name.chars().take(60).map(clean).collect();
    if name.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

/// A section that is a table.
pub(super) fn section<'t, 'i>(
    top: &Fields<'t, 'i>,
    name: &str,
    m: &mut Mistakes<'_>,
) -> Option<(&'t DeTable<'i>, Range<usize>)> {
    let value = top.get(name)?;
    match value.get_ref() {
        DeValue::Table(t) => Some((t, value.span())),
        other => wrong_type(
            name,
            &format!("a section: [{name}]"),
            other,
            value.span(),
            m,
        ),
    }
}

/// `"5s"`, or `["5s", "15s"]`: from, to.
pub(super) fn range(
    f: &Fields<'_, '_>,
    key: &str,
    m: &mut Mistakes<'_>,
) -> Option<(Duration, Duration)> {
    let least = Duration::from_millis(1);
    let value = f.get(key)?;
    let DeValue::Array(pair) = value.get_ref() else {
        return f
            .duration(key, least..=MAX_DURATION, m)
            .map(|both| (both, both));
    };
    let read: Option<Vec<Duration>> = pair
        .iter()
        .map(|d| match d.get_ref() {
            DeValue::String(s) => values::duration(s).ok().filter(|d| *d >= least),
            _ => None,
        })
        .collect();
    match read.as_deref() {
        Some([from, to]) if from <= to => Some((*from, *to)),
        _ => {
            m.wrong_help(
                value.span(),
                format!("'{key}' is a duration above zero, or the shortest and the longest"),
                format!("{key} = [\"5s\", \"15s\"]"),
            );
            None
        }
    }
}

/// Says so if a key is there that another fault has. Of an unknown fault
/// nothing is said.
pub(super) fn only(
    f: &Fields<'_, '_>,
    key: &str,
    owners: &[FaultKind],
    fault: Option<FaultKind>,
    m: &mut Mistakes<'_>,
) -> bool {
    if let Some(fault) = fault
        && f.get(key).is_some()
        && !owners.contains(&fault)
    {
        let mut names: Vec<String> = owners.iter().map(|k| format!("'{}'", k.name())).collect();
        if let Some(last) = names.pop_if(|_| owners.len() > 2) {
            names = vec![names.join(", "), last];
        }
        m.wrong(
            f.key_span(key),
            format!(
                "'{key}' goes with {}, not with '{}'",
                names.join(" and "),
                fault.name()
            ),
        );
        return false;
    }
    true
}
