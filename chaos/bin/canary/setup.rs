//! From the command line to what a canary is told. Decisions only; what is
//! wrong is said so that it can be put right.

use crate::cli::CanaryArgs;
use gameday_canary::ServiceSpec;
use gameday_canary::names::{EndpointUrl, is_az};
use gameday_canary::service::etcd;
use gameday_canary::service::http::{HttpSpec, HttpWrite};
use gameday_canary::service::postgres::PostgresSpec;
use gameday_canary::service::redis::RedisSpec;
use gameday_canary::service::url::{ServiceUrl, redacted};
use gameday_chaos::playbook::diagnostic;
use gameday_chaos::playbook::values;
use gameday_chaos::playbook::{Diagnostic, Measuring};
use gameday_record::{AlarmRule, AlarmSpec, Kind, Selection, Target, Unpromised};
use gameday_reports::burn;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Largest configuration file, in bytes.
const MAX_CONFIG: u64 = 256 << 10;

/// What was asked for, checked as far as it can be without asking anybody.
#[derive(Debug)]
pub struct Setup {
    /// Endpoints with their AZs; each AZ once, each endpoint with one host or more.
    pub endpoints: Vec<(String, Vec<EndpointUrl>)>,
    /// What they speak.
    pub service: ServiceSpec,
    /// Shares of the default mix that are left out, because the service has no such calls.
    pub left_out: Vec<&'static str>,
    /// Checks that are left out.
    pub unpromised: Vec<Unpromised>,
    /// AZ of the canary.
    pub az: String,
    /// Name of the (first) table.
    pub table: String,
    /// Workload, promises, alarms.
    pub measuring: Measuring,
    /// Text of the configuration file, if there was one.
    pub text: String,
    /// When it ends by itself.
    pub duration: Option<Duration>,
}

impl Setup {
    /// Reads everything.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn read(args: &CanaryArgs) -> Result<Setup, String> {
        if !is_az(&args.az) {
            return Err(format!(
                "--az '{}': a name is 1 to 32 letters, digits, '-' or '_'",
                args.az
            ));
        }
        let (endpoints, service) = endpoints(args)?;
        if args.create_table && !service.has_tables() {
            let name = service.name();
            return Err(format!(
                "{name} has no tables to make: leave --create-table out"
            ));
        }
        let unpromised = match (args.linearizability, service.unpromised()) {
            (false, all) => all,
            (true, all) if all.len() == 1 => Vec::new(),
            (true, all) if !all.is_empty() => {
                return Err(format!("--linearizability: {}", all[0].why));
            }
            (true, _) => {
                let name = service.name();
                return Err(format!(
                    "linearizability of {name} is checked anyway: leave --linearizability out"
                ));
            }
        };
        let table = args
            .table
            .clone()
            .unwrap_or_else(|| format!("gameday-canary-{}", args.az));
        let mut azs: Vec<String> = endpoints.iter().map(|(az, _)| az.clone()).collect();
        azs.sort();
        let (text, mut measuring) = match &args.config {
            Some(path) => {
                let (name, text) = (path.display().to_string(), config_text(path)?);
                let read = Measuring::parse(&name, &text, &azs, &table)
                    .map_err(|all: Vec<Diagnostic>| diagnostic::render(&all))?;
                (text, read)
            }
            None => (String::new(), Measuring::default()),
        };
        let left_out = match args.config.is_none() && args.mix.is_none() {
            true => service.fit(&mut measuring.workload),
            false => Vec::new(),
        };
        workload(args, &mut measuring)?;
        service
            .can_all(&measuring.workload)
            .map_err(|why| format!("the mix has what {} has not: {why}", service.name()))?;
        let promise = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(t) => values::promised(t)
                .map(Some)
                .map_err(|e| format!("--{name} {t}: {e}")),
        };
        let slo = &mut measuring.slo;
        let write = promise("write-availability", &args.write_availability)?;
        slo.write_availability = write.or(slo.write_availability);
        let read = promise("read-availability", &args.read_availability)?;
        slo.read_availability = read.or(slo.read_availability);
        if measuring.alarms.is_empty() {
            measuring.alarms = default_alarms(&measuring);
        }
        all_fed(&measuring)?;
        Ok(Setup {
            endpoints,
            service,
            left_out,
            unpromised,
            az: args.az.clone(),
            table,
            measuring,
            text,
            duration: duration("for", &args.duration)?,
        })
    }
}

fn duration(name: &str, text: &Option<String>) -> Result<Option<Duration>, String> {
    match text {
        None => Ok(None),
        Some(t) => values::duration(t)
            .map(Some)
            .map_err(|e| format!("--{name} {t}: {e}")),
    }
}

/// One endpoint as it was named.
struct Named {
    az: Option<String>,
    hosts: Vec<EndpointUrl>,
    service: ServiceSpec,
}

