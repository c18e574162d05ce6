//! The common part of parsing: scope, bounds, tokens, operands, paths.

use super::lex::{Token, tokens};
use super::path::{Path, Relation, Step};
use super::project::Projection;
use super::reserved::is_reserved;
use super::{
    Condition, MAX_DEPTH, MAX_EXPRESSION, MAX_OPERATORS, MAX_PATHS, MAX_SUBSTITUTIONS, Update,
};
use crate::api::value::{AttributeValue, MAX_NAME, MAX_NESTING};
use std::collections::{BTreeMap, BTreeSet};

/// `ExpressionAttributeNames`.
pub type Names = BTreeMap<String, String>;
/// `ExpressionAttributeValues`.
pub type Values = BTreeMap<String, AttributeValue>;

/// The names and values of one request, and which of them were used.
pub struct Scope<'a> {
    names: Option<&'a Names>,
    used_names: BTreeSet<&'a str>,
    /// Whether there was a parameter with values.
    valued: bool,
    /// In the order of their keys; their place is their number. With whether it was used.
    values: Vec<(String, AttributeValue, bool)>,
    /// Bytes of names that paths may still take.
    path_bytes: usize,
    expressions: usize,
}

impl<'a> Scope<'a> {
    /// A scope of what a request brought.
    pub fn new(names: Option<&'a Names>, values: Option<Values>) -> Self {
        let valued = values.is_some();
        let values = values.unwrap_or_default().into_iter();
        Self {
            names,
            used_names: BTreeSet::new(),
            valued,
            values: values.map(|(key, value)| (key, value, false)).collect(),
            path_bytes: MAX_PATHS,
            expressions: 0,
        }
    }

    /// Parses a ConditionExpression or FilterExpression (`what` names it in errors).
    ///
    /// # Errors
    /// A ValidationException message.
    pub fn condition(&mut self, what: &str, text: &str) -> Result<Condition, String> {
        self.parse(what, text, |parser| parser.condition())
    }

    /// Parses an UpdateExpression.
    ///
    /// # Errors
    /// A ValidationException message.
    pub fn update(&mut self, text: &str) -> Result<Update, String> {
        self.parse("UpdateExpression", text, |parser| parser.update())
    }

    /// Parses a ProjectionExpression.
    ///
    /// # Errors
    /// A ValidationException message.
    pub fn projection(&mut self, text: &str) -> Result<Projection, String> {
        self.parse("ProjectionExpression", text, |parser| {
            let mut paths: Vec<Path> = Vec::new();
            loop {
                paths.push(parser.path()?);
                if !parser.take(",") {
                    break;
                }
            }
            check_apart(&paths.iter().collect::<Vec<_>>())?;
            Ok(Projection::new(&paths))
        })
    }

    fn parse<T>(
        &mut self,
        what: &str,
        text: &str,
        rule: impl FnOnce(&mut Parser<'_, 'a>) -> Result<T, String>,
    ) -> Result<T, String> {
        self.expressions += 1;
        let parsed = (|| {
            if text.len() > MAX_EXPRESSION {
                let size = text.len();
                return Err(format!(
                    "Expression size has exceeded the maximum allowed size; expression size: {size}"
                ));
            }
            let tokens = tokens(text)?;
            if tokens.is_empty() {
                return Err("The expression can not be empty;".to_owned());
            }
            let mut parser = Parser {
                scope: self,
                tokens: &tokens,
                at: 0,
                depth: 0,
                operators: 0,
            };
            let parsed = rule(&mut parser)?;
            if parser.peek().is_some() {
                return Err(parser.unexpected());
            }
            if parser.operators > MAX_OPERATORS {
                let count = parser.operators;
                return Err(format!(
                    "The expression contains too many operators; operator count: {count}"
                ));
            }
            Ok(parsed)
        })();
        parsed.map_err(|reason| format!("Invalid {what}: {reason}"))
    }

