//! `[workload]`, `[slo]`, `[[objective]]` and `[[alarm]]`: what is read, and
//! what is told about mistakes.

use gameday_chaos::playbook::{Diagnostic, Measuring, Playbook, render};
use gameday_record::{
    AlarmRule, KeyChoice, Kind, Node, Objective, Scope, Selection, Target, Topology,
};

fn parse(text: &str) -> Result<Measuring, Vec<Diagnostic>> {
    Measuring::parse("m.toml", text, &["a", "b", "c"].map(String::from), "canary")
}

fn read(text: &str) -> Measuring {
    parse(text).unwrap_or_else(|e| panic!("{}", render(&e)))
}

fn told(text: &str) -> Vec<String> {
    places(parse(text).expect_err("this text has mistakes"))
}

fn places(all: Vec<Diagnostic>) -> Vec<String> {
    all.iter()
        .map(|d| match &d.place {
            Some(p) => format!("{}:{} {}", p.line, p.column, d.message),
            None => d.message.clone(),
        })
        .collect()
}

#[test]
fn everything_that_a_workload_can_be() {
    let m = read(
        r#"
[workload]
rate = 50
keys = 1000
choice = { hot = 3, share = 0.8 }
tables = 2
writes = 0.1
inserts = 0.1
cas = 0.1
adds = 0.2
strong_reads = 0.3
eventual_reads = 0.2
timeout = "1s"
slow_after = "250ms"
item_bytes = [100, 4000]
fresh_connections = 0.1
attempts = 3
"#,
    );
    let w = &m.workload;
    assert_eq!(
        (w.rate, w.keys, w.tables, w.attempts),
        (50.0, 1000, 2, 3),
        "{w:?}"
    );
    assert_eq!(
        (w.adds, w.fresh_connections, w.timeout_ms, w.slow_after_ms),
        (0.2, 0.1, 1000, Some(250))
    );
    assert_eq!((w.item_bytes, w.item_bytes_max), (100, Some(4000)));
    let hot = KeyChoice::Hot {
        keys: 3,
        share: 0.8,
    };
    assert_eq!(w.choice, hot);
    let choice = |text: &str| {
        read(&format!("[workload]\nchoice = {text}"))
            .workload
            .choice
    };
    assert_eq!(choice("\"uniform\""), KeyChoice::Uniform);
    let ycsb = KeyChoice::Zipfian { theta: 0.99 };
    assert_eq!(choice("\"zipfian\""), ycsb);
    assert_eq!(choice("{ zipfian = 0.99 }"), ycsb);
    let w = read("[workload]\nitem_bytes = 7").workload;
    assert_eq!((w.item_bytes, w.item_bytes_max), (7, None));
}

#[test]
fn mistakes_of_a_workload() {
    assert_eq!(
        told(
            r#"[workload]
choise = "uniform"
tables = 9
adds = 0.5
item_bytes = [4000, 100]
fresh_connections = 2
attempts = 0
"#
        ),
        [
            "2:1 unknown key 'choise' in [workload]",
            "3:10 'tables' is a whole number from 1 to 8",
            "4:1 the shares of the workload are together 1.5, not 1",
            "5:14 the least size comes first: [100, 4000]",
            "6:21 'fresh_connections' is from 0 to 1",
            "7:12 'attempts' is a whole number from 1 to 10",
        ]
    );
    // Whoever waits no longer than the timeout never sees a later answer.
    let slow = |slow: &str| {
        told(&format!(
            "[workload]\ntimeout = \"2s\"\nslow_after = {slow}"
        ))
    };
    for not_below in ["\"2s\"", "\"2001ms\"", "\"1h\"", "\"0ms\""] {
        let range = "3:14 'slow_after' is from 1ms to 1.999s";
        assert_eq!(slow(not_below), [range], "{not_below}");
    }
    let below = read("[workload]\ntimeout = \"2s\"\nslow_after = \"1999ms\"");
    assert_eq!(below.workload.slow_after_ms, Some(1_999));
    assert_eq!(
        slow("250"),
        ["3:14 a duration needs its unit, in quotes: \"250s\""]
    );
    let choice = |text: &str| told(&format!("[workload]\nkeys = 5\nchoice = {text}")).join("\n");
    assert!(choice("\"unifrom\"").contains("cannot be 'unifrom'"));
    assert!(choice("{ zipfian = 0 }").contains("from 0.01 to 2"));
    assert!(choice("{ zipfian = 1, hot = 2 }").contains("'choice' is"));
    assert!(choice("{ hot = 6, share = 0.5 }").contains("from 1 to 5"));
    assert!(choice("{ hot = 2 }").contains("no share"));
    assert!(choice("{}").contains("'choice' is"));
    assert!(choice("3").contains("not a whole number"));
    assert!(told("[workload]\nitem_bytes = [1]")[0].contains("[100, 4000]"));
    assert!(told("[workload]\nitem_bytes = [1, 100001]")[0].contains("from 0 to 100000"));
}

