//! No file knows, however indirectly, a file that knows it.
//!
//! What a file imports is read from its tokens: its `use` items, and paths with two names or more
//! wherever they stand. What a module says again (`pub use`) counts as of the file that has it, so a
//! facade is no import. Test modules may look where they like.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module, by the names on the way to it.
type Module = Vec<String>;

/// A path of a source text: as it was written.
type Written = Vec<String>;

/// What one file says.
#[derive(Default)]
struct Said {
    /// Paths that it uses.
    uses: Vec<Written>,
    /// Paths that it says again, with the names that they have here; `None` for all of a module.
    again: Vec<(Written, Option<String>)>,
}

/// All files of a crate, by module.
fn read(root: &Path) -> BTreeMap<Module, Said> {
    let mut all = BTreeMap::new();
    let mut open = vec![(root.to_path_buf(), Module::new())];
    while let Some((folder, module)) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|n| n.to_str()).expect("a name");
            let mut at = module.clone();
            if path.is_dir() {
                at.push(name.into());
                open.push((path, at));
                continue;
            }
            if path.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            if !matches!(name, "mod" | "lib") {
                at.push(name.into());
            }
            let text = fs::read_to_string(&path).expect("a source");
            let tokens: TokenStream = text.parse().expect("Rust");
            let mut said = Said::default();
            look(tokens, &mut said);
            all.insert(at, said);
        }
    }
    all
}

fn is(token: Option<&TokenTree>, word: &str) -> bool {
    match token {
        Some(TokenTree::Ident(ident)) => ident == word,
        Some(TokenTree::Punct(punct)) => word.len() == 1 && word.starts_with(punct.as_char()),
        _ => false,
    }
}

/// Goes through tokens.
fn look(tokens: TokenStream, said: &mut Said) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut i = 0;
    // Whether the next item is said again for others, and whether it is for tests alone.
    let (mut public, mut of_tests) = (false, false);
    while i < tokens.len() {
        if is(tokens.get(i), "#") {
            of_tests |= tokens
                .get(i + 1)
                .is_some_and(|t| t.to_string().replace(' ', "") == "[cfg(test)]");
            i += 2;
        } else if is(tokens.get(i), "pub") {
            public = true;
            // Of a visibility the path is no import.
            let narrow = matches!(tokens.get(i + 1), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis);
            i += 1 + usize::from(narrow);
        } else if is(tokens.get(i), "use") {
            let end = (i..tokens.len())
                .find(|j| is(tokens.get(*j), ";"))
                .unwrap_or(tokens.len());
            if !of_tests {
                tree(&tokens[i + 1..end], &[], public, said);
            }
            (public, of_tests) = (false, false);
            i = end + 1;
        } else if is(tokens.get(i), "mod") && of_tests {
            // Its name, and its body or a semicolon.
            (public, of_tests) = (false, false);
            i += 3;
        } else if let Some(TokenTree::Group(group)) = tokens.get(i) {
            look(group.stream(), said);
            (public, of_tests) = (false, false);
            i += 1;
        } else if let Some(TokenTree::Ident(_)) = tokens.get(i) {
            let (path, next) = path(&tokens, i);
            if path.len() > 1 {
                said.uses.push(path);
            }
            i = next;
        } else {
            if is(tokens.get(i), ";") {
                (public, of_tests) = (false, false);
            }
            i += 1;
        }
    }
}

/// A path that begins at a token, and the token after it.
fn path(tokens: &[TokenTree], mut i: usize) -> (Written, usize) {
    let mut path = Written::new();
    while let Some(TokenTree::Ident(ident)) = tokens.get(i) {
        path.push(ident.to_string());
        i += 1;
        if !(is(tokens.get(i), ":") && is(tokens.get(i + 1), ":")) {
            break;
        }
        i += 2;
    }
    (path, i.max(1))
}

/// A tree of a `use` item, below these names.
fn tree(tokens: &[TokenTree], above: &[String], public: bool, said: &mut Said) {
    let (mut path, mut i) = (above.to_vec(), 0);
    let mut name = None;
    loop {
        match tokens.get(i) {
            Some(TokenTree::Ident(ident)) if ident == "as" => {
                name = tokens.get(i + 1).map(TokenTree::to_string);
                i += 2;
            }
            Some(TokenTree::Ident(ident)) => {
                path.push(ident.to_string());
                i += 1;
            }
            Some(TokenTree::Group(group)) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for one in inner.split(|t| is(Some(t), ",")) {
                    if !one.is_empty() {
                        tree(one, &path, public, said);
                    }
                }
                return;
            }
            Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                if public {
                    said.again.push((path, None));
                } else {
                    said.uses.push(path);
                }
                return;
            }
            Some(_) => i += 1,
            None => break,
        }
    }
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    if public {
        let name = name.or_else(|| path.last().cloned());
        said.again.push((path, name));
    } else {
        said.uses.push(path);
    }
}

