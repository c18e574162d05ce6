//! Whether what had to be seen of each step was seen.

use super::canaries::Calls;
use super::nodes::{Sample, State, Used};
use super::times::{self, Times};
use super::{Day, Fact, Step};
use crate::links::Seen as Link;
use gameday_record::{Nanos, TimelineEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Two nodes that a look takes so long to see may have been gone one after the other.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Fewest events that are no accident.
const COUNTED: u64 = 5;
/// How long before a step is looked at.
const BEFORE: Duration = Duration::from_secs(3);

/// Percent of a processor around a step.
#[derive(Debug)]
struct Rates {
    before: f64,
    during: f64,
    after: f64,
}

/// Panics, with the step, at the first fact that is not so. Tells how long each step took from
/// the decision to its proof.
pub(super) fn judge(day: &Day, lanes: &[Vec<Step>]) {
    for (number, lane) in lanes.iter().enumerate() {
        for (i, step) in lane.iter().enumerate() {
            let name = super::name(lane, number, i);
            let times = Times::of(&name, &day.timeline);
            let ms = |from: Nanos, to: Nanos| to.since(from).as_millis();
            println!(
                "{:15} {:8} injected after {:5} ms, proven after {:5} ms",
                step.fault,
                day.runtime,
                ms(times.intent, times.injected),
                ms(times.intent, times.proven)
            );
            let told = &times.evidence;
            assert!(
                told.contains(step.told),
                "{name}: no '{}' in {told}",
                step.told
            );
            for fact in &step.facts {
                let _told = TellIfNot(format!("{name} {}: {fact:?}", day.runtime));
                Around { day, times: &times }.check(*fact);
            }
        }
    }
}

/// Says what was looked for when it was not found.
struct TellIfNot(String);

impl Drop for TellIfNot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

fn is_node(name: &str) -> bool {
    !name.starts_with("canary")
}

/// A day around one of its steps.
struct Around<'a> {
    day: &'a Day,
    times: &'a Times,
}

