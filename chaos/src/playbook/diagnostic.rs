//! What is wrong with a playbook, with its place and a way out.

use std::fmt;
use std::ops::Range;

/// Longest piece of a source line that is shown, in characters.
const SHOWN: usize = 120;

/// A playbook's text and the name it is known by in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File name, as the user wrote it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A place in a playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, cut to what is worth showing, without control characters.
    excerpt: String,
    /// Characters before the marked ones in `excerpt`.
    before: usize,
    /// Characters marked, at least 1.
    marked: usize,
}

/// One mistake. Its `Display` shows the line with the spot marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// File name.
    pub file: String,
    /// Where; absent if it is about the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake at `span` (bytes) of the source.
    pub fn at(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        Diagnostic {
            file: source.name.clone(),
            place: Some(Place::new(&source.text, span)),
            message: message.into(),
            help: None,
        }
    }

    /// A mistake of the file as a whole.
    pub fn whole(file: impl Into<String>, message: impl Into<String>) -> Self {
        Diagnostic {
            file: file.into(),
            place: None,
            message: message.into(),
            help: None,
        }
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Place {
    fn new(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[..line_start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let marked = text[start..end.min(line_end).max(start)].chars().count();
        // A long line is shown from a little before the mark.
        let skip = (column - 1).saturating_sub(SHOWN / 2);
        let excerpt: String = text[line_start..line_end]
            .trim_end_matches('\r')
            .chars()
            .skip(skip)
            .take(SHOWN)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let before = column - 1 - skip;
        let room = excerpt.chars().count().saturating_sub(before);
        Place {
            line,
            column,
            excerpt,
            before,
            marked: marked.min(room).max(1),
        }
    }
}

/// The nearest character boundary at or before `i`.
fn floor(text: &str, i: usize) -> usize {
    let mut i = i.min(text.len());
    while !text.is_char_boundary(i) {
        i -= 1;
    }
    i
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(p) = &self.place else {
            write!(f, "error: {}\n --> {}", self.message, self.file)?;
            if let Some(help) = &self.help {
                write!(f, "\n  = help: {help}")?;
            }
            return Ok(());
        };
        let number = p.line.to_string();
        let pad = " ".repeat(number.len());
        writeln!(f, "error: {}", self.message)?;
        writeln!(f, "{pad}--> {}:{}:{}", self.file, p.line, p.column)?;
        writeln!(f, "{pad} |")?;
        writeln!(f, "{number} | {}", p.excerpt.trim_end())?;
        write!(
            f,
            "{pad} | {}{}",
            " ".repeat(p.before),
            "^".repeat(p.marked)
        )?;
        if let Some(help) = &self.help {
            write!(f, "\n{pad} = help: {help}")?;
        }
        Ok(())
    }
}

/// All of them as one text, an empty line between two.
pub fn render(all: &[Diagnostic]) -> String {
    let mut text: Vec<String> = all.iter().map(ToString::to_string).collect();
    if all.len() > 1 {
        text.push(format!("{} errors", all.len()));
    }
    text.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let source = Source {
            name: "p.toml".into(),
            text: text.into(),
        };
        Diagnostic::at(&source, span, "wrong").to_string()
    }

    #[test]
    fn the_marked_spot_is_under_its_text() {
        assert_eq!(
            shown("a = 1\nb = \"xy\"\n", 10..14),
            "error: wrong\n --> p.toml:2:5\n  |\n2 | b = \"xy\"\n  |     ^^^^"
        );
    }

    #[test]
    fn spans_out_of_range_or_inside_a_character_do_not_panic() {
        let text = "é = \"ü\"\r\n";
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                assert!(shown(text, start..end).contains('^'));
            }
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{}x{}", "a".repeat(1000), "b".repeat(1000));
        let out = shown(&text, 1000..1001);
        assert!(out.contains("p.toml:1:1001"));
        assert!(out.lines().all(|l| l.chars().count() < 140), "{out}");
        let lines: Vec<&str> = out.lines().collect();
        let mark = lines[4].find('^').unwrap();
        assert_eq!(&lines[3][mark..=mark], "x");
    }
}