    /// Refuses names and values that no expression used, or that are too large; the values in
    /// the order of their numbers.
    ///
    /// # Errors
    /// A ValidationException message.
    pub fn finish(self) -> Result<Vec<AttributeValue>, String> {
        let mut bytes = 0;
        if let Some(names) = self.names {
            let used = |key: &str| self.used_names.contains(key);
            let keys = names.keys().map(|key| (key.as_str(), used(key)));
            check("ExpressionAttributeNames", '#', self.expressions, keys)?;
            for (key, name) in names {
                if name.len() > MAX_NAME {
                    return Err(format!(
                        "ExpressionAttributeNames contains invalid value: Attribute name is too large, must be less than {} bytes; key: {key}",
                        MAX_NAME + 1
                    ));
                }
                bytes += key.len() + name.len();
            }
        }
        if self.valued {
            let keys = self
                .values
                .iter()
                .map(|(key, _, used)| (key.as_str(), *used));
            check("ExpressionAttributeValues", ':', self.expressions, keys)?;
            let values = self.values.iter();
            bytes += values
                .map(|(key, value, _)| key.len() + value.size())
                .sum::<usize>();
        }
        if bytes > MAX_SUBSTITUTIONS {
            return Err(format!(
                "One or more parameter values were invalid: ExpressionAttributeNames and ExpressionAttributeValues together have exceeded the maximum allowed size of {MAX_SUBSTITUTIONS} bytes; size: {bytes}"
            ));
        }
        Ok(self.values.into_iter().map(|(_, value, _)| value).collect())
    }
}

/// Checks the keys of names or values, of which each comes with whether it was used.
fn check<'k>(
    what: &str,
    sign: char,
    expressions: usize,
    keys: impl ExactSizeIterator<Item = (&'k str, bool)> + Clone,
) -> Result<(), String> {
    if expressions == 0 {
        return Err(format!(
            "{what} can only be specified when using expressions"
        ));
    }
    if keys.len() == 0 {
        return Err(format!("{what} must not be empty"));
    }
    for (key, _) in keys.clone() {
        let rest = key.strip_prefix(sign).unwrap_or("");
        if rest.is_empty() || !rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!(
                "{what} contains invalid key: Syntax error; key: \"{key}\""
            ));
        }
    }
    let unused: Vec<&str> = keys.filter(|(_, used)| !used).map(|(key, _)| key).collect();
    if unused.is_empty() {
        Ok(())
    } else {
        let keys = unused.join(", ");
        Err(format!(
            "Value provided in {what} unused in expressions: keys: {{{keys}}}"
        ))
    }
}

/// Refuses paths of which one contains or contradicts another.
///
/// # Errors
/// The reason, as DynamoDB words it.
pub(super) fn check_apart(paths: &[&Path]) -> Result<(), String> {
    for (at, a) in paths.iter().enumerate() {
        for b in &paths[at + 1..] {
            let what = match a.relation(b) {
                Relation::Apart => continue,
                Relation::Overlap => "overlap",
                Relation::Conflict => "conflict",
            };
            return Err(format!(
                "Two document paths {what} with each other; must remove or rewrite one of these paths; path one: {a}, path two: {b}"
            ));
        }
    }
    Ok(())
}

/// A cursor over the tokens of one expression.
pub(super) struct Parser<'p, 'a> {
    scope: &'p mut Scope<'a>,
    tokens: &'p [Token<'p>],
    at: usize,
    depth: usize,
    operators: usize,
}

impl<'p, 'a> Parser<'p, 'a> {
    pub(super) fn peek(&self) -> Option<Token<'p>> {
        self.tokens.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<Token<'p>> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Whether the token after the next one is this symbol.
    pub(super) fn followed_by(&self, symbol: &str) -> bool {
        matches!(self.tokens.get(self.at + 1), Some(Token::Symbol(s)) if *s == symbol)
    }