impl Around<'_> {
    fn check(&self, fact: Fact) {
        let calls = |pairs| Calls::of(pairs, self.times, &self.day.operations);
        match fact {
            Fact::Silent(pairs) => {
                calls(pairs).fail();
                assert!(!calls(pairs).are_told(), "somebody was told");
            }
            Fact::Told(pairs) => {
                calls(pairs).fail();
                assert!(calls(pairs).are_told(), "nobody was told");
            }
            Fact::Answered(pairs) => calls(pairs).succeed(),
            Fact::Late(pairs, ms) => calls(pairs).take_at_least(Duration::from_millis(ms)),
            Fact::LateItems(pairs, ms) => {
                let calls = calls(pairs).with_items();
                calls.take_at_least(Duration::from_millis(ms));
            }
            Fact::NoItems(pairs) => calls(pairs).with_items().fail(),
            Fact::Reads(pairs) => calls(pairs).without_items().succeed(),
            Fact::Ends(node) => {
                let seen = self.during(node);
                assert_eq!(seen.last(), Some(&&State::Gone), "{seen:?}");
                self.runs_again(node, |before, now| before != now);
            }
            Fact::Starved(node, percent) => {
                let used = self.cpu_percent(node);
                // Of three seconds two percent are six ticks, of which one at either end is
                // counted too early or too late.
                let most = f64::from(percent) * 1.5;
                assert!(used.during <= most && used.before.min(used.after) > most);
            }
            Fact::Squeezed(node, mib) => {
                let used = |s: &Sample| s.used[node].memory_mib;
                let (before, most) = (used(self.last_before()), f64::from(mib));
                let during: Vec<f64> = self.looks().map(used).collect();
                println!("{:24} {node}: MiB of memory {before:.1}, {during:.1?}", "");
                assert!(before > most && !during.is_empty());
                // The kernel counts some pages late.
                assert!(during.iter().all(|used| *used <= most + 1.0));
            }
            Fact::Gone(node) => {
                let seen = self.during(node);
                assert!(seen.iter().all(|s| **s == State::Gone), "{seen:?}");
                self.runs_again(node, |before, now| before != now);
            }
            Fact::Frozen(node) => {
                let before = State::Frozen(self.before(node));
                let seen = self.during(node);
                assert!(seen.iter().all(|s| **s == before), "{seen:?}");
                self.runs_again(node, |before, now| before == now);
            }
            Fact::Others(node, least) => {
                let before = self.before(node);
                let seen = self.during(node);
                let others: BTreeSet<&str> = seen.iter().filter_map(|s| s.identity()).collect();
                assert!(
                    others.len() >= least && !others.contains(&*before),
                    "{seen:?}"
                );
                self.runs_again(node, |before, now| before != now);
            }
            Fact::InTurn(nodes) => self.in_turn(nodes),
            Fact::Counted(events) => self.counted(events),
            Fact::Apart(cut) => self.apart(cut),
            Fact::Majorities => self.majorities(),
            Fact::Elected => self.elected(),
        }
    }

    /// Looks that began and ended while the step was in force.
    fn looks(&self) -> impl Iterator<Item = &Sample> {
        let all = self.day.seen.nodes.iter();
        all.filter(|s| self.times.holds(s.from, s.to))
    }

    fn during(&self, node: &str) -> Vec<&State> {
        let seen: Vec<&State> = self.looks().map(|s| &s.states[node]).collect();
        assert!(!seen.is_empty(), "nobody looked meanwhile");
        seen
    }

    /// The last look before the decision.
    fn last_before(&self) -> &Sample {
        let mut all = self.day.seen.nodes.iter().rev();
        let last = all.find(|s| s.to < self.times.intent);
        last.expect("a look before it")
    }

    /// Which process ran before.
    fn before(&self, node: &str) -> String {
        match &self.last_before().states[node] {
            State::Runs(identity) => identity.clone(),
            other => panic!("{node} before: {other:?}"),
        }
    }

    /// When the next step on such targets was decided, or the cluster was taken away.
    fn next(&self, is: impl Fn(&[String]) -> bool) -> Nanos {
        let next = self.day.timeline.iter().find_map(|l| match &l.event {
            TimelineEvent::Intent { injection } if l.time > self.times.gone => {
                is(&injection.targets).then_some(l.time)
            }
            _ => None,
        });
        next.unwrap_or_else(|| times::down(&self.day.timeline))
    }

    /// From the proof that the step is gone to the next one on this node, a process runs, of
    /// which `is` holds, given the one before.
    fn runs_again(&self, node: &str, is: fn(&str, &str) -> bool) {
        let before = self.before(node);
        let gone = self.times.gone;
        let until = self.next(|targets| targets.iter().any(|t| t == node));
        for sample in &self.day.seen.nodes {
            if gone <= sample.from && sample.to < until {
                let state = &sample.states[node];
                let runs = matches!(state, State::Runs(now) if is(&before, now));
                assert!(runs, "{node} afterwards: {state:?}, before: {before}");
            }
        }
    }

    fn in_turn(&self, nodes: &[&str]) {
        for node in nodes {
            self.runs_again(node, |before, now| before != now);
        }
        let whole = self.day.seen.nodes.iter();
        let whole = whole.filter(|s| self.times.intent <= s.from && s.to <= self.times.gone);
        for sample in whole.filter(|s| s.to.since(s.from) < AT_ONCE) {
            let gone = nodes.iter().filter(|n| sample.states[**n] == State::Gone);
            assert!(gone.count() < 2, "{sample:?}");
        }
    }

    /// How much of a processor the node got.
    fn cpu_percent(&self, node: &str) -> Rates {
        let until = self.next(|_| true);
        let all = || self.day.seen.nodes.iter();
        let rate = |from: Nanos, to: Nanos| {
            let inside = all().filter(|s| from <= s.from && s.to <= to);
            let seen: Vec<(&Sample, &Used)> = inside
                .filter_map(|s| Some((s, s.used.get(node)?)))
                .collect();
            let [(first, then), .., (last, now)] = &seen[..] else {
                panic!("nobody looked at {node}");
            };
            let passed = last.from.since(first.from).as_secs_f64();
            (now.cpu_seconds - then.cpu_seconds) * 100.0 / passed
        };
        let began = self.times.intent - BEFORE;
        let rates = Rates {
            before: rate(began, self.times.intent),
            during: rate(self.times.injected, self.times.reverting),
            after: rate(self.times.gone, until),
        };
        println!("{:24} {node}: percent of a processor: {rates:.1?}", "");
        rates
    }

    /// In all containers together: many while it is in force, and fewer afterwards.
    fn counted(&self, events: &str) {
        let sum = |sample: &Sample| -> u64 {
            let counters = sample.counters.values();
            counters.filter_map(|of_node| of_node.get(events)).sum()
        };
        let grew = |from: &Sample, to: &Sample| sum(to).saturating_sub(sum(from));
        let last = self.looks().last().expect("a look meanwhile");
        let during = grew(self.last_before(), last);
        let until = self.next(|_| true);
        let all = self.day.seen.nodes.iter();
        let after: Vec<&Sample> = all
            .filter(|s| self.times.gone <= s.from && s.to < until)
            .collect();
        let after = match after[..] {
            [first, .., last] => grew(first, last),
            _ => 0,
        };
        println!("{:24} {events}: {during}, afterwards {after}", "");
        assert!(during >= COUNTED && during > after, "{during}, {after}");
    }

    /// What was seen of the links from or to nodes while the step was in force.
    fn links(&self) -> Vec<&Link> {
        let mut looks = self.day.seen.links.iter();
        let look = looks.find(|(from, to, _)| self.times.holds(*from, *to));
        let (_, _, links) = look.expect("a look at the links meanwhile");
        let links = links.iter();
        links
            .filter(|l| is_node(&l.from) || is_node(&l.to))
            .collect()
    }

    fn apart(&self, cut: fn(&str, &str) -> bool) {
        let both_ways = self.day.runtime == "process";
        let links = self.links();
        for link in &links {
            let there = cut(&link.from, &link.to);
            let cut = there || (both_ways && cut(&link.to, &link.from));
            assert_eq!(link.carries, !cut, "{link:?}");
        }
        assert!(links.iter().any(|l| !l.carries), "{links:?}");
    }

    fn majorities(&self) {
        let links = self.links();
        let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for link in links.iter().filter(|l| is_node(&l.from) && is_node(&l.to)) {
            let from = reached.entry(&link.from).or_insert([&*link.from].into());
            from.extend(link.carries.then_some(&*link.to));
        }
        let nodes = reached.len();
        let majority = nodes / 2 + 1;
        assert!(reached.values().all(|r| r.len() == majority), "{reached:?}");
        let different: BTreeSet<_> = reached.values().collect();
        assert_eq!(different.len(), nodes, "{reached:?}");
    }

    fn elected(&self) {
        let mut later = self.day.timeline.iter();
        let elected = later.any(|l| {
            let another =
                |kind: &str, detail: &str| kind == "leader" && detail.contains(", after ");
            l.time >= self.times.injected
                && matches!(&l.event, TimelineEvent::Cluster { kind, detail, .. }
                    if another(kind, detail))
        });
        assert!(elected, "nobody else was elected");
    }
}
