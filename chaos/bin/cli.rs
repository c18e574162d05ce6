//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Game days for replicated stores: break a cluster on purpose, measure what
/// clients see from every AZ, and prove whether an acknowledged write was lost.
#[derive(Debug, Parser)]
#[command(name = "gameday", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 pass · 1 fail (an SLO missed or an anomaly in the data) · 2 inconclusive ·
3 stopped by a stop condition · 4 not clean (something could not be reverted) ·
64 usage or playbook error · 70 internal error · 130/143 interrupted, after reverting";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a playbook: cluster up, faults, canaries, checks, report, cluster down
    Run(RunArgs),
    /// Resolve a playbook and print what would happen; touches nothing
    Plan(PlanArgs),
    /// Judge a recorded history again: a run folder or a history.jsonl
    Check(CheckArgs),
    /// Render the report of a run folder again
    Report(ReportArgs),
    /// Keep a cluster to explore with any DynamoDB client
    Cluster {
        #[command(subcommand)]
        action: ClusterAction,
    },
    /// Undo whatever an interrupted run left behind
    Revert(RevertArgs),
    /// What this machine can run, and why not the rest
    Doctor,
    /// Measure the store: durable writes and strong reads per second through the routers
    Bench(BenchArgs),
    /// Programs that gameday starts inside its own units
    #[command(hide = true)]
    Internal {
        #[arg(value_enum)]
        what: Internal,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeChoice {
    /// Docker if it answers, else local processes
    Auto,
    /// A container per node, grouped by AZ
    Docker,
    /// Child processes on loopback
    Process,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The playbook, a TOML file
    pub playbook: PathBuf,
    /// Where nodes run
    #[arg(long, value_enum, default_value = "auto")]
    pub runtime: RuntimeChoice,
    /// Seed of every random choice (default: the playbook's, else chosen and printed)
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long [random] draws faults (default: the playbook's)
    #[arg(long, value_name = "DURATION", value_parser = gameday_chaos::playbook::values::duration)]
    pub duration: Option<std::time::Duration>,
    /// Folder in which the run's folder is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub out: PathBuf,
    /// IPv4 network of the docker runtime (default: the playbook's, else 198.18.0.0/16)
    #[arg(long, value_name = "CIDR")]
    pub subnet: Option<String>,
    /// Plain lines instead of a live view, even on a terminal
    #[arg(long)]
    pub plain: bool,
    /// Break the store on purpose, to see that the playbook finds it
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_name = "BUG")]
    pub bug: Option<String>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The playbook, a TOML file
    pub playbook: PathBuf,
    /// Seed of every random choice (default: the playbook's, else chosen and printed)
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long [random] draws faults (default: the playbook's)
    #[arg(long, value_name = "DURATION", value_parser = gameday_chaos::playbook::values::duration)]
    pub duration: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Run folder or history.jsonl
    pub path: PathBuf,
    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folder
    pub run: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum ClusterAction {
    /// Start a cluster and leave it running
    Up(UpArgs),
    /// Show the clusters that are up, their nodes and leaders
    Status,
    /// Take kept clusters down (all, or the one named)
    Down {
        /// Cluster id, as `cluster status` prints it
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where nodes run
    #[arg(long, value_enum, default_value = "auto")]
    pub runtime: RuntimeChoice,
    /// Storage nodes per AZ
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub storage_nodes_per_az: u32,
    /// Partitions of each table
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// IPv4 network of the docker runtime
    #[arg(long, default_value = "198.18.0.0/16", value_name = "CIDR")]
    pub subnet: String,
    /// Folder in which the cluster's folder is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct RevertArgs {
    /// Run id or run folder
    #[arg(required_unless_present = "all")]
    pub run: Option<PathBuf>,
    /// Everything that dead runs left on this machine
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Where nodes run
    #[arg(long, value_enum, default_value = "process")]
    pub runtime: RuntimeChoice,
    /// Clients, spread over the three endpoints
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub clients: u32,
    /// Seconds per measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub seconds: u64,
    /// Bytes of each item
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub item_bytes: u32,
    /// IPv4 network of the docker runtime
    #[arg(long, default_value = "198.18.0.0/16", value_name = "CIDR")]
    pub subnet: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Internal {
    /// A node of the store
    Node,
    /// A canary
    Canary,
    /// The proxied links of the process runtime
    Links,
    /// The fault agent of a pod
    Agent,
}