impl From<ServiceUrl> for Named {
    fn from(url: ServiceUrl) -> Self {
        Named {
            az: url.az,
            hosts: url.hosts,
            service: url.service,
        }
    }
}

/// Endpoints with their AZs.
type Endpoints = Vec<(String, Vec<EndpointUrl>)>;

/// What is called, and what it speaks.
fn endpoints(args: &CanaryArgs) -> Result<(Endpoints, ServiceSpec), String> {
    let dynamodb = |text: &str| {
        let url = EndpointUrl::parse(text)?;
        Ok(Named {
            az: url.az.clone(),
            hosts: vec![url],
            service: ServiceSpec::default(),
        })
    };
    let redis = |text: &str| RedisSpec::parse(text).map(Named::from);
    type Parse<'a> = &'a dyn Fn(&str) -> Result<Named, String>;
    let etcd = |text: &str| etcd::parse(text).map(Named::from);
    let postgres = |text: &str| PostgresSpec::parse(text).map(Named::from);
    let http = |text: &str| {
        let mut url = HttpSpec::parse(text)?;
        if let ServiceSpec::Http(spec) = &mut url.service {
            over_http(args, spec)?;
        }
        Ok(Named::from(url))
    };
    let options: [(&str, &[String], Parse); 5] = [
        ("--endpoint", &args.endpoints, &dynamodb),
        ("--etcd", &args.etcd, &etcd),
        ("--http", &args.http, &http),
        ("--postgres", &args.postgres, &postgres),
        ("--redis", &args.redis, &redis),
    ];
    let mut all: Endpoints = Vec::new();
    let mut known: Option<ServiceSpec> = None;
    for (option, texts, parse) in options {
        for text in texts {
            let shown = redacted(text);
            let mut named = parse(text).map_err(|e| match option {
                // It repeats the text itself.
                "--endpoint" => format!("{option} {e}"),
                _ => format!("{option} {shown}: {e}"),
            })?;
            named
                .service
                .password_of_environment(|name| std::env::var(name).ok());
            let az = named.az.unwrap_or_else(|| args.az.clone());
            if all.iter().any(|(known, _)| *known == az) {
                return Err(format!(
                    "{option} {shown}: AZ {az} has an endpoint already; write another AZ before \
                     it, such as {az}2={shown}"
                ));
            }
            if known.get_or_insert_with(|| named.service.clone()) != &named.service {
                return Err(format!(
                    "{option} {shown}: all endpoints have the same user, password and path"
                ));
            }
            all.push((az, named.hosts));
        }
    }
    if !all.iter().any(|(az, _)| *az == args.az) {
        return Err(format!(
            "no endpoint is in the canary's own AZ {}: write one without 'AZ=', or say --az",
            args.az
        ));
    }
    Ok((all, known.unwrap_or_default()))
}

/// What the options say of a service over HTTP.
fn over_http(args: &CanaryArgs, spec: &mut HttpSpec) -> Result<(), String> {
    if let Some(method) = &args.http_read {
        spec.read = method.clone();
    }
    let headers = args.http_headers.iter().map(|h| HttpSpec::header(h));
    spec.headers = headers.collect::<Result<_, _>>()?;
    if let Some(list) = &args.http_success {
        spec.success = HttpSpec::statuses(list)?;
    }
    spec.write = args.http_write.as_ref().map(|method| HttpWrite {
        method: method.clone(),
        body: args.http_body.clone(),
        delete: args.http_delete.clone(),
        value: args.http_value.clone(),
    });
    spec.validate()
}

fn config_text(path: &Path) -> Result<String, String> {
    let say = |e: &dyn std::fmt::Display| format!("--config {}: {e}", path.display());
    let file = std::fs::File::open(path).map_err(|e| say(&e))?;
    let mut text = String::new();
    file.take(MAX_CONFIG + 1)
        .read_to_string(&mut text)
        .map_err(|e| say(&e))?;
    // A longer one is refused by the parser, which sees that it is too long.
    Ok(text)
}

/// The workload of the file, then the options.
fn workload(args: &CanaryArgs, measuring: &mut Measuring) -> Result<(), String> {
    let w = &mut measuring.workload;
    if let Some(rate) = args.rate {
        w.rate = rate;
    }
    if let Some(keys) = args.keys {
        w.keys = keys;
    }
    if let Some(timeout) = duration("timeout", &args.timeout)? {
        w.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    }
    if let Some(bytes) = args.item_bytes {
        w.item_bytes = bytes;
        w.item_bytes_max = None;
    }
    if let Some(share) = args.fresh_connections {
        w.fresh_connections = share;
    }
    if let Some(attempts) = args.attempts {
        w.attempts = attempts;
    }
    if let Some(mix) = &args.mix {
        let shares = mix_shares(mix)?;
        [
            w.writes,
            w.inserts,
            w.cas,
            w.adds,
            w.strong_reads,
            w.eventual_reads,
        ] = shares;
    }
    Ok(())
}

