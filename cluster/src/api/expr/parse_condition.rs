//! The grammar of conditions and filters.
//!
//! `or := and (OR and)*` · `and := not (AND not)*` · `not := NOT not | (or) | test`,
//! read with a stack of what is open instead of recursion.

use super::condition::{Comparison, Condition, Instruction, Operand, Test};
use super::lex::Token;
use super::parse::{Parser, REDUNDANT, wrong_count, wrong_function, wrong_type};
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

/// What waits for its right side, or its end.
enum Open {
    Not,
    /// The place of its [`Instruction::AndThen`].
    And(usize),
    /// The place of its [`Instruction::OrElse`].
    Or(usize),
    /// The place of the token after `(`.
    Group(usize),
}

/// A condition as far as it is read.
#[derive(Default)]
struct Partial {
    out: Vec<Instruction>,
    open: Vec<Open>,
}

impl Partial {
    /// Ends the NOTs that stand before what was just read.
    fn end_not(&mut self) {
        while let Some(Open::Not) = self.open.last() {
            self.open.pop();
            self.out.push(Instruction::Not);
        }
    }

    /// Ends what binds at least as strong as AND.
    fn end_and(&mut self) {
        while let Some(Open::And(at)) = self.open.last() {
            self.out[*at] = Instruction::AndThen((self.out.len() - at - 1) as u32);
            self.open.pop();
        }
    }

    /// Ends everything up to the innermost parenthesis.
    fn end_or(&mut self) {
        self.end_and();
        while let Some(Open::Or(at)) = self.open.last() {
            self.out[*at] = Instruction::OrElse((self.out.len() - at - 1) as u32);
            self.open.pop();
        }
    }

    fn and(&mut self) {
        self.end_and();
        self.open.push(Open::And(self.out.len()));
        self.out.push(Instruction::AndThen(0));
    }

    fn or(&mut self) {
        self.end_or();
        self.open.push(Open::Or(self.out.len()));
        self.out.push(Instruction::OrElse(0));
    }
}

impl Parser<'_, '_> {
    pub(super) fn condition(&mut self) -> Result<Condition, String> {
        let mut read = Partial::default();
        // The last parentheses that were closed: what is inside.
        let mut group = None;
        loop {
            while self.take_keyword("NOT") {
                self.operator();
                read.open.push(Open::Not);
            }
            if self.take("(") {
                read.open.push(Open::Group(self.position()));
                continue;
            }
            let test = self.test()?;
            read.out.push(Instruction::Test(test));
            loop {
                read.end_not();
                if self.take_keyword("AND") {
                    self.operator();
                    read.and();
                    break;
                }
                if self.take_keyword("OR") {
                    self.operator();
                    read.or();
                    break;
                }
                read.end_or();
                let inside = self.position();
                match read.open.pop() {
                    None => return Ok(Condition(read.out)),
                    Some(Open::Group(from)) => {
                        self.expect(")")?;
                        if group == Some((from + 1, inside - 1)) {
                            return Err(REDUNDANT.to_owned());
                        }
                        group = Some((from, inside));
                    }
                    // All others were ended.
                    Some(_) => return Err(self.unexpected()),
                }
            }
        }
    }