#[test]
fn every_objective_is_read() {
    let m = read(
        r#"
[slo]
count = "untouched"
write_availability = "99.9 %"
[[objective]]
name = "1"
sli = "availability"
of = "strong-reads"
table = "canary"
az = "a"
endpoint = "c"
count = "untouched"
at_least = "99.9%"
[[objective]]
name = "2"
sli = "request-availability"
at_least = "99%"
[[objective]]
name = "3"
sli = "sliced-availability"
slice = "5s"
at_least = "99%"
[[objective]]
name = "4"
sli = "sliced-availability"
at_least = "99%"
[[objective]]
name = "5"
sli = "uptime"
at_least = "99%"
[[objective]]
name = "6"
sli = "worst-window"
window = "10s"
at_least = "50%"
[[objective]]
name = "7"
sli = "latency"
of = "writes"
quantile = 0.99
at_most = "200ms"
[[objective]]
name = "8"
sli = "longest-gap"
of = "eventual-reads"
at_most = "2.5s"
[[objective]]
name = "9"
sli = "recovery"
at_most = "12s"
"#,
    );
    assert_eq!(m.slo.scope, Scope::Untouched);
    assert_eq!(m.slo.write_availability, Some(99.9 / 100.0));
    let n = |n: u32| f64::from(n) / 100.0;
    let targets: Vec<Target> = m.slo.objectives.iter().map(|o| o.target).collect();
    assert_eq!(
        targets,
        [
            Target::Availability {
                at_least: 99.9 / 100.0
            },
            Target::RequestAvailability { at_least: n(99) },
            Target::SlicedAvailability {
                slice_ms: 5000,
                at_least: n(99)
            },
            Target::SlicedAvailability {
                slice_ms: 300_000,
                at_least: n(99)
            },
            Target::Uptime { at_least: n(99) },
            Target::WorstWindow {
                window_ms: 10_000,
                at_least: n(50)
            },
            Target::Latency {
                quantile: 0.99,
                at_most_ms: 200
            },
            Target::LongestGap { at_most_ms: 2500 },
            Target::Recovery { at_most_ms: 12_000 },
        ]
    );
    let first = Selection {
        kind: Some(Kind::StrongRead),
        table: Some("canary".into()),
        az: Some("a".into()),
        endpoint: Some("c".into()),
        scope: Scope::Untouched,
    };
    assert_eq!(m.slo.objectives[0].selection, first);
    assert_eq!(m.slo.objectives[1].selection, Selection::default());
    let names: Vec<String> = m.slo.all().into_iter().map(|o: Objective| o.name).collect();
    assert_eq!(names[0], "write_availability");
    assert_eq!(names.len(), 10);
}

#[test]
fn all_mistakes_of_objectives_are_told_at_once() {
    assert_eq!(
        told(
            r#"[slo]
count = "some"
[[objective]]
sli = "latency"
at_least = "99%"
at_most = "0ms"
[[objective]]
name = "x"
sli = "avaliability"
[[objective]]
name = "x"
sli = "worst-window"
window = "1500ms"
at_least = "99%"
kind = "writes"
[[objective]]
name = "max_write_gap"
of = "reads"
table = "canary-2"
[[objective]]
name = "y"
sli = "uptime"
at_least = "99%"
[[objective]]
name = "y"
sli = "uptime"
at_least = 99
[[objective]]
name = "y"
sli = "uptime"
at_least = "98%"
"#
        ),
        [
            "2:9 'count' cannot be 'some'",
            "3:1 the objective has no name",
            "3:1 an objective on latency has no 'quantile'",
            "5:1 'at_least' does not go with sli = \"latency\"",
            "6:11 'at_most' is from 1ms to 24h",
            "9:7 'sli' cannot be 'avaliability'",
            "13:10 'window' is a whole number of seconds",
            "15:1 unknown key 'kind' in [[objective]]",
            "16:1 the objective does not say what is measured",
            "17:8 'max_write_gap' is the name of a key of [slo]",
            "18:6 'of' cannot be 'reads'",
            "19:9 the workload has no table 'canary-2'",
            "27:12 'at_least' is a share such as \"99.9%\", not a whole number",
            "29:8 there is already an objective 'y'",
        ]
    );
    let all = parse("[[objective]]\nname = \"x\"\nsli = \"avaliability\"").unwrap_err();
    assert_eq!(all[0].help.as_deref(), Some("did you mean 'availability'?"));
    assert!(told("[objective]\nname = \"x\"")[0].contains("two brackets"));
    assert!(told("objective = [3]")[0].contains("two brackets"));
    let many = "[[objective]]\n".repeat(101);
    assert_eq!(told(&many), ["1:1 101 of [[objective]]; at most 100"]);
}

