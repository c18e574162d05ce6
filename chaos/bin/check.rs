//! `gameday check`: recorded histories to verdicts. Reads files, and says what
//! the checker found; what a file means is decided in the checker.

mod text;

use crate::cli::{CheckArgs, FormatChoice, ModelChoice, NilChoice, YesNo};
use crate::exit::Exit;
use crate::{judge, print};
use gameday_checker::read::{
    Format, Initial, Model, Nil, Options, ReadError, Reading, detect, read,
};
use gameday_checker::{check, write};
use gameday_record::history;
use gameday_record::{DataVerdict, RunFolder, Verdict};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Largest file that is read as a whole. Our own history is read line by
/// line and may be larger.
const MAX_FILE: u64 = 1 << 30;

/// A file that was judged.
pub struct Judged {
    /// What was read, without its operations.
    pub format: Format,
    pub model: String,
    pub operations: usize,
    pub unknown: usize,
    pub failed_reads: usize,
    pub keys: usize,
    pub names: Vec<(i64, String)>,
    pub skipped: u64,
    pub reordered: u64,
    /// Reading and judging together.
    pub took: Duration,
    pub verdict: DataVerdict,
}

/// Why a file could not be judged.
pub struct Refused {
    what: String,
    place: Option<ReadError>,
}

impl From<String> for Refused {
    fn from(what: String) -> Self {
        Refused { what, place: None }
    }
}

impl From<ReadError> for Refused {
    fn from(e: ReadError) -> Self {
        Refused {
            what: e.to_string(),
            place: Some(e),
        }
    }
}

/// The command.
pub fn main(args: CheckArgs) -> Exit {
    if let Some(out) = &args.edn {
        if args.files.len() > 1 {
            warn!("--edn writes one file: name one history");
            return Exit::Usage;
        }
        if out.is_file() {
            let out = out.display();
            warn!("--edn {out}: there is a file already, which might be the only recording");
            return Exit::Usage;
        }
    }
    let options = options(&args);
    let all: Vec<(&PathBuf, Result<Judged, Refused>)> = args
        .files
        .iter()
        .map(|path| (path, one(path, &args, &options)))
        .collect();
    if args.json {
        let files: Vec<_> = all
            .iter()
            .map(|(path, result)| as_json(path, result))
            .collect();
        print::out(&format!("{:#}", json!({ "files": files })));
    } else {
        let mut out = String::new();
        for (path, result) in &all {
            let path = path.display().to_string();
            match result {
                Ok(judged) => text::judged(&mut out, &path, judged, all.len() > 1),
                Err(refused) => warn!("{path}: {}", refused.what),
            }
        }
        if !out.is_empty() {
            print::out(out.trim_end_matches('\n'));
        }
    }
    gravest(all.iter().map(|(_, result)| match result {
        Err(_) => Exit::Usage,
        Ok(j) => match j.verdict.verdict {
            Verdict::Pass => Exit::Pass,
            Verdict::Fail => Exit::Fail,
            Verdict::Unknown => Exit::Inconclusive,
        },
    }))
}

/// No history over fail over inconclusive over pass.
fn gravest(exits: impl Iterator<Item = Exit>) -> Exit {
    let rank = |e: &Exit| match e {
        Exit::Pass => 0,
        Exit::Inconclusive => 1,
        Exit::Fail => 2,
        _ => 3,
    };
    exits.max_by_key(rank).unwrap_or(Exit::Usage)
}

fn options(args: &CheckArgs) -> Options {
    Options {
        format: args.format.map(|f| match f {
            FormatChoice::Gameday => Format::Gameday,
            FormatChoice::Edn => Format::Edn,
            FormatChoice::Json => Format::Json,
            FormatChoice::JepsenLog => Format::JepsenLog,
            FormatChoice::JepsenTxt => Format::JepsenTxt,
            FormatChoice::Kv => Format::Kv,
        }),
        model: args.model.map(|m| match m {
            ModelChoice::Register => Model::Register,
            ModelChoice::CasRegister => Model::CasRegister,
            ModelChoice::KvAppend => Model::KvAppend,
            ModelChoice::Set => Model::Set,
            ModelChoice::Counter => Model::Counter,
            ModelChoice::Queue => Model::Queue,
            ModelChoice::TotalQueue => Model::TotalQueue,
        }),
        nil: args.nil.map(|n| match n {
            NilChoice::Absent => Nil::Absent,
            NilChoice::Anything => Nil::Anything,
        }),
        independent: args.independent.map(|choice| choice == YesNo::Yes),
        initial: args.initial.as_deref().map(|text| match text {
            "absent" => Initial::Absent,
            value => Initial::Value(value.into()),
        }),
    }
}

