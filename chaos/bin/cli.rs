//! The command line.

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use gameday_cluster::config::Bug;
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
3 stopped by a stop condition or by gameday stop · 4 not clean (something could not be reverted) ·
64 usage or playbook error · 70 internal error · 130/143 interrupted, after reverting";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a playbook: cluster up, faults, canaries, checks, report, cluster down
    Run(RunArgs),
    /// Resolve a playbook, say how its faults are made here, or why one cannot be; starts no
    /// cluster, but tries in a container of a second what the kernel can
    Plan(PlanArgs),
    /// Judge recorded histories: run folders, our history.jsonl, or other tools' files
    Check(CheckArgs),
    /// Render the report of a run folder again
    Report(ReportArgs),
    /// Look for the smallest list of a failed run's injections that still fails
    Shrink(ShrinkArgs),
    /// Keep a cluster to explore with any DynamoDB client
    Cluster {
        #[command(subcommand)]
        action: ClusterAction,
    },
    /// Docker volumes that can lose power: each has a file system of its own
    Volume {
        #[command(subcommand)]
        action: VolumeAction,
    },
    /// Ask a run in progress to revert, to judge what was measured, and to end
    Stop(StopArgs),
    /// Undo whatever an interrupted run left behind
    Revert(RevertArgs),
    /// What this machine can run and make wrong, and what would make the rest possible
    Doctor(DoctorArgs),
    /// Measure the store: durable writes and strong reads per second through the routers
    Bench(BenchArgs),
    /// Measure any DynamoDB-compatible endpoint, for minutes or for months
    Canary(Box<CanaryArgs>),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrafficChoice {
    /// The kernel's netem
    Netem,
    /// A queue of packets that a program decides about
    Nfqueue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryChoice {
    /// Lines of JSON: history.jsonl
    Plain,
    /// The same lines in less room: history.jsonl.zst
    Packed,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The playbook, a TOML file
    pub playbook: PathBuf,
    /// Where nodes run
    #[arg(long, value_enum, default_value = "auto")]
    pub runtime: RuntimeChoice,
    /// What makes traffic worse in containers (default: netem where the kernel has it, else
    /// nfqueue; doubled messages by nfqueue where it has that)
    #[arg(long, value_enum)]
    pub traffic: Option<TrafficChoice>,
    /// Seed of every random choice (default: the playbook's, else chosen and printed)
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long [random] draws faults (default: the playbook's)
    #[arg(long, value_name = "DURATION", value_parser = gameday_chaos::playbook::values::duration)]
    pub duration: Option<std::time::Duration>,
    /// Lend this Compose project, or this container, to a playbook with a [system]: what it adopts
    /// is hurt, and put back afterwards
    #[arg(long, value_name = "NAME")]
    pub adopt: Vec<String>,
    /// Folder in which the run's folder is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub out: PathBuf,
    /// IPv4 network of the docker runtime (default: the playbook's, else 198.18.0.0/16)
    #[arg(long, value_name = "CIDR")]
    pub subnet: Option<String>,
    /// How the history is written (default: packed if more than a million operations are planned)
    #[arg(long, value_enum)]
    pub history: Option<HistoryChoice>,
    /// Plain lines instead of a live view, even on a terminal
    #[arg(long)]
    pub plain: bool,
    /// Break the store on purpose, to see that the playbook finds it
    #[arg(long, value_name = "BUG", hide = Bug::ALL.is_empty())]
    pub bug: Option<Bug>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The playbook, a TOML file
    pub playbook: PathBuf,
    /// Where nodes would run
    #[arg(long, value_enum, default_value = "auto")]
    pub runtime: RuntimeChoice,
    /// What makes traffic worse in containers (default: netem where the kernel has it, else
    /// nfqueue; doubled messages by nfqueue where it has that)
    #[arg(long, value_enum)]
    pub traffic: Option<TrafficChoice>,
    /// Lend this Compose project, or this container, to a playbook with a [system]: what it adopts
    /// is hurt, and put back afterwards
    #[arg(long, value_name = "NAME")]
    pub adopt: Vec<String>,
    /// Seed of every random choice (default: the playbook's, else chosen and printed)
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long [random] draws faults (default: the playbook's)
    #[arg(long, value_name = "DURATION", value_parser = gameday_chaos::playbook::values::duration)]
    pub duration: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 · 2 if no runtime can be used here")]
pub struct DoctorArgs {
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Run folders, or histories: history.jsonl, Jepsen's EDN or JSON, logs of jepsen.util.
    /// With several, the gravest exit code counts: 64, then 1, then 2, then 0
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Format of the files (default: seen from their beginning)
    #[arg(long, value_enum)]
    pub format: Option<FormatChoice>,
    /// What each key is (default: seen from the calls)
    #[arg(long, value_enum)]
    pub model: Option<ModelChoice>,
    /// What a read means that returned nil (default: anything in EDN and JSON, else absent)
    #[arg(long, value_enum)]
    pub nil: Option<NilChoice>,
    /// Whether values are [key value] tuples of independent keys (default: they are if every
    /// call has one)
    #[arg(long, value_enum, value_name = "YES|NO")]
    pub independent: Option<YesNo>,
    /// What registers hold in the beginning: absent, or a value (0, :a, "text")
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub initial: Option<String>,
    /// Time for judging each file (default: 10 s, and 10 µs for each operation)
    #[arg(long, value_name = "DURATION", value_parser = gameday_chaos::playbook::values::duration)]
    pub timeout: Option<std::time::Duration>,
    /// Print the verdicts as JSON
    #[arg(long)]
    pub json: bool,
    /// Save the verdict of a run folder in it, instead of the one that is there
    #[arg(long)]
    pub save: bool,
    /// Write the history as Jepsen's EDN, for other checkers (one file only)
    #[arg(long, value_name = "OUT")]
    pub edn: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatChoice {
    /// history.jsonl of a run
    Gameday,
    /// Jepsen's EDN
    Edn,
    /// Operations as JSON objects, as elle-cli takes them
    Json,
    /// Lines of jepsen.util in a log
    JepsenLog,
    /// The same lines alone, as in history.txt
    JepsenTxt,
    /// EDN maps with :key and :get, :put, :append
    Kv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelChoice {
    /// Reads and writes
    Register,
    /// And compare-and-set
    CasRegister,
    /// A text that is replaced or grows
    KvAppend,
    /// A set that elements are added to
    Set,
    /// A sum
    Counter,
    /// A queue: first in, first out
    Queue,
    /// A queue of which only is asked that what goes in comes out
    TotalQueue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    /// They are
    Yes,
    /// They are values of one object
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NilChoice {
    /// It found nothing
    Absent,
    /// It does not say what it found
    Anything,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folder
    pub run: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 found, and minimal · 2 the whole list did not fail again, or the budget was spent ·
64 RUN did not fail · 130/143 interrupted, after reverting")]
pub struct ShrinkArgs {
    /// Folder of a run that failed
    pub run: PathBuf,
    /// Time for all runs together
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = gameday_chaos::playbook::values::duration)]
    pub budget: std::time::Duration,
    /// Most runs of each list before it counts as one that does not fail
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub runs: u32,
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

#[derive(Debug, Subcommand)]
pub enum VolumeAction {
    /// Make one: an ext4 file system in a file, as a disk of its own (needs mke2fs)
    Create {
        /// Name of the Docker volume
        name: String,
        /// How much it holds, for example 1g or 512m
        #[arg(long, value_parser = gameday_chaos::runtime::docker::volume::parse_size)]
        size: u64,
    },
    /// Show them, and which containers have them
    List,
    /// Remove one and what is in it, if no container has it
    Remove {
        /// Its name
        name: String,
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
pub struct StopArgs {
    /// Run id or run folder
    #[arg(required_unless_present = "all")]
    pub run: Option<PathBuf>,
    /// Every run in progress on this machine
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Why, for the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct RevertArgs {
    /// Run id or run folder
    #[arg(required_unless_present = "all")]
    pub run: Option<PathBuf>,
    /// Everything that dead runs left on this machine
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Also if it cannot be known from here whether RUN still goes on: you know that it is dead
    #[arg(long, requires = "run")]
    pub force: bool,
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

/// What is called by other protocols than DynamoDB's, and than HTTP alone. (Said as conflicts:
/// clap takes no argument for required that another one excludes.)
const OTHERS: [&str; 4] = ["etcd", "http", "postgres", "redis"];
const NOT_HTTP: [&str; 4] = ["endpoints", "etcd", "postgres", "redis"];

#[derive(Debug, Args)]
#[command(after_help = CANARY_HELP)]
#[command(group = ArgGroup::new("called").required(true).args(["endpoints", "etcd", "http", "postgres", "redis"]))]
pub struct CanaryArgs {
    /// What to call, a store that speaks DynamoDB's protocol: http://host:port or https://host,
    /// with its AZ before it if it is another one's (b=http://…); may be repeated
    #[arg(long = "endpoint", value_name = "[AZ=]URL")]
    pub endpoints: Vec<String>,
    /// Or a member of etcd: http://host[:port] or https://host; may be repeated
    #[arg(long, value_name = "[AZ=]URL")]
    pub etcd: Vec<String>,
    /// Or any service over HTTP: http://host[:port][/path] or https://…, where {key} in the path
    /// stands for a key; only read, unless there is a method for writing; may be repeated
    #[arg(long, value_name = "[AZ=]URL")]
    pub http: Vec<String>,
    /// Method that reads over HTTP (default: GET)
    #[arg(long, value_name = "METHOD", conflicts_with_all = NOT_HTTP)]
    pub http_read: Option<String>,
    /// Method that writes over HTTP, such as PUT
    #[arg(long, value_name = "METHOD", conflicts_with_all = NOT_HTTP)]
    pub http_write: Option<String>,
    /// Body of what writes, where {key}, {value} and {pad} stand for the key, the number and filler
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "{value}",
        requires = "http_write",
        conflicts_with_all = NOT_HTTP
    )]
    pub http_body: String,
    /// Method that deletes, before anything is measured
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "DELETE",
        requires = "http_write",
        conflicts_with_all = NOT_HTTP
    )]
    pub http_delete: String,
    /// Where the number is in what is read: a JSON pointer, empty if all of the body is the number
    #[arg(
        long,
        value_name = "POINTER",
        default_value = "",
        hide_default_value = true,
        requires = "http_write",
        conflicts_with_all = NOT_HTTP
    )]
    pub http_value: String,
    /// Header of every request, such as 'authorization: Bearer …'; may be repeated
    #[arg(long = "http-header", value_name = "NAME: VALUE", conflicts_with_all = NOT_HTTP)]
    pub http_headers: Vec<String>,
    /// Statuses that count as success (default: 200-299)
    #[arg(long, value_name = "LIST", conflicts_with_all = NOT_HTTP)]
    pub http_success: Option<String>,
    /// Or PostgreSQL: postgres://user[:password]@host[:port][,host…]/database, with
    /// ?sslmode=verify-full for TLS, &target_session_attrs=read-write for a server that takes
    /// writes; may be repeated
    #[arg(long, value_name = "[AZ=]URL")]
    pub postgres: Vec<String>,
    /// Or Redis: redis://[[user]:password@]host[:port][/database], rediss:// over TLS, or
    /// redis+sentinel://host[:port],…/primary; may be repeated
    #[arg(long, value_name = "[AZ=]URL")]
    pub redis: Vec<String>,
    /// The AZ that this canary stands in
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub az: String,
    /// The table; in DynamoDB with a partition key pk of strings, in PostgreSQL with columns pk
    /// text, v bigint, pad text, in etcd and Redis what keys begin with; nobody else's (default:
    /// gameday-canary-<AZ>)
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Make the table if it is missing
    #[arg(long)]
    pub create_table: bool,
    /// Workload, promises and alarms: a TOML file with [workload], [slo], [[objective]], [[alarm]]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Operations per second through each endpoint, 1 to 1000
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Distinct items, 1 to 100000
    #[arg(long, value_name = "N")]
    pub keys: Option<u32>,
    /// Shares of writes, inserts, cas, adds, strong_reads and eventual_reads, together 1; what is
    /// not named is 0
    #[arg(long, value_name = "NAME=SHARE,…")]
    pub mix: Option<String>,
    /// Time after which a call is given up, 50ms to 60s
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Bytes of filler in each item, 0 to 100000
    #[arg(long, value_name = "N")]
    pub item_bytes: Option<u32>,
    /// Share of calls that open a connection of their own, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub fresh_connections: Option<f64>,
    /// Attempts of a request, 1 to 10
    #[arg(long, value_name = "N")]
    pub attempts: Option<u32>,
    /// Promise: least share of answered writes, such as 99.9%
    #[arg(long, value_name = "PERCENT")]
    pub write_availability: Option<String>,
    /// Promise: least share of answered strong reads
    #[arg(long, value_name = "PERCENT")]
    pub read_availability: Option<String>,
    /// How long, such as 90s or 12h (default: until Ctrl-C or SIGTERM)
    #[arg(long = "for", value_name = "DURATION")]
    pub duration: Option<String>,
    /// Folder in which the run's folder is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub out: PathBuf,
    /// Serve Prometheus metrics at http://ADDR/metrics, such as 127.0.0.1:9477 (default: no)
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
    /// Check linearizability of what does not promise it
    #[arg(long)]
    pub linearizability: bool,
    /// Region that requests are signed for (default: AWS_REGION, AWS_DEFAULT_REGION, the profile's)
    #[arg(long, value_name = "NAME", conflicts_with_all = OTHERS)]
    pub region: Option<String>,
    /// Profile of the AWS credentials files
    #[arg(long, value_name = "NAME", conflicts_with_all = OTHERS)]
    pub profile: Option<String>,
    /// Send placeholders instead of signatures
    #[arg(long, conflicts_with_all = ["region", "profile"], conflicts_with_all = OTHERS)]
    pub unsigned: bool,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// MiB of a segment of the history
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub segment_mib: u64,
    /// Segments of the history that are kept; older ones are removed, after they were checked
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub segments: u32,
    /// Seed of every random choice (default: chosen and printed)
    #[arg(long)]
    pub seed: Option<u64>,
    /// Plain lines instead of a live view, even on a terminal
    #[arg(long)]
    pub plain: bool,
}

const CANARY_HELP: &str = "\
Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or from
the profile files of the AWS tools, which are read again when they change. Without any,
placeholders are sent, which stores for tests accept.

Passwords that are in no URL come from PGPASSWORD and REDISCLI_AUTH. Reports show none.

The canary writes to its table, and deletes its items there before it begins: give it a table
of its own. It inserts at most 500 new keys through each endpoint, so that the table stays small;
inserts beyond that are made as writes. What only the nodes of a store can show, whether its
replicas agree and what became of writes of unknown outcome, a canary alone does not check. Ends by itself after --for, else by Ctrl-C or SIGTERM, and then reads everything a
last time, judges the data and writes the report.";

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
    /// Tries what faults are made of
    Probe,
    /// Does one thing to the disk of a volume
    Volume,
    /// Reverts what a dead runner left
    Watchdog,
}
