//! Extensible data notation, the syntax in which Jepsen writes its histories.
//!
//! After the [EDN format](https://github.com/edn-format/edn) and what
//! Clojure's own reader of it takes beyond: metadata, ratios, radixes,
//! `#:ns{…}` maps and `##Inf`. What is code and not data (`'`, `@`, `#(…)`,
//! `#"…"`, `::k`) is refused, as Clojure does.

mod canonical;
mod print;
mod token;

pub(crate) use print::quoted;

use super::position::{ReadError, excerpt};
use std::borrow::Cow;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

/// One form. Text is borrowed from the file where nothing has to be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Edn<'a> {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// An integer that fits; `5N` is `5`.
    Int(i64),
    /// Any other number as text: large integers, ratios in lowest terms,
    /// floats in their shortest form, decimals with their `M`.
    Number(String),
    /// `"text"`
    Text(Cow<'a, str>),
    /// `\a`
    Char(char),
    /// `:keyword`, without the colon, with its namespace if it has one.
    Keyword(Cow<'a, str>),
    /// A symbol.
    Symbol(&'a str),
    /// `(…)`
    List(Vec<Edn<'a>>),
    /// `[…]`
    Vector(Vec<Edn<'a>>),
    /// `{…}`, in the order of the file.
    Map(Vec<(Edn<'a>, Edn<'a>)>),
    /// `#{…}`, in the order of the file.
    Set(Vec<Edn<'a>>),
    /// `#tag form`
    Tagged(&'a str, Box<Edn<'a>>),
}

/// Reads forms one after the other, so that a history is never in memory as a
/// tree.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// What came instead of a form, or a form.
enum Next<'a> {
    Form(Edn<'a>),
    Close(u8),
    End,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        // Some editors mark UTF-8 with a byte order mark.
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Reader { text, at }
    }

    /// Where the next form begins, in bytes; after white space and comments.
    pub fn position(&mut self) -> usize {
        self.skip_blank();
        self.at
    }

    /// Bytes that the forms so far took.
    pub(super) fn taken(&self) -> usize {
        self.at
    }

    /// An error at a position.
    pub fn error(&self, at: usize, what: impl Into<String>) -> ReadError {
        ReadError::at(self.text.as_bytes(), at, what)
    }

    /// The next form outside all brackets; `None` at the end of the file.
    ///
    /// # Errors
    /// Something that is no EDN.
    pub fn form(&mut self) -> Result<Option<Edn<'a>>, ReadError> {
        let at = self.position();
        match self.next(0)? {
            Next::Form(form) => Ok(Some(form)),
            Next::End => Ok(None),
            Next::Close(c) => Err(self.error(
                at,
                format!("nothing is open that '{}' could close", c as char),
            )),
        }
    }

    /// Steps into a vector or list: true if one begins here.
    pub fn enter(&mut self) -> Option<u8> {
        self.skip_blank();
        let close = match self.peek()? {
            b'[' => b']',
            b'(' => b')',
            _ => return None,
        };
        self.at += 1;
        Some(close)
    }

    /// The next form inside the brackets that were entered; `None` where they close.
    ///
    /// # Errors
    /// Something that is no EDN; the end of the file.
    pub fn element(&mut self, close: u8) -> Result<Option<Edn<'a>>, ReadError> {
        let at = self.position();
        match self.next(1)? {
            Next::Form(form) => Ok(Some(form)),
            Next::Close(c) if c == close => Ok(None),
            Next::Close(c) => Err(self.mismatch(at, c, close)),
            Next::End => Err(self.error(
                at,
                format!("the file ends where '{}' is missing", close as char),
            )),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// White space, commas, comments.
    fn skip_blank(&mut self) {
        while let Some(c) = self.rest().chars().next() {
            if c == ';' {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if c.is_whitespace() || c == ',' {
                self.at += c.len_utf8();
            } else {
                return;
            }
        }
    }

    fn mismatch(&self, at: usize, found: u8, wanted: u8) -> ReadError {
        let what = format!("'{}' where '{}' should be", found as char, wanted as char);
        self.error(at, what)
    }

    fn next(&mut self, depth: usize) -> Result<Next<'a>, ReadError> {
        loop {
            self.skip_blank();
            let start = self.at;
            if depth > MAX_DEPTH {
                let what = format!("nested more than {MAX_DEPTH} deep");
                return Err(self.error(start, what));
            }
            let Some(c) = self.peek() else {
                return Ok(Next::End);
            };
            let form = match c {
                b')' | b']' | b'}' => {
                    self.at += 1;
                    return Ok(Next::Close(c));
                }
                b'(' => Edn::List(self.sequence(1, b')', depth)?),
                b'[' => Edn::Vector(self.sequence(1, b']', depth)?),
                b'{' => Edn::Map(self.map(depth)?),
                b'"' => Edn::Text(self.string()?),
                b'\\' => Edn::Char(self.character()?),
                b'^' => {
                    // Metadata says nothing about the value.
                    self.at += 1;
                    self.wanted(start, "metadata", depth)?;
                    self.wanted(start, "metadata", depth)?
                }
                b'#' => match self.dispatch(depth)? {
                    Some(form) => form,
                    None => continue,
                },
                _ => self.atom()?,
            };
            return Ok(Next::Form(form));
        }
    }

    /// A form that must be there; `before` names what it belongs to.
    fn wanted(&mut self, start: usize, before: &str, depth: usize) -> Result<Edn<'a>, ReadError> {
        match self.next(depth + 1)? {
            Next::Form(form) => Ok(form),
            _ => Err(self.error(start, format!("{before} without a form after it"))),
        }
    }

    fn sequence(
        &mut self,
        skip: usize,
        close: u8,
        depth: usize,
    ) -> Result<Vec<Edn<'a>>, ReadError> {
        let open = self.at;
        self.at += skip;
        let mut forms = Vec::new();
        loop {
            let at = self.position();
            match self.next(depth + 1)? {
                Next::Form(form) => forms.push(form),
                Next::Close(c) if c == close => return Ok(forms),
                Next::Close(c) => return Err(self.mismatch(at, c, close)),
                Next::End => return Err(self.error(open, "this bracket is never closed")),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Edn<'a>, Edn<'a>)>, ReadError> {
        let open = self.at;
        let mut forms = self.sequence(1, b'}', depth)?.into_iter();
        let mut entries = Vec::with_capacity(forms.len() / 2);
        while let Some(key) = forms.next() {
            let Some(value) = forms.next() else {
                return Err(self.error(open, "this map has a key without a value"));
            };
            entries.push((key, value));
        }
        Ok(entries)
    }

    /// After `#`: a set, a tagged form, a symbolic number, or nothing (discard).
    fn dispatch(&mut self, depth: usize) -> Result<Option<Edn<'a>>, ReadError> {
        let start = self.at;
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'{') => Ok(Some(Edn::Set(self.sequence(2, b'}', depth)?))),
            Some(b'_') => {
                self.at += 2;
                self.wanted(start, "#_", depth)?;
                Ok(None)
            }
            Some(b'#') => {
                self.at += 2;
                match self.token() {
                    name @ ("Inf" | "-Inf" | "NaN") => Ok(Some(Edn::Number(format!("##{name}")))),
                    _ => Err(self.error(start, "of ##, only ##Inf, ##-Inf and ##NaN are known")),
                }
            }
            Some(b':') => {
                self.at += 2;
                let namespace = self.token();
                if namespace.is_empty() || self.peek() != Some(b'{') {
                    return Err(self.error(start, "#: must be followed by a namespace and a map"));
                }
                let entries = self.map(depth)?;
                let qualify = |(key, value)| (qualified(namespace, key), value);
                Ok(Some(Edn::Map(entries.into_iter().map(qualify).collect())))
            }
            Some(c) if c.is_ascii_alphabetic() => {
                self.at += 1;
                let tag = self.token();
                let form = self.wanted(start, "a tag", depth)?;
                Ok(Some(Edn::Tagged(tag, Box::new(form))))
            }
            _ => {
                let what = format!("'{}' is no EDN", excerpt(self.rest()));
                Err(self.error(start, what))
            }
        }
    }
}

fn qualified<'a>(namespace: &str, key: Edn<'a>) -> Edn<'a> {
    match key {
        Edn::Keyword(k) => match k.strip_prefix("_/") {
            Some(bare) => Edn::Keyword(bare.to_string().into()),
            None if k.contains('/') => Edn::Keyword(k),
            None => Edn::Keyword(format!("{namespace}/{k}").into()),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests;