#[test]
fn what_no_operation_can_ever_feed_is_refused() {
    let reads_only =
        "[workload]\nwrites = 0\ninserts = 0\ncas = 0\nstrong_reads = 1\neventual_reads = 0\n";
    assert_eq!(
        told(&format!(
            "{reads_only}[slo]\nwrite_availability = \"99%\"\nmax_write_gap = \"3s\"\neventual_read_availability = \"9%\"\n\
             [[objective]]\nname = \"o\"\nsli = \"uptime\"\nof = \"eventual-reads\"\nat_least = \"9%\"\n\
             [[alarm]]\nname = \"a\"\nof = \"writes\"\n"
        )),
        [
            "8:1 the workload has no writes of any sort, so this could never be judged",
            "9:1 the workload has no writes of any sort, so this could never be judged",
            "10:1 the workload has no eventually consistent reads, so this could never be judged",
            "14:1 the workload has no eventually consistent reads, so this could never be judged",
            "18:1 the workload has no writes of any sort, so this could never be judged",
        ]
    );
    // Additions are writes.
    read("[workload]\nwrites = 0\ninserts = 0\ncas = 0\nadds = 0.4\n[slo]\nmax_write_gap = \"3s\"");
    read("[workload]\ntables = 2\n[[alarm]]\nname = \"a\"\ntable = \"canary-2\"");
    assert_eq!(
        told(
            "[[alarm]]\nname = \"a\"\naz = \"d\"\n[[objective]]\nname = \"o\"\nsli = \"uptime\"\nat_least = \"9%\"\nendpoint = \"A\""
        ),
        ["3:6 there is no AZ 'd'", "8:12 there is no AZ 'A'"]
    );
}

#[test]
fn every_alarm_is_read_and_has_defaults() {
    let m = read(
        r#"
[[alarm]]
name = "1"
[[alarm]]
name = "2"
of = "writes"
endpoint = "b"
failures = { above = "0%", bad = 5, of = 10, at_least = 20 }
stop = true
expect = false
[[alarm]]
name = "3"
burn_rate = {}
[[alarm]]
name = "4"
burn_rate = { objective = "99%", factor = 6, long = "6h", short = "30m", clean_before = false }
expect = true
within = "12.5s"
"#,
    );
    let rules: Vec<AlarmRule> = m.alarms.iter().map(|a| a.rule.clone()).collect();
    assert_eq!(
        rules,
        [
            AlarmRule::default(),
            AlarmRule::Failures {
                share: 0.0,
                bad: 5,
                of: 10,
                failures: 20
            },
            AlarmRule::BurnRate {
                objective: 0.999,
                long_ms: 60_000,
                short_ms: 5000,
                factor: 14.4,
                clean_before: true
            },
            AlarmRule::BurnRate {
                objective: 0.99,
                long_ms: 6 * 3_600_000,
                short_ms: 1_800_000,
                factor: 6.0,
                clean_before: false
            },
        ]
    );
    assert_eq!(m.alarms[1].selection.endpoint.as_deref(), Some("b"));
    let within: Vec<_> = m.alarms.iter().map(|a| a.within_ms).collect();
    assert_eq!(within, [None, None, None, Some(12_500)]);
    let flags: Vec<_> = m.alarms.iter().map(|a| (a.stop, a.expect)).collect();
    assert_eq!(
        flags,
        [
            (false, None),
            (true, Some(false)),
            (false, None),
            (false, Some(true))
        ]
    );
}

#[test]
fn mistakes_of_alarms() {
    assert_eq!(
        told(
            r#"[[alarm]]
failures = { above = 1, bad = 6 }
[[alarm]]
name = "a"
failures = { bad = 6 }
burn_rate = { factor = 1000, long = "5s" }
[[alarm]]
name = "b"
failures = { bad = 6 }
stop = "yes"
[[alarm]]
name = "c"
burn_rate = { factor = 1000, long = "5s", short = "5s", clean = true }
[[alarm]]
name = "d"
failures = 3
[[alarm]]
name = "e"
burn_rate = { objective = "100%" }
[[alarm]]
name = "f"
[[alarm]]
name = "f"
[[alarm]]
name = "g"
within = "5s"
[[alarm]]
name = "h"
expect = false
within = "5s"
[[alarm]]
name = "i"
expect = true
within = "999ms"
"#
        ),
        [
            "1:1 the alarm has no name",
            "2:22 'above' is a share such as \"99.9%\", not a whole number",
            "6:1 an alarm has one rule, 'failures' or 'burn_rate'",
            "9:14 6 bad seconds of 5 are not possible",
            "10:8 'stop' is true or false, not a text",
            "13:15 it could never fire: 1000 times the error budget of 0.1 % is everything or more",
            "13:43 the short window is shorter than the long one, 5s",
            "13:57 unknown key 'clean' in an alarm's 'burn_rate'",
            "16:12 'failures' is a table such as { above = \"1%\", bad = 3, of = 5, at_least = 5 }, not a whole number",
            "19:27 this share is written in percent, above 0 and below 100: \"99.9%\"",
            "23:8 there is already an alarm 'f'",
            "26:1 'within' says how soon an alarm fires that is to fire",
            "30:1 'within' says how soon an alarm fires that is to fire",
            "34:10 'within' is from 1s to 24h",
        ]
    );
}

