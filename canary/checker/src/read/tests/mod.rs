//! Every format with small files, and what must hold for all files.

mod formats;
mod jsonl;
mod properties;
mod refusals;
mod written;

use super::*;
use crate::log::{Code, Effect};

/// An operation of a log in words, for comparisons: `c3 k: Write 1 Ok 0-5`.
pub(super) fn words(log: &Log) -> Vec<String> {
    log.entries
        .iter()
        .map(|e| {
            let mut s = format!("c{}", e.process);
            let (table, key) = (log.table_name(e.key), log.key_name(e.key));
            match (table, key) {
                ("", "") => {}
                ("", key) => s += &format!(" {key}"),
                (table, key) => s += &format!(" {table}/{key}"),
            }
            let opt = |v: Option<i64>| v.map_or("-".into(), |v| v.to_string());
            s += &match e.code {
                Code::Read => format!(": read {}", opt(log.first(e))),
                Code::EventualRead => format!(": eventual-read {}", opt(log.first(e))),
                Code::ReadAnything => ": read anything".into(),
                Code::Write => format!(": write {}", e.second()),
                Code::Insert => format!(": insert {}", e.second()),
                Code::Cas => format!(": cas {} {}", opt(log.first(e)), e.second()),
                Code::Add => format!(": add {} {}", e.second(), opt(log.first(e))),
                Code::Put => format!(": put '{}'", log.text_of(e.second())),
                Code::Append => format!(": append '{}'", log.text_of(e.second())),
                Code::Get => format!(": get '{}'", log.text_of(log.first(e).unwrap_or_default())),
                Code::AddElement => format!(": add {}", e.second()),
                Code::ReadSet => format!(": read {:?}", log.elements_of(e)),
                Code::Enqueue => format!(": enqueue {}", e.second()),
                Code::Dequeue => format!(": dequeue {}", opt(log.first(e))),
                Code::Drain => format!(": drain {:?}", log.elements_of(e)),
            };
            if let Some(found) = log.third(e) {
                s += &format!(" found {}", opt(found));
            }
            let effect = match e.effect {
                Effect::Ok => "ok",
                Effect::Refused => "refused",
                Effect::Failed => "failed",
                Effect::Unknown => "unknown",
            };
            let finish = match e.finish {
                crate::register::FOREVER => String::new(),
                t => t.to_string(),
            };
            s += &format!(" {effect} {}..{finish}", e.start);
            if !log.az(e).is_empty() || !log.endpoint(e).is_empty() {
                s += &format!(" {}>{}", log.az(e), log.endpoint(e));
            }
            if e.last() {
                s += " last";
            }
            s
        })
        .collect()
}

pub(super) fn reading(text: &str, options: &Options) -> Reading {
    read(text.as_bytes(), options).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

pub(super) fn ops(text: &str) -> Vec<String> {
    words(&reading(text, &Options::default()).log)
}