/// `writes=0.2,strong_reads=0.8` → the shares of writes, inserts, cas, adds,
/// strong reads, eventual reads.
fn mix_shares(text: &str) -> Result<[f64; 6], String> {
    const NAMES: [&str; 6] = [
        "writes",
        "inserts",
        "cas",
        "adds",
        "strong_reads",
        "eventual_reads",
    ];
    let mut shares = [0.0; 6];
    for part in text.split(',') {
        let read = part.split_once('=').and_then(|(name, share)| {
            let at = NAMES.iter().position(|n| *n == name.trim())?;
            Some((at, share.trim().parse::<f64>().ok()?))
        });
        let Some((at, share)) = read else {
            return Err(format!(
                "--mix {text}: '{part}' is not NAME=SHARE with one of the names {}",
                NAMES.join(", ")
            ));
        };
        shares[at] = share;
    }
    let sum: f64 = shares.iter().sum();
    if (sum - 1.0).abs() > 1e-6 || shares.iter().any(|s| !(0.0..=1.0).contains(s)) {
        return Err(format!(
            "--mix {text}: the shares are together {sum}, not 1"
        ));
    }
    Ok(shares)
}

/// Options can take from the workload what a promise is about, or promise what it
/// lacks; then nothing would ever be judged.
fn all_fed(measuring: &Measuring) -> Result<(), String> {
    let promised = measuring.slo.all();
    let promised = promised.iter().map(|o| (&o.name, &o.selection));
    let alarms = measuring.alarms.iter().map(|a| (&a.name, &a.selection));
    for (name, selection) in promised.chain(alarms) {
        if measuring.workload.share(selection.kind) <= 0.0 {
            let what = match selection.kind {
                Some(Kind::Write) => "writes",
                Some(Kind::StrongRead) => "strongly consistent reads",
                Some(Kind::EventualRead) => "eventually consistent reads",
                None => "calls",
            };
            return Err(format!(
                "the mix has no {what}, so '{name}' could never be judged: give them a share in \
                 --mix, or leave it out"
            ));
        }
    }
    Ok(())
}

