//! Forms without brackets: strings, characters, numbers, keywords, symbols.

use super::super::position::{ReadError, excerpt};
use super::{Edn, Reader};
use std::borrow::Cow;

impl<'a> Reader<'a> {
    /// Everything up to the next delimiter.
    pub(super) fn token(&mut self) -> &'a str {
        let rest = self.rest();
        let ends = |c: char| {
            c.is_whitespace()
                || matches!(
                    c,
                    ',' | ';'
                        | '"'
                        | '('
                        | ')'
                        | '['
                        | ']'
                        | '{'
                        | '}'
                        | '\\'
                        | '^'
                        | '@'
                        | '`'
                        | '~'
                )
        };
        let token = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += token.len();
        token
    }

    /// A keyword, number or symbol.
    pub(super) fn atom(&mut self) -> Result<Edn<'a>, ReadError> {
        let start = self.at;
        let token = self.token();
        let no = |reader: &Self| {
            let rest = &reader.text[start..];
            reader.error(start, format!("'{}' is no EDN", excerpt(rest)))
        };
        let first = token.bytes().next().ok_or_else(|| no(self))?;
        if first == b':' {
            let name = &token[1..];
            if name.is_empty() || name.starts_with(':') || name.ends_with('/') {
                return Err(self.error(start, format!("'{}' is no keyword", excerpt(token))));
            }
            return Ok(Edn::Keyword(name.into()));
        }
        let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            return number(token)
                .ok_or_else(|| self.error(start, format!("'{}' is no number", excerpt(token))));
        }
        Ok(match token {
            "nil" => Edn::Nil,
            "true" => Edn::Bool(true),
            "false" => Edn::Bool(false),
            _ if first == b'\'' => return Err(no(self)),
            symbol => Edn::Symbol(symbol),
        })
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, ReadError> {
        let open = self.at;
        self.at += 1;
        let mut changed: Option<String> = None;
        loop {
            let rest = self.rest();
            let Some(length) = rest.find(['"', '\\']) else {
                return Err(self.error(open, "this string is never closed"));
            };
            let plain = &rest[..length];
            self.at += length + 1;
            if rest.as_bytes()[length] == b'"' {
                return Ok(match changed {
                    None => plain.into(),
                    Some(text) => (text + plain).into(),
                });
            }
            let text = changed.get_or_insert_default();
            text.push_str(plain);
            let c = self.escape(open)?;
            changed.get_or_insert_default().push(c);
        }
    }

    /// What follows a backslash in a string.
    fn escape(&mut self, open: usize) -> Result<char, ReadError> {
        let at = self.at - 1;
        let Some(c) = self.rest().chars().next() else {
            return Err(self.error(open, "this string is never closed"));
        };
        self.at += c.len_utf8();
        Ok(match c {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '\\' | '"' => c,
            'u' => {
                let unit = self
                    .hex4()
                    .ok_or_else(|| self.error(at, "\\u needs four hexadecimal digits"))?;
                self.paired(unit)
                    .ok_or_else(|| self.error(at, "half of a surrogate pair is no character"))?
            }
            '0'..='7' => {
                self.at -= 1;
                let octal = self.octal();
                octal.ok_or_else(|| self.error(at, "octal escapes go from \\0 to \\377"))?
            }
            _ => {
                return Err(self.error(at, format!("'\\{}' is no escape", excerpt(&c.to_string()))));
            }
        })
    }

    /// A UTF-16 unit, with its second half from the text if it needs one.
    fn paired(&mut self, unit: u32) -> Option<char> {
        if !(0xD800..0xDC00).contains(&unit) {
            return char::from_u32(unit);
        }
        if !self.rest().starts_with("\\u") {
            return None;
        }
        self.at += 2;
        let low = self.hex4().filter(|u| (0xDC00..0xE000).contains(u))?;
        char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn octal(&mut self) -> Option<char> {
        let rest = self.rest();
        let length = rest
            .bytes()
            .take(3)
            .take_while(|b| (b'0'..=b'7').contains(b))
            .count();
        self.at += length;
        octal(&rest[..length])
    }

    pub(super) fn character(&mut self) -> Result<char, ReadError> {
        let start = self.at;
        self.at += 1;
        let Some(first) = self.rest().chars().next() else {
            return Err(self.error(start, "a backslash at the end of the file"));
        };
        self.at += first.len_utf8();
        self.token();
        let name = &self.text[start + 1..self.at];
        let code = |hex: &str| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
        let known = match name {
            "newline" => Some('\n'),
            "space" => Some(' '),
            "tab" => Some('\t'),
            "return" => Some('\r'),
            "formfeed" => Some('\u{c}'),
            "backspace" => Some('\u{8}'),
            _ if name.len() == first.len_utf8() => Some(first),
            _ if name.len() == 5 && name.starts_with('u') => code(&name[1..]),
            _ if name.starts_with('o') => octal(&name[1..]),
            _ => None,
        };
        known.ok_or_else(|| self.error(start, format!("'\\{}' is no character", excerpt(name))))
    }
}

fn octal(digits: &str) -> Option<char> {
    u8::from_str_radix(digits, 8).ok().map(char::from)
}

/// A number of Clojure's syntax; integers that fit are [`Edn::Int`].
fn number(token: &str) -> Option<Edn<'static>> {
    let (negative, digits) = match token.as_bytes()[0] {
        b'-' => (true, &token[1..]),
        b'+' => (false, &token[1..]),
        _ => (false, token),
    };
    let signed = |n: i128| if negative { -n } else { n };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if let Some((top, bottom)) = digits.split_once('/') {
        if !all_digits(top) || !all_digits(bottom) {
            return None;
        }
        let (top, bottom): (i128, i128) = (top.parse().ok()?, bottom.parse().ok()?);
        let common = (bottom != 0).then(|| gcd(top, bottom))?;
        let (top, bottom) = (signed(top / common), bottom / common);
        return Some(match bottom {
            1 => integer(top),
            _ => Edn::Number(format!("{top}/{bottom}")),
        });
    }
    let whole = digits.strip_suffix('N').unwrap_or(digits);
    if let Some(hex) = whole.strip_prefix("0x").or(whole.strip_prefix("0X")) {
        return radix(hex, 16).map(|n| integer(signed(n)));
    }
    if let Some((base, rest)) = digits.split_once(['r', 'R']) {
        let base = base.parse().ok().filter(|b| (2..=36).contains(b))?;
        return radix(rest, base).map(|n| integer(signed(n)));
    }
    if all_digits(whole) {
        if whole.len() > 1 && whole.starts_with('0') {
            return radix(whole, 8).map(|n| integer(signed(n)));
        }
        let sign = if negative { "-" } else { "" };
        return Some(match whole.parse::<i128>() {
            Ok(n) => integer(signed(n)),
            Err(_) => Edn::Number(format!("{sign}{whole}")),
        });
    }
    let real = digits.strip_suffix('M').unwrap_or(digits);
    let shape = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if !real.bytes().all(shape) {
        return None;
    }
    let value: f64 = real.parse().ok()?;
    let sign = if negative { "-" } else { "" };
    Some(Edn::Number(if real.len() < digits.len() {
        format!("{sign}{real}M")
    } else {
        format!("{sign}{value:?}")
    }))
}

/// A magnitude. `i128::from_str_radix` alone would take a second sign.
fn radix(digits: &str, base: u32) -> Option<i128> {
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    plain.then(|| i128::from_str_radix(digits, base).ok())?
}

fn integer(n: i128) -> Edn<'static> {
    match i64::try_from(n) {
        Ok(n) => Edn::Int(n),
        Err(_) => Edn::Number(n.to_string()),
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}
