//! The grammar of updates: the clauses SET, REMOVE, ADD and DELETE, each once.

use super::lex::Token;
use super::parse::{Parser, REDUNDANT, check_apart, wrong_count, wrong_function, wrong_type};
use super::update::{SetOperand, SetValue, Update};
use crate::api::value::AttributeValue;

const FUNCTIONS: [&str; 8] = [
    "if_not_exists",
    "list_append",
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
];
const CLAUSES: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

impl Parser<'_, '_> {
    pub(super) fn update(&mut self) -> Result<Update, String> {
        let mut update = Update::default();
        let mut seen: Vec<&str> = Vec::new();
        while self.peek().is_some() {
            let Some(clause) = CLAUSES.into_iter().find(|c| self.take_keyword(c)) else {
                return Err(self.unexpected());
            };
            if seen.contains(&clause) {
                return Err(format!(
                    "The \"{clause}\" section can only be used once in an update expression;"
                ));
            }
            seen.push(clause);
            loop {
                self.operator();
                self.action(clause, &mut update)?;
                if !self.take(",") {
                    break;
                }
            }
        }
        check_apart(&update.paths().collect::<Vec<_>>())?;
        Ok(update)
    }

    fn action(&mut self, clause: &str, update: &mut Update) -> Result<(), String> {
        let path = self.path()?;
        match clause {
            "SET" => {
                self.expect("=")?;
                let value = self.set_value()?;
                update.set.push((path, value));
            }
            "REMOVE" => update.remove.push(path),
            _ => {
                let Some(value) = self.value()? else {
                    return Err(self.unexpected());
                };
                let kind = self.valued(value).type_name();
                let fits = match kind {
                    "SS" | "NS" | "BS" => true,
                    "N" => clause == "ADD",
                    _ => false,
                };
                if !fits {
                    return Err(wrong_type(clause, kind));
                }
                let actions = match clause {
                    "ADD" => &mut update.add,
                    _ => &mut update.delete,
                };
                actions.push((path, value));
            }
        }
        Ok(())
    }

    fn set_value(&mut self) -> Result<SetValue, String> {
        if self.take("(") {
            if matches!(self.peek(), Some(Token::Symbol("("))) {
                return Err(REDUNDANT.to_owned());
            }
            let inner = self.set_value()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let first = self.set_operand()?;
        let sign = match self.peek() {
            Some(Token::Symbol(sign @ ("+" | "-"))) => sign,
            _ => return Ok(SetValue::Is(first)),
        };
        self.operator();
        self.take(sign);
        let second = self.set_operand()?;
        for operand in [&first, &second] {
            match operand {
                SetOperand::Value(v) if !matches!(self.valued(*v), AttributeValue::N(_)) => {
                    return Err(wrong_type(sign, self.valued(*v).type_name()));
                }
                SetOperand::ListAppend(..) => return Err(wrong_type(sign, "L")),
                _ => {}
            }
        }
        Ok(if sign == "+" {
            SetValue::Plus(first, second)
        } else {
            SetValue::Minus(first, second)
        })
    }

    fn set_operand(&mut self) -> Result<SetOperand, String> {
        if let Some(value) = self.value()? {
            return Ok(SetOperand::Value(value));
        }
        let Some(Token::Word(name)) = self.peek() else {
            return self.path().map(SetOperand::Path);
        };
        if !self.followed_by("(") {
            return self.path().map(SetOperand::Path);
        }
        if name != "if_not_exists" && name != "list_append" {
            return Err(wrong_function(name, &FUNCTIONS));
        }
        self.operator();
        self.next();
        self.expect("(")?;
        let mut operands = vec![self.deeper(Self::set_operand)?];
        while self.take(",") {
            operands.push(self.deeper(Self::set_operand)?);
        }
        self.expect(")")?;
        let count = operands.len();
        let mut operands = operands.into_iter();
        let (Some(first), Some(second), 2) = (operands.next(), operands.next(), count) else {
            return Err(wrong_count(name, count));
        };
        if name == "if_not_exists" {
            let SetOperand::Path(path) = first else {
                return Err(format!(
                    "Operator or function requires a document path; operator or function: {name}"
                ));
            };
            return Ok(SetOperand::IfNotExists(path, Box::new(second)));
        }
        for operand in [&first, &second] {
            match operand {
                SetOperand::Value(v) if !matches!(self.valued(*v), AttributeValue::L(_)) => {
                    return Err(wrong_type(name, self.valued(*v).type_name()));
                }
                SetOperand::ListAppend(..) => return Err(wrong_function(name, &FUNCTIONS)),
                _ => {}
            }
        }
        Ok(SetOperand::ListAppend(Box::new(first), Box::new(second)))
    }
}
