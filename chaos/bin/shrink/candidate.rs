//! A playbook of some of a run's injections: the same cluster, workload,
//! promises and seed, and steps on the very nodes that were hurt. Which bytes a
//! fault damages in a node's files is drawn by a step's place in its playbook,
//! so it is not the same in a part.

use gameday_chaos::plan::{Origin, Plan, PlannedStart, PlannedTarget};
use gameday_chaos::playbook::values::show;
use gameday_record::{TimelineEvent, TimelineLine};
use std::collections::BTreeMap;
use std::time::Duration;
use toml::{Table, Value};

/// Longest name of a step.
const NAME: usize = 80;

/// One injection of the run that is shrunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Hurt {
    /// Index in the run's plan.
    pub step: usize,
    /// The nodes, as they were resolved.
    pub targets: Vec<String>,
}

/// The injections that the timeline records, in the order in which they began.
///
/// # Errors
/// One that is not in the plan.
pub fn injected(plan: &Plan, timeline: &[TimelineLine]) -> Result<Vec<Hurt>, String> {
    let index: BTreeMap<&str, usize> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(i, s)| (s.name.as_str(), i))
        .collect();
    let mut all = Vec::new();
    for line in timeline {
        if let TimelineEvent::Intent { injection } = &line.event {
            let step = index.get(injection.step.as_str());
            all.push(Hurt {
                step: *step.ok_or_else(|| format!("'{}' is not in its plan", injection.step))?,
                targets: injection.targets.clone(),
            });
        }
    }
    Ok(all)
}

/// The playbook that injects `these` and nothing else.
///
/// # Errors
/// The text is not the one that the plan was made of.
pub fn playbook(text: &str, plan: &Plan, these: &[&Hurt]) -> Result<String, String> {
    let mut book: Table = toml::from_str(text).map_err(|e| e.to_string())?;
    let steps = take(&mut book, "step");
    let drawn = match book.remove("random") {
        Some(Value::Table(mut random)) => take(&mut random, "fault"),
        _ => Vec::new(),
    };
    if let Some(head) = book.get_mut("playbook").and_then(Value::as_table_mut) {
        // One that TOML cannot hold is still in the command.
        if let Ok(seed) = i64::try_from(plan.seed) {
            head.insert("seed".into(), Value::Integer(seed));
        }
    }
    let mut made = Vec::new();
    for hurt in these {
        let origin = match plan.steps[hurt.step].origin {
            Origin::Step(i) => steps.get(i),
            Origin::Drawn(i) => drawn.get(i),
        };
        let origin = origin.ok_or("a step of the plan is not in its playbook")?;
        made.push(Value::Table(step(origin.clone(), plan, these, hurt)));
    }
    book.insert("step".into(), Value::Array(made));
    toml::to_string(&book).map_err(|e| e.to_string())
}