    /// Takes the symbol if it is next.
    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(s)) if s == symbol);
        self.at += usize::from(found);
        found
    }

    /// Takes the keyword if it is next.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|t| t.is_keyword(keyword));
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.take(symbol) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// The error for the token that is next.
    pub(super) fn unexpected(&self) -> String {
        let token = self.peek().map_or("<EOF>", Token::text);
        let near: Vec<&str> = self.tokens[self.at.saturating_sub(1).min(self.tokens.len())..]
            .iter()
            .take(3)
            .map(|t| t.text())
            .collect();
        format!(
            "Syntax error; token: \"{token}\", near: \"{}\"",
            near.join(" ")
        )
    }

    /// Runs a rule one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        rule: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth == MAX_DEPTH {
            return Err(format!(
                "The expression is nested more than {MAX_DEPTH} levels deep;"
            ));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Counts one operator or function.
    pub(super) fn operator(&mut self) {
        self.operators += 1;
    }

    /// Where the next token is.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Takes a `:value`, if one is next; its number.
    pub(super) fn value(&mut self) -> Result<Option<u32>, String> {
        let Some(Token::Value(key)) = self.peek() else {
            return Ok(None);
        };
        self.at += 1;
        let values = &mut self.scope.values;
        let found = values.binary_search_by(|(other, ..)| other.as_str().cmp(key));
        match found {
            Ok(number) => {
                values[number].2 = true;
                // A body has far fewer values than that.
                Ok(Some(number as u32))
            }
            Err(_) => Err(format!(
                "An expression attribute value used in expression is not defined; attribute value: {key}"
            )),
        }
    }

    /// The value of this number.
    pub(super) fn valued(&self, number: u32) -> &AttributeValue {
        &self.scope.values[number as usize].1
    }

    /// Takes a document path.
    pub(super) fn path(&mut self) -> Result<Path, String> {
        let root = self.path_name()?;
        let mut steps = Vec::new();
        loop {
            if self.take(".") {
                steps.push(Step::Key(self.path_name()?));
            } else if self.take("[") {
                let Some(Token::Digits(digits)) = self.peek() else {
                    return Err(self.unexpected());
                };
                let index = digits.parse().map_err(|_| {
                    format!("List index is not within the allowable range; index: [{digits}]")
                })?;
                self.at += 1;
                self.expect("]")?;
                steps.push(Step::Index(index));
            } else {
                break;
            }
        }
        let levels = 1 + steps.len();
        if levels > MAX_NESTING {
            return Err(format!(
                "The document path has too many nesting elements; nesting levels: {levels}"
            ));
        }
        Ok(Path { root, steps })
    }

    fn path_name(&mut self) -> Result<String, String> {
        let name = match self.peek() {
            Some(Token::Word(word)) if is_keyword(word) => return Err(self.unexpected()),
            Some(Token::Word(word)) if is_reserved(word) => {
                return Err(format!(
                    "Attribute name is a reserved keyword; reserved keyword: {word}"
                ));
            }
            Some(Token::Word(word)) => word,
            Some(Token::Name(key)) => {
                match self.scope.names.and_then(|names| names.get_key_value(key)) {
                    Some((key, name)) => {
                        self.scope.used_names.insert(key);
                        name
                    }
                    None => {
                        return Err(format!(
                            "An expression attribute name used in the document path is not defined; attribute name: {key}"
                        ));
                    }
                }
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let left = self.scope.path_bytes.checked_sub(name.len());
        self.scope.path_bytes = left.ok_or_else(|| {
            format!(
                "The attribute names in the expressions' document paths take more than {MAX_PATHS} bytes together;"
            )
        })?;
        Ok(name.to_owned())
    }
}

/// Whether it is a word of the expression grammar itself.
fn is_keyword(word: &str) -> bool {
    [
        "AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE",
    ]
    .iter()
    .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// The error for parentheses around parentheses.
pub(super) const REDUNDANT: &str = "The expression has redundant parentheses;";

/// The error for a function that has the wrong number of operands.
pub(super) fn wrong_count(function: &str, count: usize) -> String {
    format!(
        "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
    )
}

/// The error for an operand that an operator or function cannot take.
pub(super) fn wrong_type(function: &str, type_name: &str) -> String {
    format!(
        "Incorrect operand type for operator or function; operator or function: {function}, operand type: {type_name}"
    )
}

/// The error for a function that does not exist or not here.
pub(super) fn wrong_function(name: &str, known: &[&str]) -> String {
    if known.contains(&name) {
        format!(
            "The function is not allowed to be used this way in an expression; function: {name}"
        )
    } else {
        format!("Invalid function name; function: {name}")
    }
}
