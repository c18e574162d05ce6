//! The file in a run's folder that asks the run to stop, on its reading side.

use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Most bytes of a reason.
pub const MAX_REASON: usize = 1000;

/// Resolves once there is something at `path`: with the reason that it gives.
pub async fn asked(path: &Path) -> String {
    loop {
        if let Ok(meta) = tokio::fs::symlink_metadata(path).await {
            // Whatever stands there asks; only of a plain file is the text read.
            let text = match meta.is_file() {
                true => text(path).await,
                false => Vec::new(),
            };
            return words(&reason(&text));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn text(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = tokio::fs::File::open(path).await {
        // What cannot be read gives no reason, and asks all the same.
        let _ = file.take(MAX_REASON as u64).read_to_end(&mut bytes).await;
    }
    bytes
}

/// One line of printable text.
pub fn reason(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_REASON)]);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn words(reason: &str) -> String {
    match reason {
        "" => "asked for by its stop file".into(),
        why => format!("asked for by its stop file: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_whatever_the_file_holds() {
        assert_eq!(
            reason(b" customers\n\tcall \x1b[2J\0in \n"),
            "customers call [2J in"
        );
        assert_eq!(reason(b""), "");
        assert!(reason(&[0xff; 5000]).len() <= 3 * MAX_REASON);
        assert_eq!(words(""), "asked for by its stop file");
    }

    #[tokio::test]
    async fn anything_by_that_name_asks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stop");
        std::fs::write(&path, "too loud\n").unwrap();
        assert_eq!(asked(&path).await, "asked for by its stop file: too loud");
        let folder = dir.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(asked(&folder).await, "asked for by its stop file");
    }
}
