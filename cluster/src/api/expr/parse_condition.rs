//! The grammar of conditions and filters.
//!
//! `or := and (OR and)*` · `and := not (AND not)*` · `not := NOT not | test`

use super::condition::{Comparison, Condition, Operand};
use super::lex::Token;
use super::parse::{Parser, wrong_count, wrong_function, wrong_type};
use crate::api::value::AttributeValue;
use std::cmp::Ordering;

const FUNCTIONS: [&str; 8] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
    "if_not_exists",
    "list_append",
];
const TYPES: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"];
/// Most values of IN.
const MAX_IN: usize = 100;

impl Parser<'_, '_> {
    pub(super) fn condition(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all_of()?];
        while self.take_keyword("OR") {
            self.operator()?;
            parts.push(self.all_of()?);
        }
        Ok(one_or(parts, Condition::Or))
    }

    fn all_of(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.negation()?];
        while self.take_keyword("AND") {
            self.operator()?;
            parts.push(self.negation()?);
        }
        Ok(one_or(parts, Condition::And))
    }

    fn negation(&mut self) -> Result<Condition, String> {
        if self.take_keyword("NOT") {
            self.operator()?;
            let inner = self.deeper(Self::negation)?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        self.test()
    }

    fn test(&mut self) -> Result<Condition, String> {
        if self.take("(") {
            let inner = self.deeper(Self::condition)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if let Some(Token::Word(word)) = self.peek()
            && self.followed_by("(")
            && word != "size"
        {
            return self.function(word);
        }
        let left = self.operand()?;
        self.operator()?;
        if self.take_keyword("BETWEEN") {
            let low = self.operand()?;
            if !self.take_keyword("AND") {
                return Err(self.unexpected());
            }
            let high = self.operand()?;
            return between(left, low, high);
        }
        if self.take_keyword("IN") {
            self.expect("(")?;
            let mut list = vec![self.operand()?];
            while self.take(",") {
                list.push(self.operand()?);
            }
            self.expect(")")?;
            if list.len() > MAX_IN {
                return Err(wrong_count("IN", list.len()));
            }
            return Ok(Condition::In(left, list));
        }
        let Some(Token::Symbol(sign)) = self.peek() else {
            return Err(self.unexpected());
        };
        let comparison = match sign {
            "=" => Comparison::Equal,
            "<>" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return Err(self.unexpected()),
        };
        self.take(sign);
        let right = self.operand()?;
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            has_order(sign, &left)?;
            has_order(sign, &right)?;
        }
        if let (Operand::Path(a), Operand::Path(b)) = (&left, &right)
            && a == b
        {
            return Err(format!(
                "The first operand must be distinct from the remaining operands for this operator or function; operator: {sign}, first operand: {a}"
            ));
        }
        Ok(Condition::Compare(comparison, left, right))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if let Some(value) = self.value()? {
            return Ok(Operand::Value(value));
        }
        if let Some(Token::Word(word)) = self.peek()
            && self.followed_by("(")
        {
            if word != "size" {
                return Err(wrong_function(word, &FUNCTIONS));
            }
            self.operator()?;
            self.next();
            self.expect("(")?;
            let path = self.path()?;
            self.expect(")")?;
            return Ok(Operand::Size(path));
        }
        self.path().map(Operand::Path)
    }

    fn function(&mut self, name: &str) -> Result<Condition, String> {
        self.operator()?;
        self.next();
        self.expect("(")?;
        let mut operands = vec![self.operand()?];
        while self.take(",") {
            operands.push(self.operand()?);
        }
        self.expect(")")?;
        let count = operands.len();
        let mut operands = operands.into_iter();
        match (name, count, operands.next(), operands.next()) {
            ("attribute_exists", 1, Some(Operand::Path(path)), _) => Ok(Condition::Exists(path)),
            ("attribute_not_exists", 1, Some(Operand::Path(path)), _) => {
                Ok(Condition::NotExists(path))
            }
            ("attribute_exists" | "attribute_not_exists", 1, _, _) => Err(format!(
                "Operator or function requires a document path; operator or function: {name}"
            )),
            ("attribute_type", 2, Some(Operand::Path(path)), Some(Operand::Value(kind))) => {
                match kind {
                    AttributeValue::S(kind) if TYPES.contains(&kind.as_str()) => {
                        Ok(Condition::HasType(path, kind))
                    }
                    AttributeValue::S(kind) => Err(format!(
                        "Invalid attribute type name found; type: {kind}, valid types: {{{}}}",
                        TYPES.join(",")
                    )),
                    other => Err(wrong_type(name, other.type_name())),
                }
            }
            ("attribute_type", 2, _, _) => Err(format!(
                "Operator or function requires a document path; operator or function: {name}"
            )),
            ("begins_with", 2, Some(value), Some(prefix)) => {
                for operand in [&value, &prefix] {
                    if let Operand::Value(v) = operand
                        && !matches!(v, AttributeValue::S(_) | AttributeValue::B(_))
                    {
                        return Err(wrong_type(name, v.type_name()));
                    }
                }
                Ok(Condition::BeginsWith(value, prefix))
            }
            ("contains", 2, Some(value), Some(part)) => Ok(Condition::Contains(value, part)),
            (
                "attribute_exists"
                | "attribute_not_exists"
                | "attribute_type"
                | "begins_with"
                | "contains",
                count,
                ..,
            ) => Err(wrong_count(name, count)),
            _ => Err(wrong_function(name, &FUNCTIONS)),
        }
    }
}

/// A list of one is that one.
fn one_or(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// Refuses literals of types that have no order.
fn has_order(function: &str, operand: &Operand) -> Result<(), String> {
    match operand {
        Operand::Value(v) if !matches!(v.type_name(), "S" | "N" | "B") => {
            Err(wrong_type(function, v.type_name()))
        }
        _ => Ok(()),
    }
}

fn between(value: Operand, low: Operand, high: Operand) -> Result<Condition, String> {
    for operand in [&value, &low, &high] {
        has_order("BETWEEN", operand)?;
    }
    if let (Operand::Value(a), Operand::Value(b)) = (&low, &high) {
        match a.compare(b) {
            None => {
                return Err(
                    "The BETWEEN operator requires same data type for lower and upper bounds;"
                        .to_owned(),
                );
            }
            Some(Ordering::Greater) => {
                return Err(
                    "The BETWEEN operator requires upper bound to be greater than or equal to lower bound;"
                        .to_owned(),
                );
            }
            Some(_) => {}
        }
    }
    Ok(Condition::Between(value, low, high))
}
