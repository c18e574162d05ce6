//! Histories in JSON as elle-cli takes them: an array of operations, or one
//! operation after the other.

use super::edn::Edn;
use super::position::ReadError;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// Operations in JSON, one by one.
#[derive(Debug)]
pub(super) struct Operations<'a> {
    text: &'a str,
    at: usize,
    /// Inside the brackets of an array, which must be closed.
    array: bool,
    first: bool,
}

impl<'a> Operations<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut operations = Operations {
            text,
            at: if text.starts_with('\u{feff}') { 3 } else { 0 },
            array: false,
            first: true,
        };
        operations.skip_blank();
        if operations.peek() == Some(b'[') {
            operations.array = true;
            operations.at += 1;
        }
        operations
    }

    /// The next operation and where it begins; `None` after the last.
    ///
    /// # Errors
    /// What is no JSON.
    pub fn next(&mut self) -> Result<Option<(Edn<'static>, usize)>, ReadError> {
        self.skip_blank();
        let bytes = self.text.as_bytes();
        let error = |at, what: &str| Err(ReadError::at(bytes, at, what));
        match (self.peek(), self.array) {
            (None, false) => return Ok(None),
            (None, true) => return error(self.at, "the file ends where ']' is missing"),
            (Some(b']'), true) => {
                self.at += 1;
                self.skip_blank();
                self.array = false;
                return match self.peek() {
                    None => Ok(None),
                    Some(_) => error(self.at, "something follows the array of operations"),
                };
            }
            (Some(b','), true) if !self.first => {
                self.at += 1;
                self.skip_blank();
            }
            (Some(_), true) if !self.first => {
                return error(self.at, "a comma is missing between operations");
            }
            _ => {}
        }
        self.first = false;
        let start = self.at;
        let mut stream =
            serde_json::Deserializer::from_str(&self.text[start..]).into_iter::<Form>();
        let Form(form) = match stream.next() {
            Some(Ok(form)) => form,
            Some(Err(e)) => return Err(self.syntax(start, &e)),
            None => return error(start, "an operation is missing"),
        };
        self.at = start + stream.byte_offset();
        Ok(Some((form, start)))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// The place of an error, which counts from `start`.
    fn syntax(&self, start: usize, e: &serde_json::Error) -> ReadError {
        let mut place = ReadError::at(self.text.as_bytes(), start, without_place(e));
        let (line, column) = (e.line() as u64, e.column() as u64);
        if line > 1 {
            place.line += line - 1;
            place.column = column;
        } else {
            place.column += column.saturating_sub(1);
        }
        place
    }
}

/// The text of a JSON error without its own line and column.
fn without_place(e: &serde_json::Error) -> String {
    let text = e.to_string();
    match text.rfind(" at line ") {
        Some(i) => text[..i].into(),
        None => text,
    }
}

/// Numbers beyond this lose digits in JSON's usual readers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value as a form. JSON has one kind of number: 1.0 is 1.
struct Form(Edn<'static>);

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Forms).map(Form)
    }
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Edn<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Edn::Nil)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Self::Value, E> {
        Ok(Edn::Bool(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Edn::Int(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(n).map_or_else(|_| Edn::Number(n.to_string()), Edn::Int))
    }
    fn visit_f64<E: Error>(self, x: f64) -> Result<Self::Value, E> {
        match x.abs() < EXACT {
            true if x.fract() == 0.0 => Ok(Edn::Int(x as i64)),
            true => Ok(Edn::Number(format!("{x:?}"))),
            false => Err(E::custom(format!(
                "the number {x:?} is too large to be exact"
            ))),
        }
    }
    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Edn::Text(s.to_string().into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut forms = Vec::new();
        while let Some(Form(form)) = items.next_element()? {
            forms.push(form);
        }
        Ok(Edn::Vector(forms))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(Edn<'static>, Edn<'static>)> = Vec::new();
        let mut names = HashSet::new();
        while let Some((name, Form(form))) = fields.next_entry::<String, Form>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!(
                    "the field \"{name}\" stands twice"
                )));
            }
            entries.push((Edn::Keyword(name.into()), form));
        }
        Ok(Edn::Map(entries))
    }
}
