//! From a run folder to what is said of it, and to an exit code.

use crate::exit::Exit;
use crate::{identity, judge, print, recording};
use gameday_chaos::runner::ExecutionSummary;
use gameday_record::RunFolder;

/// Judges, renders, and says how it went.
pub fn conclude(folder: &RunFolder, summary: &ExecutionSummary, signal: Option<i32>) -> Exit {
    recording::free(folder);
    if let Err(why) = judge::data(folder) {
        warn!("{why}");
    }
    let report = match gameday_reports::assemble(folder) {
        Ok(report) => report,
        Err(why) => {
            warn!("no report: {why}");
            return Exit::Internal;
        }
    };
    // What came of it is said, saved or not.
    let saved = gameday_reports::render_all(folder, &report);
    let path = folder.report_html().display().to_string();
    let text = gameday_reports::terminal(&report, &path, print::is_coloured());
    say!("\n{}", text.trim_end_matches('\n'));
    let folder_name = folder.path().display().to_string();
    let again = identity::command([&"revert".to_string(), &folder_name]);
    for left in &summary.not_clean {
        warn!("not clean: {left}\n  to try again: {again}");
    }
    if let Err(why) = &saved {
        warn!("the report was not saved: {why}");
    }
    match (signal, report.overall.exit_code) {
        _ if !summary.not_clean.is_empty() => Exit::NotClean,
        (Some(signal), _) => Exit::of_signal(signal),
        // Nobody could look at what this pass rests on.
        (None, 0) if saved.is_err() => Exit::Internal,
        (None, code) => Exit::Code(code),
    }
}
