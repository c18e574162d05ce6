//! Histories with the exit code that is right, in folders that may lie beside
//! the project: `histories/tricky` and `cases/histories`, each with an
//! `INDEX.tsv` of file, arguments, exit code and reason.

use super::{check, text};
use std::path::{Path, PathBuf};

/// Beside the project, or beside the folder of its worktrees.
fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let near = ["../shared", "shared"].map(|near| root.join(near));
    near.into_iter().find(|f| f.is_dir())
}

#[test]
fn collected_histories_have_the_exit_code_that_is_right() {
    let Some(shared) = shared() else {
        eprintln!("no collected histories beside the project: skipped");
        return;
    };
    let (mut judged, mut wrong) = (0, Vec::new());
    for folder in ["histories/tricky", "cases/histories"].map(|f| shared.join(f)) {
        let Ok(index) = std::fs::read_to_string(folder.join("INDEX.tsv")) else {
            continue;
        };
        for line in index.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let file = text(&folder.join(fields[0]));
            let mut arguments = vec![file.as_str()];
            arguments.extend(fields[1].split_whitespace());
            let said = check(&arguments);
            judged += 1;
            if said.code.to_string() != fields[2] {
                wrong.push(format!("{line}\n{}: {}{}", said.code, said.out, said.err));
            }
        }
    }
    eprintln!("{judged} collected histories");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
