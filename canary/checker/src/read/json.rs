//! Histories in JSON as elle-cli takes them: an array of operations, or one
//! operation after the other.

use super::edn::Edn;
use super::position::ReadError;
use serde_json::Value;

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
            serde_json::Deserializer::from_str(&self.text[start..]).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            Some(Err(e)) => return Err(self.syntax(start, &e)),
            None => return error(start, "an operation is missing"),
        };
        self.at = start + stream.byte_offset();
        let form = form(value).map_err(|what| ReadError::at(bytes, start, what))?;
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
pub(super) fn without_place(e: &serde_json::Error) -> String {
    let text = e.to_string();
    match text.rfind(" at line ") {
        Some(i) => text[..i].into(),
        None => text,
    }
}

/// Numbers beyond this lose digits in JSON's usual readers.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn form(value: Value) -> Result<Edn<'static>, String> {
    Ok(match value {
        Value::Null => Edn::Nil,
        Value::Bool(b) => Edn::Bool(b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Edn::Int(n),
            (None, _) if n.is_u64() => Edn::Number(n.to_string()),
            (None, Some(x)) if x.abs() < EXACT => Edn::Number(format!("{x:?}")),
            _ => return Err(format!("the number {n} is too large to be exact")),
        },
        Value::String(s) => Edn::Text(s.into()),
        Value::Array(items) => Edn::Vector(items.into_iter().map(form).collect::<Result<_, _>>()?),
        Value::Object(entries) => Edn::Map(
            entries
                .into_iter()
                .map(|(k, v)| Ok((Edn::Keyword(k.into()), form(v)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}