    fn test(&mut self) -> Result<Test, String> {
        if let Some(Token::Word(word)) = self.peek()
            && self.followed_by("(")
            && word != "size"
        {
            return self.function(word);
        }
        let left = self.operand()?;
        self.operator();
        if self.take_keyword("BETWEEN") {
            let low = self.operand()?;
            if !self.take_keyword("AND") {
                return Err(self.unexpected());
            }
            let high = self.operand()?;
            return self.between(left, low, high);
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
            return Ok(Test::In(left, list));
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
            self.has_order(sign, &left)?;
            self.has_order(sign, &right)?;
        }
        distinct(sign, &left, &right)?;
        Ok(Test::Compare(comparison, left, right))
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
            let mut operands = self.operands()?.into_iter();
            return match (operands.next(), operands.len()) {
                (Some(Operand::Size(_)), 0) => Err(wrong_function(word, &FUNCTIONS)),
                (Some(of), 0) => {
                    if let Some(
                        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null,
                    ) = self.literal(&of)
                    {
                        return Err(self.wrong_literal(word, &of));
                    }
                    Ok(Operand::Size(Box::new(of)))
                }
                (_, more) => Err(wrong_count(word, 1 + more)),
            };
        }
        self.path().map(Operand::Path)
    }

    /// The operands of the function whose name is next.
    fn operands(&mut self) -> Result<Vec<Operand>, String> {
        // A size within a size is refused by the caller, but must not get far first.
        self.deeper(|parser| {
            parser.operator();
            parser.next();
            parser.expect("(")?;
            let mut operands = vec![parser.operand()?];
            while parser.take(",") {
                operands.push(parser.operand()?);
            }
            parser.expect(")")?;
            Ok(operands)
        })
    }

    fn function(&mut self, name: &str) -> Result<Test, String> {
        let operands = self.operands()?;
        let count = operands.len();
        let mut operands = operands.into_iter();
        match (name, count, operands.next(), operands.next()) {
            ("attribute_exists", 1, Some(Operand::Path(path)), _) => Ok(Test::Exists(path)),
            ("attribute_not_exists", 1, Some(Operand::Path(path)), _) => Ok(Test::NotExists(path)),
            ("attribute_exists" | "attribute_not_exists", 1, _, _) => Err(format!(
                "Operator or function requires a document path; operator or function: {name}"
            )),
            ("attribute_type", 2, Some(value), Some(kind)) => match self.literal(&kind) {
                Some(AttributeValue::S(kind)) if TYPES.contains(&kind.as_str()) => {
                    Ok(Test::HasType(value, kind.clone()))
                }
                Some(AttributeValue::S(kind)) => Err(format!(
                    "Invalid attribute type name found; type: {kind}, valid types: {{{}}}",
                    TYPES.join(",")
                )),
                Some(_) => Err(self.wrong_literal(name, &kind)),
                None => Err(format!(
                    "Operator or function requires a value; operator or function: {name}"
                )),
            },
            ("begins_with", 2, Some(value), Some(prefix)) => {
                for operand in [&value, &prefix] {
                    if !matches!(
                        self.literal(operand),
                        None | Some(AttributeValue::S(_) | AttributeValue::B(_))
                    ) {
                        return Err(self.wrong_literal(name, operand));
                    }
                }
                distinct(name, &value, &prefix)?;
                Ok(Test::BeginsWith(value, prefix))
            }
            ("contains", 2, Some(value), Some(part)) => {
                distinct(name, &value, &part)?;
                Ok(Test::Contains(value, part))
            }
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

    /// The value, if the operand is one of the request's.
    fn literal(&self, operand: &Operand) -> Option<&AttributeValue> {
        match operand {
            Operand::Value(number) => Some(self.valued(*number)),
            Operand::Path(_) | Operand::Size(_) => None,
        }
    }

    fn wrong_literal(&self, function: &str, operand: &Operand) -> String {
        wrong_type(
            function,
            self.literal(operand).map_or("", AttributeValue::type_name),
        )
    }

    /// Refuses values of types that have no order.
    fn has_order(&self, function: &str, operand: &Operand) -> Result<(), String> {
        match self.literal(operand) {
            Some(v) if !matches!(v.type_name(), "S" | "N" | "B") => {
                Err(wrong_type(function, v.type_name()))
            }
            _ => Ok(()),
        }
    }

    fn between(&self, value: Operand, low: Operand, high: Operand) -> Result<Test, String> {
        for operand in [&value, &low, &high] {
            self.has_order("BETWEEN", operand)?;
        }
        if let (Some(a), Some(b)) = (self.literal(&low), self.literal(&high)) {
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
        Ok(Test::Between(value, low, high))
    }
}

/// Refuses a path that is held against itself.
fn distinct(operator: &str, first: &Operand, second: &Operand) -> Result<(), String> {
    match (first, second) {
        (Operand::Path(a), Operand::Path(b)) if a == b => Err(format!(
            "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {a}"
        )),
        _ => Ok(()),
    }
}
