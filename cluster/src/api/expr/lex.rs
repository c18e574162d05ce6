//! Expressions as tokens.

/// One token, borrowed from the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A bare name or keyword; it begins with a letter.
    Word(&'a str),
    /// `#name`
    Name(&'a str),
    /// `:value`
    Value(&'a str),
    /// Decimal digits.
    Digits(&'a str),
    /// Punctuation.
    Symbol(&'static str),
}

impl<'a> Token<'a> {
    /// The token as it was written.
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Word(s) | Self::Name(s) | Self::Value(s) | Self::Digits(s) => s,
            Self::Symbol(s) => s,
        }
    }

    /// Whether it is this keyword, in any case.
    pub(super) fn is_keyword(self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 14] = [
    "<>", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", ".", ",", "+", "-",
];

/// Splits a text into tokens.
///
/// # Errors
/// The first character that starts none.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else {
            return Ok(out);
        };
        let run = |from: usize, part: fn(char) -> bool| {
            from + rest[from..].find(|c| !part(c)).unwrap_or(rest.len() - from)
        };
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (token, length) = if first.is_ascii_alphabetic() {
            let length = run(0, part);
            (Token::Word(&rest[..length]), length)
        } else if first.is_ascii_digit() {
            let length = run(0, |c| c.is_ascii_digit());
            (Token::Digits(&rest[..length]), length)
        } else if (first == '#' || first == ':') && run(1, part) > 1 {
            let length = run(1, part);
            let word = &rest[..length];
            let token = if first == '#' {
                Token::Name(word)
            } else {
                Token::Value(word)
            };
            (token, length)
        } else if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            let near: String = rest.chars().take(12).collect();
            return Err(format!(
                "Syntax error; token: \"{first}\", near: \"{near}\""
            ));
        };
        out.push(token);
        rest = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_everything_that_expressions_have() {
        use Token::{Digits, Name, Symbol, Value, Word};
        assert_eq!(
            tokens("#a.b[10]<=:v AND\n c<>d").unwrap(),
            [
                Name("#a"),
                Symbol("."),
                Word("b"),
                Symbol("["),
                Digits("10"),
                Symbol("]"),
                Symbol("<="),
                Value(":v"),
                Word("AND"),
                Word("c"),
                Symbol("<>"),
                Word("d"),
            ]
        );
        assert_eq!(tokens(" \t").unwrap(), []);
        for bad in ["a ! b", "_a", "#", ": v", "é", "\"x\"", "a;b"] {
            assert!(
                tokens(bad).unwrap_err().starts_with("Syntax error"),
                "{bad}"
            );
        }
    }
}
