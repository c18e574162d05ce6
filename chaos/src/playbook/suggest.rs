//! "Did you mean": the known word nearest to an unknown one, by
//! the edits that lie between them, a swap of neighbours being one.

use strsim::osa_distance;

/// The nearest of `known`, if it is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a long word is no slip of one.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|k| (osa_distance(&word, &k.to_lowercase().replace('_', "-")), k))
        .filter(|(d, k)| *d <= (k.chars().count() / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// `help` text: the nearest word, or all of them.
pub fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None if known.is_empty() => "there are none".into(),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let faults = ["power-off", "kill", "pause", "partition"];
        assert_eq!(nearest("power_of", faults), Some("power-off"));
        assert_eq!(nearest("pasue", faults), Some("pause"));
        assert_eq!(nearest("Partitoin", faults), Some("partition"));
        assert_eq!(nearest("earthquake", faults), None);
        assert_eq!(hint("x", &["a1", "b1"]), "known: a1, b1");
    }

    /// One edit for every three letters, and one for the shortest words.
    #[test]
    fn the_longer_the_word_the_more_slips() {
        for (word, known, near) in [
            ("", "abc", false),
            ("ba", "ab", true),
            ("sitting", "kitten", false),
            ("kittne", "kitten", true),
            ("kttne", "kitten", true),
            ("kttn", "kitten", true),
            ("ktt", "kitten", false),
        ] {
            assert_eq!(nearest(word, [known]).is_some(), near, "{word} {known}");
        }
    }
}
