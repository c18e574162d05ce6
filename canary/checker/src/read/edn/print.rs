//! Forms as text that reads back as the same form.

use super::Edn;
use std::fmt;

impl fmt::Display for Edn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edn::Nil => f.write_str("nil"),
            Edn::Bool(b) => write!(f, "{b}"),
            Edn::Int(n) => write!(f, "{n}"),
            Edn::Number(text) => f.write_str(text),
            Edn::Text(text) => quoted(text, f),
            Edn::Char(c) => match c {
                '\n' => f.write_str("\\newline"),
                ' ' => f.write_str("\\space"),
                '\t' => f.write_str("\\tab"),
                '\r' => f.write_str("\\return"),
                c if (c.is_control() || c.is_whitespace()) && (*c as u32) < 0x10000 => {
                    write!(f, "\\u{:04x}", *c as u32)
                }
                c => write!(f, "\\{c}"),
            },
            Edn::Keyword(name) => write!(f, ":{name}"),
            Edn::Symbol(name) => f.write_str(name),
            Edn::List(forms) => spaced("(", forms, ")", f),
            Edn::Vector(forms) => spaced("[", forms, "]", f),
            Edn::Set(forms) => spaced("#{", forms, "}", f),
            Edn::Map(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{key} {value}")?;
                }
                f.write_str("}")
            }
            Edn::Tagged(tag, form) => write!(f, "#{tag} {form}"),
        }
    }
}

/// A string with its quotes and escapes.
pub(crate) fn quoted(text: &str, f: &mut impl fmt::Write) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

fn spaced(open: &str, forms: &[Edn<'_>], close: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(open)?;
    for (i, form) in forms.iter().enumerate() {
        let space = if i == 0 { "" } else { " " };
        write!(f, "{space}{form}")?;
    }
    f.write_str(close)
}
