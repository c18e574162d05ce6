//! Texts with places for a key, a value and filler.

/// A text that was cut at its places once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Key,
    Value,
    Pad,
}

impl Template {
    /// Everything but `{key}`, `{value}` and `{pad}` is text.
    pub(super) fn new(text: &str) -> Self {
        const PLACES: [(&str, Part); 3] = [
            ("{key}", Part::Key),
            ("{value}", Part::Value),
            ("{pad}", Part::Pad),
        ];
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let found = PLACES.iter().filter_map(|(name, part)| {
                let at = rest.find(name)?;
                Some((at, name.len(), part))
            });
            let Some((at, len, part)) = found.min_by_key(|(at, ..)| *at) else {
                parts.push(Part::Text(rest.into()));
                return Template(parts);
            };
            parts.push(Part::Text(rest[..at].into()));
            parts.push(part.clone());
            rest = &rest[at + len..];
        }
    }

    pub(super) fn filled(&self, key: &str, value: &str, pad: &str) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.as_str().to_owned(),
            Part::Key => key.to_owned(),
            Part::Value => value.to_owned(),
            Part::Pad => pad.to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_nothing_else_is() {
        for (text, expected) in [
            ("/items/{key}?v={value}", "/items/k{value}?v=5"),
            ("{value}{value}", "55"),
            ("{\"v\":{value},\"p\":\"{pad}\"}", "{\"v\":5,\"p\":\"xx\"}"),
            ("{ key } {other} {", "{ key } {other} {"),
            ("", ""),
        ] {
            // What is filled in is not looked at again.
            assert_eq!(Template::new(text).filled("k{value}", "5", "xx"), expected);
        }
    }
}