/// Without `[[alarm]]`: a customer's alarm, and for every promised availability
/// the standard burn-rate alarms.
fn default_alarms(measuring: &Measuring) -> Vec<AlarmSpec> {
    let alarm = |name: String, selection: Selection, rule: AlarmRule| AlarmSpec {
        name,
        selection,
        rule,
        stop: false,
        expect: None,
        within_ms: None,
    };
    let mut all = vec![alarm(
        "failures".into(),
        Selection::default(),
        AlarmRule::default(),
    )];
    for objective in measuring.slo.all() {
        let Target::Availability { at_least } = objective.target else {
            continue;
        };
        if !(at_least > 0.0 && at_least < 1.0) {
            continue;
        }
        for standard in burn::STANDARD {
            let window = burn::window(standard.long * 1000);
            all.push(alarm(
                format!("{} {} {window}", objective.name, standard.severity),
                objective.selection.clone(),
                standard.rule(at_least),
            ));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn read(line: &str) -> Result<Setup, String> {
        let words = ["gameday", "canary"].into_iter().chain(line.split(' '));
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        let Command::Canary(args) = cli.command else {
            panic!("not a canary");
        };
        Setup::read(&args)
    }

    #[test]
    fn endpoints_have_azs_and_the_workload_is_what_was_said() {
        let s = read(
            "--endpoint http://127.0.0.1:1 --endpoint b=https://x.test --az a --rate 50 \
             --mix writes=0.25,strong_reads=0.75 --timeout 500ms --for 2h \
             --write-availability 99.9%",
        )
        .unwrap();
        let azs: Vec<_> = s.endpoints.iter().map(|(az, _)| az.as_str()).collect();
        assert_eq!(azs, ["a", "b"]);
        assert_eq!(s.table, "gameday-canary-a");
        let w = &s.measuring.workload;
        assert_eq!((w.rate, w.timeout_ms), (50.0, 500));
        assert_eq!(
            (w.writes, w.cas, w.strong_reads, w.eventual_reads, w.inserts),
            (0.25, 0.0, 0.75, 0.0, 0.0)
        );
        assert_eq!(s.duration, Some(Duration::from_secs(7200)));
        let names: Vec<_> = s.measuring.alarms.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(
            names[1].starts_with("write_availability page "),
            "{names:?}"
        );
    }

    #[test]
    fn every_kind_of_call_can_be_in_the_mix() {
        let s = read(
            "--endpoint http://127.0.0.1:1 --mix \
             writes=0.1,inserts=0.2,cas=0.1,adds=0.3,strong_reads=0.2,eventual_reads=0.1",
        )
        .unwrap();
        let w = &s.measuring.workload;
        let got = [
            w.writes,
            w.inserts,
            w.cas,
            w.adds,
            w.strong_reads,
            w.eventual_reads,
        ];
        assert_eq!(got, [0.1, 0.2, 0.1, 0.3, 0.2, 0.1]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, expected) in [
            ("--endpoint nonsense", "a URL"),
            ("--endpoint http://x --endpoint http://y", "already"),
            ("--endpoint b=http://x --az a", "own AZ a"),
            ("--endpoint http://x --az a/b", "letters"),
            ("--endpoint http://x --mix writes=0.5", "not 1"),
            ("--endpoint http://x --mix reads=1", "eventual_reads"),
            (
                "--endpoint http://x --mix writes=1 --read-availability 99%",
                "no strongly consistent reads, so 'read_availability'",
            ),
            ("--endpoint http://x --timeout soon", "a duration is"),
            ("--endpoint http://x --write-availability 100%", "below 100"),
            (
                "--endpoint http://x --config /nowhere.toml",
                "/nowhere.toml",
            ),
            ("--az a", "--endpoint"),
            (
                "--endpoint http://x --redis redis://y",
                "cannot be used with",
            ),
            (
                "--redis redis://u:secret@x:y",
                "--redis redis://u:***@x:y: the port",
            ),
            ("--redis redis://x --create-table", "no tables"),
            ("--redis redis://x --redis b=redis://y/1", "the same user"),
            (
                "--redis redis://x --region eu-west-1",
                "cannot be used with",
            ),
            ("--redis redis://x --unsigned", "cannot be used with"),
            (
                "--endpoint http://x --unsigned --region y",
                "cannot be used with",
            ),
            ("--redis redis://x --http-body y", "cannot be used with"),
            ("--endpoint http://x --linearizability", "checked anyway"),
            ("--http http://x --mix writes=1", "--http-write METHOD"),
            ("--http http://x --linearizability", "only read"),
            ("--http http://x --http-write PUT", "{key}"),
            ("--http http://x/{key} --http-body x", "--http-write"),
            ("--etcd http://x --http-read GET", "cannot be used with"),
            ("--etcd http://x --mix adds=1", "share of cas"),
            (
                "--postgres postgres://u:secret@x/a/b",
                "postgres://u:***@x/a/b: the path",
            ),
        ] {
            let e = read(line).unwrap_err();
            assert!(e.contains(expected), "{line}: {e}");
        }
    }

    #[test]
    fn what_a_service_does_not_promise_is_checked_if_it_is_asked_for() {
        let s = read("--redis redis://x --redis b=redis://y").unwrap();
        assert_eq!((s.service.name(), s.endpoints.len()), ("Redis", 2));
        assert_eq!(s.unpromised[0].check, "linearizability");
        let s = read("--redis redis://x --linearizability").unwrap();
        assert_eq!(s.unpromised, []);
        let s = read("--endpoint http://x").unwrap();
        assert_eq!((s.service.name(), s.unpromised), ("DynamoDB", vec![]));
    }

    #[test]
    fn what_a_service_has_not_is_left_out_of_the_default_mix() {
        let shares = |s: &Setup| {
            let w = &s.measuring.workload;
            [
                w.writes,
                w.inserts,
                w.cas,
                w.adds,
                w.strong_reads,
                w.eventual_reads,
            ]
        };
        let s = read("--http http://x/").unwrap();
        assert_eq!(s.left_out, ["writes", "inserts", "cas"]);
        let [.., strong, eventual] = shares(&s);
        assert!((strong + eventual - 1.0).abs() < 1e-9, "{:?}", shares(&s));
        let s = read("--http http://x/{key} --http-write PUT").unwrap();
        assert_eq!(s.left_out, ["cas"]);
        let s = read("--etcd http://x").unwrap();
        assert_eq!(s.left_out, [""; 0]);
    }

    #[test]
    fn a_file_says_what_is_promised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("canary.toml");
        let line = format!("--endpoint http://x --config {}", path.display());
        std::fs::write(
            &path,
            "[workload]\nrate = 7\n\n[slo]\nread_availability = \"99.5%\"\n",
        )
        .unwrap();
        let s = read(&line).unwrap();
        assert_eq!(s.measuring.workload.rate, 7.0);
        assert_eq!(s.measuring.slo.read_availability, Some(0.995));
        let e = read(&format!("{line} --mix writes=1")).unwrap_err();
        assert!(e.contains("'read_availability' could never"), "{e}");
        std::fs::write(&path, "[workload]\nrat = 7\n").unwrap();
        let e = read(&line).unwrap_err();
        assert!(e.contains("canary.toml") && e.contains("rat"), "{e}");
    }
}
