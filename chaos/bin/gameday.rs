//! `gameday`: the command line, and the only place that knows every crate.

// Output never decides: `print` alone writes it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod print;
mod progress;

mod alarms;
mod ask;
mod behind;
mod bench;
mod canary;
mod check;
mod cli;
mod cluster_cmd;
mod doctor;
mod exit;
mod identity;
mod internal;
mod judge;
mod live;
mod panics;
mod plan;
mod prepare;
mod recorder;
mod recording;
mod revert;
mod run;
mod shrink;
mod stop;
mod stop_cmd;
mod system;
mod undo;
mod volume_cmd;
mod watchdog;

use clap::Parser;
use cli::{Cli, Command, ReportArgs};
use exit::Exit;
use gameday_record::RunFolder;
use std::process::ExitCode;
use stop::to_its_end;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Nothing more can be done about a terminal that cannot be written to.
            let _ = e.print();
            let help = !e.use_stderr();
            return ExitCode::from(if help { Exit::Pass } else { Exit::Usage }.code());
        }
    };
    // A file that may not grow further is an error to deal with, not the end.
    // SAFETY: no handler is installed; nothing of ours relies on this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let internal = matches!(cli.command, Command::Internal { .. });
    if !internal {
        panics::notice();
    }
    let exit = panics::caught_here(|| carry_out(cli.command));
    let exit = match panics::seen() {
        // What it had in force was reverted, or its watchdog reverts it now.
        Some(_) if !matches!(exit, Ok(Exit::NotClean)) => Exit::Internal,
        _ => exit.unwrap_or(Exit::Internal),
    };
    print::finish();
    ExitCode::from(exit.code())
}

fn carry_out(command: Command) -> Exit {
    match command {
        Command::Internal { what } => internal::main(what),
        Command::Plan(args) => concurrent(to_its_end(plan::main(args))),
        Command::Check(args) => check::main(args),
        Command::Report(args) => report(args),
        Command::Shrink(args) => concurrent(shrink::main(args)),
        Command::Run(args) => concurrent(run::main(args)),
        Command::Cluster { action } => concurrent(cluster_cmd::main(action)),
        Command::Volume { action } => concurrent(to_its_end(volume_cmd::main(action))),
        Command::Stop(args) => concurrent(stop_cmd::main(args)),
        Command::Revert(args) => concurrent(revert::main(args)),
        Command::Doctor(args) => concurrent(to_its_end(doctor::main(args))),
        Command::Bench(args) => concurrent(bench::main(args)),
        Command::Canary(args) => concurrent(canary::main(*args)),
    }
}

fn concurrent(work: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = panics::caught_here(|| runtime.block_on(work));
            // What hangs in a call to the kernel, to a disk that answers no more, ends with us.
            runtime.shutdown_background();
            exit.unwrap_or(Exit::Internal)
        }
        Err(e) => {
            warn!("no threads: {e}");
            Exit::Internal
        }
    }
}

fn report(args: ReportArgs) -> Exit {
    let folder = RunFolder::at(&args.run);
    if !folder.run_json().exists() {
        warn!(
            "{}: no run folder (there is no run.json in it)",
            args.run.display()
        );
        return Exit::Usage;
    }
    if let Err(why) = judge::data(&folder) {
        warn!("{why}");
    }
    let report = match gameday_reports::assemble(&folder) {
        Ok(report) => report,
        Err(why) => {
            warn!("{why}");
            return Exit::Usage;
        }
    };
    // What came of it is said, saved or not.
    let saved = gameday_reports::render_all(&folder, &report);
    let path = match saved {
        Ok(()) => folder.report_html().display().to_string(),
        Err(_) => "not saved".into(),
    };
    let text = gameday_reports::terminal(&report, &path, print::is_coloured());
    print::out(text.trim_end_matches('\n'));
    if let Err(why) = saved {
        warn!("the report was not saved: {why}");
    }
    Exit::Code(report.overall.exit_code)
}