/// The tables of a list.
fn take(table: &mut Table, key: &str) -> Vec<Table> {
    match table.remove(key) {
        Some(Value::Array(all)) => all
            .into_iter()
            .filter_map(|v| match v {
                Value::Table(t) => Some(t),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// What a step says of its fault stays; when, for how long and on whom is settled.
fn step(mut origin: Table, plan: &Plan, these: &[&Hurt], hurt: &Hurt) -> Table {
    let planned = &plan.steps[hurt.step];
    for settled in ["weight", "at", "after", "delay", "times", "every"] {
        origin.remove(settled);
    }
    origin.insert("name".into(), Value::String(name(plan, hurt.step)));
    origin.insert("for".into(), Value::String(show(planned.hold)));
    let (key, when, delay) = match start(plan, these, hurt.step) {
        (Some(before), delay) => ("after", name(plan, before), Some(delay)),
        (None, at) => ("at", show(at), None),
    };
    origin.insert(key.into(), Value::String(when));
    if let Some(delay) = delay {
        origin.insert("delay".into(), Value::String(show(delay)));
    }
    match &planned.target {
        PlannedTarget::Nodes(sides) if origin.contains_key("groups") => {
            let groups = sides.iter().map(|side| nodes(side)).collect();
            origin.insert("groups".into(), Value::Array(groups));
        }
        PlannedTarget::Nodes(sides) => {
            let (targets, others) = match &sides[..] {
                [targets, others] if origin.contains_key("to") => (targets.clone(), Some(others)),
                _ => (sides.concat(), None),
            };
            origin.insert("target".into(), nodes(&targets));
            if let Some(others) = others {
                origin.insert("to".into(), nodes(others));
            }
            // Which minority was the seed's choice; it is made.
            if planned.fault.name() == "majority" {
                origin.insert("fault".into(), Value::String("isolate".into()));
            }
        }
        // Several sides that depend on who leads stay as they were named.
        PlannedTarget::Later { sides, .. } if sides.len() > 1 => {}
        PlannedTarget::Later { .. } => {
            origin.insert("target".into(), nodes(&hurt.targets));
        }
    }
    origin
}

fn nodes(names: &[String]) -> Value {
    let node = |name: &String| {
        let name = Value::String(name.clone());
        Value::Table(Table::from_iter([("node".to_string(), name)]))
    };
    Value::Array(names.iter().map(node).collect())
}

/// Its name in the plan, unless that is too long to be written down.
fn name(plan: &Plan, index: usize) -> String {
    let name = &plan.steps[index].name;
    if name.chars().count() <= NAME {
        name.clone()
    } else {
        format!("step {} of the plan", index + 1)
    }
}

/// After which of `these` a step begins and how long after, or when. One that came after a step
/// that is left out comes after what that one came after.
fn start(plan: &Plan, these: &[&Hurt], index: usize) -> (Option<usize>, Duration) {
    let PlannedStart::After(mut before, delay) = plan.steps[index].start else {
        let PlannedStart::At(at) = plan.steps[index].start else {
            return (None, Duration::ZERO);
        };
        return (None, at);
    };
    loop {
        if these.iter().any(|h| h.step == before) {
            return (Some(before), delay);
        }
        match plan.steps[before].start {
            PlannedStart::After(earlier, _) => before = earlier,
            // It would have begun no sooner.
            PlannedStart::At(at) => return (None, at + delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_chaos::plan::plan;
    use gameday_chaos::playbook::Playbook;
    use gameday_record::ClusterSpec;

    const NIGHT: &str = "[playbook]\ntitle = \"t\"\n[workload]\nkeys = 7\n[random]\nfor = \"120s\"\n\
        pause = \"2s\"\n[[random.fault]]\nfault = \"kill\"\ntarget = { role = \"storage\", random = 1 }\n\
        for = [\"2s\", \"5s\"]\n[[random.fault]]\nweight = 3\nfault = \"one-way\"\ndirection = \"in\"\n\
        target = { az = \"b\" }\nfor = \"3s\"\n[[random.fault]]\nfault = \"majority\"\nfor = \"3s\"\n";

    fn planned(text: &str, seed: u64) -> Plan {
        let book = Playbook::parse("p.toml", text).unwrap();
        let topology = crate::system::store::layout::topology(&ClusterSpec::default());
        plan(&book, seed, &topology).unwrap()
    }

    fn all(plan: &Plan) -> Vec<Hurt> {
        let hurt = |(step, s): (usize, &gameday_chaos::plan::PlannedStep)| Hurt {
            step,
            targets: match &s.target {
                PlannedTarget::Nodes(sides) => sides.concat(),
                PlannedTarget::Later { .. } => vec!["storage-b1".into()],
            },
        };
        plan.steps.iter().enumerate().map(hurt).collect()
    }

    #[test]
    fn a_part_of_a_night_is_a_playbook_that_does_the_same_to_the_same() {
        let night = planned(NIGHT, 5);
        let all = all(&night);
        assert!(all.len() >= 6, "{}", all.len());
        let these = [&all[1], &all[2], &all[5]];
        let text = playbook(NIGHT, &night, &these).unwrap();
        // Whatever the seed, nothing is left to choose.
        for seed in [5, 6] {
            let part = planned(&text, seed);
            assert_eq!(part.steps.len(), 3, "{text}");
            for (made, was) in part.steps.iter().zip(these) {
                let was = &night.steps[was.step];
                assert_eq!(made.name, was.name);
                let mut params = was.params.clone();
                params.resources.seed = made.params.resources.seed;
                assert_eq!((made.hold, &made.params), (was.hold, &params));
                let PlannedTarget::Nodes(sides) = &made.target else {
                    panic!("{made:?}");
                };
                let PlannedTarget::Nodes(before) = &was.target else {
                    panic!("{was:?}");
                };
                assert_eq!(sides.concat(), before.concat());
            }
            assert_eq!(
                part.steps[1].start,
                PlannedStart::After(0, Duration::from_secs(2))
            );
            assert_eq!(
                part.steps[2].start,
                PlannedStart::After(1, Duration::from_secs(2))
            );
            assert!(matches!(part.steps[0].start, PlannedStart::At(_)));
        }
        let book = Playbook::parse("p.toml", &text).unwrap();
        assert_eq!(book.measuring.workload.keys, 7);
        assert_eq!(book.seed, Some(5));
        assert_eq!(book.random, None);
    }

    #[test]
    fn both_sides_of_a_step_stay_two() {
        let text = "[playbook]\ntitle = \"t\"\n[[step]]\nname = \"x\"\nfault = \"isolate\"\n\
            target = { role = \"storage\", random = 1 }\nto = { role = \"router\" }\n\
            at = \"1s\"\nfor = \"3s\"\n";
        let whole = planned(text, 1);
        let text = playbook(text, &whole, &[&all(&whole)[0]]).unwrap();
        assert_eq!(planned(&text, 2).steps[0].target, whole.steps[0].target);
    }

    #[test]
    fn who_led_is_named() {
        let text = "[playbook]\ntitle = \"t\"\n[[step]]\nname = \"x\"\nfault = \"pause\"\n\
            target = { leader = \"canary/0\" }\nat = \"1s\"\nfor = \"3s\"\ntimes = 2\nevery = \"20s\"\n";
        let whole = planned(text, 1);
        let all = all(&whole);
        let text = playbook(text, &whole, &[&all[1]]).unwrap();
        let part = planned(&text, 1);
        assert_eq!(part.steps.len(), 1);
        let only = PlannedTarget::Nodes(vec![vec!["storage-b1".into()]]);
        assert_eq!(part.steps[0].target, only);
        assert_eq!(
            part.steps[0].start,
            PlannedStart::At(Duration::from_secs(21))
        );
    }
}