fn one(path: &Path, args: &CheckArgs, options: &Options) -> Result<Judged, Refused> {
    let began = Instant::now();
    let folder = path.is_dir().then(|| RunFolder::at(path));
    let file = match &folder {
        None => path.to_path_buf(),
        Some(folder) if folder.history().exists() => folder.history(),
        Some(_) => {
            return Err("no run folder (there is no history.jsonl in it)"
                .to_string()
                .into());
        }
    };
    let reading = load(&file, options)?;
    if let Some(out) = &args.edn {
        write_edn(&reading, out)?;
    }
    let mut budget = gameday_checker::Options::for_log(&reading.log);
    budget.time = args.timeout.unwrap_or(budget.time);
    let mut checks = check(&reading.log, &budget);
    if let Some(folder) = &folder {
        checks = judge::promised(checks, &judge::unpromised(folder));
        checks.extend(judge::replicas(folder));
    }
    let mut verdict = DataVerdict::new(checks);
    if let Some(folder) = &folder {
        verdict.resolution = Some(judge::resolution(folder, &reading.log));
        if args.save {
            judge::save(folder, &verdict)?;
        }
    }
    Ok(Judged {
        format: reading.format,
        operations: reading.log.len(),
        unknown: reading.unknown(),
        failed_reads: reading.failed_reads(),
        keys: reading.log.keys(),
        model: reading.model,
        names: reading.names,
        skipped: reading.skipped,
        reordered: reading.reordered,
        took: began.elapsed(),
        verdict,
    })
}

fn load(path: &Path, options: &Options) -> Result<Reading, Refused> {
    let say = |e: io::Error| Refused::from(e.to_string());
    let mut input = history::open(path).map_err(say)?;
    let start = input.fill_buf().map_err(say)?;
    let ours = match options.format {
        Some(format) => format == Format::Gameday,
        // What is wrong with it is said when all of it is there.
        None => detect(start).is_ok_and(|format| format == Format::Gameday),
    };
    if ours {
        return Ok(judge::stream(&mut input, options)?);
    }
    let mut bytes = Vec::new();
    input
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(say)?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!("more than {MAX_FILE} bytes, which is all that is read of this format");
        return Err(what.into());
    }
    Ok(read(&bytes, options)?)
}

fn write_edn(reading: &Reading, path: &Path) -> Result<(), Refused> {
    let say = |e: io::Error| Refused::from(format!("{}: {e}", path.display()));
    let file = File::create(path).map_err(say)?;
    let mut out = Adapter {
        out: BufWriter::new(file),
        failed: None,
    };
    let written = write::edn(&reading.log, &mut out);
    let flushed = out.out.flush();
    if written.is_err() && path.is_file() {
        // A part of a history must not be taken for one. The file is ours and new.
        let _ = std::fs::remove_file(path);
    }
    if let Some(e) = out.failed {
        return Err(say(e));
    }
    let written = written.map_err(|e| e.to_string())?;
    flushed.map_err(say)?;
    warn!(
        "{}: {} operations written, {} eventually consistent reads left out",
        path.display(),
        written.operations,
        written.left_out
    );
    Ok(())
}

/// Text to a file; keeps the error that `fmt` cannot carry.
struct Adapter<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> std::fmt::Write for Adapter<W> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.out.write_all(s.as_bytes()).map_err(|e| {
            self.failed = Some(e);
            std::fmt::Error
        })
    }
}

fn as_json(path: &Path, result: &Result<Judged, Refused>) -> serde_json::Value {
    // JSON is Unicode; a path need not be, and then shows where it is not.
    let path = path.to_string_lossy();
    match result {
        Ok(j) => json!({
            "path": path,
            "verdict": j.verdict.verdict,
            "format": j.format.name(),
            "model": j.model,
            "operations": j.operations,
            "unknown_operations": j.unknown,
            "failed_reads": j.failed_reads,
            "keys": j.keys,
            "milliseconds": j.took.as_secs_f64() * 1e3,
            "checks": j.verdict.checks,
            "names": j.names.iter().map(|(n, name)| json!({"number": n, "value": name})).collect::<Vec<_>>(),
            "skipped_events": j.skipped,
            "reordered_events": j.reordered,
        }),
        Err(refused) => json!({
            "path": path,
            "error": {
                "what": refused.place.as_ref().map_or(&refused.what, |p| &p.what),
                "line": refused.place.as_ref().map(|p| p.line),
                "column": refused.place.as_ref().map(|p| p.column),
            },
        }),
    }
}
