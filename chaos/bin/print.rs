//! Standard output of commands that say everything at their end.

use std::io::Write;

/// Prints a text and ends its line. A reader who has seen enough (`| head`) is no error.
pub fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Whoever does not read any more misses nothing.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