/// The files that each file imports.
fn imports(files: &BTreeMap<Module, Said>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let absolute = |at: &Module, path: &Written| -> Option<Module> {
        let mut base: Module = match path[0].as_str() {
            "crate" => Module::new(),
            "self" => at.clone(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            first => {
                let mut child = at.clone();
                child.push(first.into());
                if !files.contains_key(&child) {
                    return None;
                }
                child
            }
        };
        for name in &path[1..] {
            match name.as_str() {
                "super" => drop(base.pop()?),
                name => base.push(name.into()),
            }
        }
        Some(base)
    };
    // What has which name in a module, but stands elsewhere.
    let mut named: BTreeMap<Module, Module> = BTreeMap::new();
    for (at, said) in files {
        for (path, name) in &said.again {
            if let (Some(target), Some(name)) = (absolute(at, path), name) {
                let mut here = at.clone();
                here.push(name.clone());
                if here != target {
                    named.insert(here, target);
                }
            }
        }
    }
    let found = |mut path: Module| -> Option<&Module> {
        // As often as a name can stand for another one.
        for _ in 0..8 {
            let known = (1..=path.len()).rev().find(|n| {
                let some = &path[..*n];
                !files.contains_key(some) && named.contains_key(some)
            });
            let Some(n) = known else { break };
            let mut real = named[&path[..n]].clone();
            real.extend_from_slice(&path[n..]);
            path = real;
        }
        (0..=path.len())
            .rev()
            .find_map(|n| files.get_key_value(&path[..n]))
            .map(|(module, _)| module)
    };
    files
        .iter()
        .map(|(at, said)| {
            let targets = said.uses.iter().filter_map(|path| absolute(at, path));
            let targets = targets.filter_map(found).filter(|target| *target != at);
            (at, targets.collect())
        })
        .collect()
}

/// A file and what it reaches, without those that reach nothing of a circle: what is left over when
/// files that import nothing that is left are taken away again and again.
fn circles(imports: &BTreeMap<&Module, BTreeSet<&Module>>) -> BTreeSet<String> {
    let mut left = imports.clone();
    loop {
        let names: BTreeSet<&Module> = left.keys().copied().collect();
        let used: BTreeSet<&Module> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|at, targets| {
            used.contains(at) && targets.iter().any(|target| names.contains(target))
        });
        let names: BTreeSet<&Module> = left.keys().copied().collect();
        for targets in left.values_mut() {
            targets.retain(|target| names.contains(target));
        }
        if left.len() == before {
            break;
        }
    }
    let line = |(at, targets): (&&Module, &BTreeSet<&Module>)| {
        let all: Vec<String> = targets.iter().map(|t| t.join("::")).collect();
        format!("{} knows {}", at.join("::"), all.join(", "))
    };
    left.iter().map(line).collect()
}

#[test]
fn no_file_of_chaos_knows_who_knows_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("chaos/src");
    let files = read(&root);
    let imports = imports(&files);
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    // It is seen at all.
    assert!(files.len() > 100 && edges > 2 * files.len(), "{edges}");
    let circles = circles(&imports);
    let told: Vec<String> = circles.into_iter().collect();
    assert!(told.is_empty(), "circles:\n{}", told.join("\n"));
}

#[test]
fn a_circle_is_found_whatever_it_is_written_like() {
    let said = |text: &str| {
        let mut said = Said::default();
        look(text.parse().expect("Rust"), &mut said);
        said
    };
    let files = |texts: &[(&str, &str)]| -> BTreeMap<Module, Said> {
        let module = |name: &str| -> Module {
            let names = name.split("::").map(String::from);
            names.filter(|n| !n.is_empty()).collect()
        };
        let all = texts.iter();
        all.map(|(name, text)| (module(name), said(text))).collect()
    };
    let found = |texts: &[(&str, &str)]| circles(&imports(&files(texts))).len();
    // By `use`, by a path in the middle, by a name that a facade says again.
    assert_eq!(
        found(&[("a", "use crate::b::X;"), ("b", "fn f() { super::a::g() }")]),
        2
    );
    assert_eq!(
        found(&[
            ("", "pub use b::{X as Y};"),
            ("a", "use crate::{Y, c};"),
            ("b", "use super::a::*;"),
            ("c", ""),
        ]),
        2
    );
    // A facade, a visibility and tests are no imports.
    assert_eq!(
        found(&[
            ("a", "pub use self::b::X; mod b;"),
            ("a::b", "pub(in crate::a) struct X; use super::Y;"),
        ]),
        0
    );
    assert_eq!(
        found(&[
            ("a", "use crate::b::X;"),
            ("b", "#[cfg(test)] mod tests { use crate::a::Y; }"),
        ]),
        0
    );
}
