//! `gameday`: the command line, and the only place that knows every crate.

mod alarms;
mod applied;
mod ask;
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
mod plan;
mod prepare;
mod print;
mod recorder;
mod replicas;
mod revert;
mod roles;
mod run;
mod shrink;
mod stop;
mod stop_cmd;
mod undo;
mod up;
mod watchdog;
mod wiring;

use clap::Parser;
use cli::{Cli, Command, ReportArgs};
use exit::Exit;
use gameday_record::RunFolder;
use std::io::IsTerminal;
use std::process::ExitCode;

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
    let exit = match cli.command {
        Command::Internal { what } => internal::main(what),
        Command::Plan(args) => concurrent(plan::main(args)),
        Command::Check(args) => check::main(args),
        Command::Report(args) => report(args),
        Command::Shrink(args) => concurrent(shrink::main(args)),
        Command::Run(args) => concurrent(run::main(args)),
        Command::Cluster { action } => concurrent(cluster_cmd::main(action)),
        Command::Stop(args) => concurrent(stop_cmd::main(args)),
        Command::Revert(args) => concurrent(revert::main(args)),
        Command::Doctor(args) => concurrent(doctor::main(args)),
        Command::Bench(args) => concurrent(bench::main(args)),
        Command::Canary(args) => concurrent(canary::main(*args)),
    };
    ExitCode::from(exit.code())
}

fn concurrent(work: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(work),
        Err(e) => {
            eprintln!("no threads: {e}");
            Exit::Internal
        }
    }
}

fn report(args: ReportArgs) -> Exit {
    let folder = RunFolder::at(&args.run);
    if !folder.run_json().exists() {
        eprintln!(
            "{}: no run folder (there is no run.json in it)",
            args.run.display()
        );
        return Exit::Usage;
    }
    if let Err(why) = judge::data(&folder) {
        eprintln!("{why}");
    }
    match judge::report(&folder) {
        Ok(report) => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let path = folder.report_html().display().to_string();
            print!("{}", gameday_reports::terminal(&report, &path, colour));
            Exit::Code(report.overall.exit_code)
        }
        Err(why) => {
            eprintln!("{why}");
            Exit::Usage
        }
    }
}