#[test]
fn a_file_of_measuring_has_no_other_sections() {
    assert_eq!(
        told("[playbook]\ntitle = \"t\"\n"),
        ["1:2 unknown key 'playbook' in this file"]
    );
    assert_eq!(read(""), Measuring::default());
}

fn topology() -> Topology {
    let azs = ["a", "b", "c"].map(String::from).to_vec();
    let nodes = azs
        .iter()
        .map(|az| Node {
            name: format!("storage-{az}1"),
            az: az.clone(),
            role: "storage".into(),
        })
        .collect();
    Topology {
        azs,
        nodes,
        ..Topology::default()
    }
}

fn planned(rest: &str, target: &str) -> Result<Vec<String>, Vec<String>> {
    let text = format!(
        "[playbook]\ntitle = \"t\"\nallow_quorum_loss = true\n{rest}\n[[step]]\nfault = \"kill\"\ntarget = {target}\nat = \"0s\"\nfor = \"5s\"\n"
    );
    let playbook = Playbook::parse("p.toml", &text).unwrap_or_else(|e| panic!("{}", render(&e)));
    gameday_chaos::plan::plan(&playbook, 1, &topology())
        .map(|_| playbook.measuring.lines())
        .map_err(places)
}

#[test]
fn a_plan_knows_which_azs_there_are_and_which_are_touched() {
    let slo = "[slo]\ncount = \"untouched\"\nwrite_availability = \"99%\"";
    assert!(planned(slo, "{ az = \"b\" }").is_ok());
    assert!(planned(slo, "{ leader = \"canary/0\" }").is_ok());
    assert_eq!(
        planned(slo, "{ all = \"storage\" }").unwrap_err(),
        ["5:9 the steps touch every AZ, so nothing is untouched"]
    );
    let alarm = |az: &str| format!("[[alarm]]\nname = \"x\"\naz = \"{az}\"\ncount = \"untouched\"");
    assert!(planned(&alarm("a"), "{ az = \"b\" }").is_ok());
    assert_eq!(
        planned(&alarm("b"), "{ az = \"b\" }").unwrap_err(),
        ["7:9 a step touches AZ b, so nothing there is untouched"]
    );
    assert_eq!(
        planned(
            "[[alarm]]\nname = \"x\"\nendpoint = \"z\"",
            "{ az = \"b\" }"
        )
        .unwrap_err(),
        ["6:12 there is no AZ 'z'"]
    );
}

#[test]
fn a_plan_says_in_words_what_is_measured_and_promised() {
    let rest = r#"
[workload]
rate = 50
keys = 1000
choice = { hot = 3, share = 0.8 }
tables = 2
inserts = 0
adds = 0.1
item_bytes = [100, 4000]
fresh_connections = 0.1
attempts = 3
[slo]
max_write_gap = "3s"
[[objective]]
name = "reads are fast"
sli = "latency"
of = "strong-reads"
count = "untouched"
quantile = 0.99
at_most = "200ms"
[[alarm]]
name = "notice"
endpoint = "b"
expect = true
within = "10s"
[[alarm]]
name = "budget"
of = "writes"
burn_rate = {}
stop = true
expect = false
"#;
    assert_eq!(
        planned(rest, "{ az = \"b\" }").unwrap(),
        [
            "workload  50 operations/s of each canary through each endpoint: 15 % writes, 15 % compare-and-set, \
             10 % additions, 40 % strong reads, 20 % eventual reads; 2 tables of 1000 keys, 80 % of the calls on \
             3 hot; 100 to 4000 bytes; 10 % on fresh connections; an attempt given up after 2s, 3 attempts",
            "promise   max_write_gap: no longer than 3s without writes answered",
            "promise   reads are fast: 99 % of strong reads where no fault touches AZ or endpoint answered within 200ms",
            "alarm     notice: if more than 1 % of all operations through endpoint b fail in 3 of 5 seconds through \
             any one pair, 5 of them at least; this run should make it fire within 10s of a fault",
            "alarm     budget: if writes burn the error budget of 99.9 % 14.4 times too fast over 1m and 5s, the \
             time before the run taken as free of errors; this run should not make it fire; it ends the run",
        ]
    );
    let silent = planned("", "{ az = \"b\" }").unwrap();
    assert_eq!(silent[1], "promise   none: availability is not judged");
}
