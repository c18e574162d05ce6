//! Where in a file something is wrong.

use std::fmt;

/// Why a file is no history: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Line, from 1; 0 if it is about the file as a whole.
    pub line: u64,
    /// Column in characters, from 1; 0 if it is about the line as a whole.
    pub column: u64,
    /// What is wrong, in words, and where it helps what to do.
    pub what: String,
}

impl ReadError {
    /// About the file as a whole.
    pub fn whole(what: impl Into<String>) -> Self {
        ReadError {
            line: 0,
            column: 0,
            what: what.into(),
        }
    }

    /// About a line as a whole.
    pub fn line(line: u64, what: impl Into<String>) -> Self {
        ReadError {
            line,
            column: 0,
            what: what.into(),
        }
    }

    /// About the character at byte `at` of `text`.
    pub fn at(text: &[u8], at: usize, what: impl Into<String>) -> Self {
        let before = &text[..at.min(text.len())];
        let start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        let lines = before.iter().filter(|b| **b == b'\n').count();
        // Bytes that continue a UTF-8 character are no column of their own.
        let column = before[start..]
            .iter()
            .filter(|b| **b & 0xC0 != 0x80)
            .count();
        ReadError {
            line: lines as u64 + 1,
            column: column as u64 + 1,
            what: what.into(),
        }
    }
}

/// `line 3, column 14: …`
impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.what),
            (line, 0) => write!(f, "line {line}: {}", self.what),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.what),
        }
    }
}

impl std::error::Error for ReadError {}

/// A file's text.
///
/// # Errors
/// The first byte that is not UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes)
        .map_err(|e| ReadError::at(bytes, e.valid_up_to(), "this byte is not UTF-8 text"))
}

/// A short piece of what stands there, for an error: printable, at most 40 characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(40)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "ab\näöx\n".as_bytes();
        let place = |at| {
            let e = ReadError::at(text, at, "");
            (e.line, e.column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(2), (1, 3));
        assert_eq!(place(3), (2, 1));
        assert_eq!(place(7), (2, 3));
        assert_eq!(place(999), (3, 1));
    }

    #[test]
    fn a_byte_that_is_no_text_is_found() {
        let e = utf8(b"{\n:a \xff}").unwrap_err();
        assert_eq!(
            e.to_string(),
            "line 2, column 4: this byte is not UTF-8 text"
        );
    }
}
