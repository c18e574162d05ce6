//! The plan: what a playbook means on a topology with a seed.
//!
//! Planning touches nothing, chooses everything that can be chosen before the
//! run, and refuses what cannot work: targets that do not exist, faults that
//! exclude each other, and more than a minority of replicas hurt at once. The
//! same playbook, seed and topology give the same plan, to the byte.

mod draw;
mod feasible;
mod overlap;
mod planned;
mod proof;
mod schedule;
mod target;

pub use feasible::unreadable;
pub use planned::{Origin, PlannedStart, PlannedStep, PlannedTarget};
pub use schedule::REVERT_ALLOWANCE;
pub(crate) use target::{Leaders, resolve_all, stream};

use crate::abilities::Abilities;
use crate::faults::OVERTIME;
use crate::playbook::values::show;
use crate::playbook::{Baseline, Diagnostic, Playbook, Random, Start, Step};
use crate::quorum;
use gameday_record::Topology;
use rand_chacha::rand_core::Rng;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// The stream that `[random]` is drawn from; the targets of what is drawn have
/// the streams after it.
const DRAWING: u64 = 1 << 48;
/// Sets the streams of what faults choose by themselves apart from those of targets.
const CHOOSING: u64 = 1 << 49;

/// What will be done, when, to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Title of the playbook.
    pub title: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// The nodes it was made for.
    pub topology: Topology,
    /// The baseline phase.
    pub baseline: Baseline,
    /// What is broken, in the order of the playbook.
    pub steps: Vec<PlannedStep>,
    /// Length of the cooldown phase.
    pub cooldown: Duration,
    /// Whether more than a minority of a quorum may be hurt.
    pub allow_quorum_loss: bool,
}

/// Plans a playbook.
///
/// # Errors
/// Every reason why it cannot work on this topology, with its place.
pub fn plan(playbook: &Playbook, seed: u64, topology: &Topology) -> Result<Plan, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut planned = Planned::default();
    // Where the last time of each step of the playbook is among the planned ones.
    let mut last_of = Vec::new();
    let mut count = 0;
    for step in &playbook.steps {
        count += step.times as usize;
        last_of.push(count - 1);
    }
    for (i, step) in playbook.steps.iter().enumerate() {
        for time in 0..step.times {
            let start = match &step.start {
                Start::At(at) => PlannedStart::At(*at + step.every * time),
                Start::After(..) if time > 0 => PlannedStart::After(
                    last_of[i] + time as usize - step.times as usize,
                    step.every - step.hold,
                ),
                Start::After(name, delay) => {
                    let of = playbook.steps.iter().position(|s| s.name == *name);
                    let of = of.expect("the parser checked that 'after' names a step");
                    PlannedStart::After(last_of[of], *delay)
                }
            };
            let mut name = step.name.clone();
            if step.times > 1 {
                name.push_str(&format!(" ({} of {})", time + 1, step.times));
            }
            let one = Fixed {
                name,
                start,
                hold: step.hold,
                stream: i as u64 + (u64::from(time) << 32),
                origin: Origin::Step(i),
            };
            planned.add(playbook, step, one, seed, topology, &mut problems);
        }
    }
    if let Some(random) = &playbook.random
        && problems.is_empty()
    {
        draw_all(
            playbook,
            random,
            seed,
            topology,
            &mut planned,
            &mut problems,
        );
    }
    if !playbook.allow_data_loss {
        let mut told = BTreeSet::new();
        for (step, span) in planned.steps.iter().zip(&planned.spans) {
            if step.fault.damages_data() && told.insert(span.start) {
                let message = format!(
                    "'{}' destroys what nodes have stored, and that cannot be undone",
                    step.fault.name()
                );
                problems.push(
                    Diagnostic::at(&playbook.source, span.clone(), message).help(
                        "if that is what the playbook is about, write allow_data_loss = true in \
                         [playbook]",
                    ),
                );
            }
        }
    }
    let mut told = BTreeSet::new();
    for (step, span) in planned.steps.iter().zip(&planned.spans) {
        if let Err((why, help)) = proof::check(step, topology)
            && told.insert(span.start)
        {
            let message = format!("'{}' could not be proven in its time: {why}", step.name);
            problems.push(Diagnostic::at(&playbook.source, span.clone(), message).help(help));
        }
    }
    // With a step missing, indices would lie.
    if problems.is_empty() {
        // Of a step that is repeated or drawn again, one problem is enough.
        let mut told = BTreeSet::new();
        for (i, message, help) in
            overlap::check(&planned.steps, topology, playbook.allow_quorum_loss)
        {
            let span = planned.spans[i].clone();
            if told.insert(span.start) {
                problems.push(Diagnostic::at(&playbook.source, span, message).help(help));
            }
        }
    }
    let steps = planned.steps;
    let touched = steps.iter().flat_map(|s| match &s.target {
        PlannedTarget::Nodes(sides) => {
            quorum::azs(&s.fault.touched(&s.params, sides, topology), topology)
        }
        PlannedTarget::Later { .. } => BTreeSet::new(),
    });
    problems.extend(playbook.measuring.misplaced(
        &topology.azs,
        &touched.collect(),
        &playbook.source,
    ));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Plan {
        title: playbook.title.clone(),
        seed,
        topology: topology.clone(),
        baseline: playbook.baseline,
        steps,
        cooldown: playbook.cooldown,
        allow_quorum_loss: playbook.allow_quorum_loss,
    })
}

/// The steps so far, and where each stands in the text.
#[derive(Default)]
struct Planned {
    steps: Vec<PlannedStep>,
    spans: Vec<Range<usize>>,
}

/// What is settled about a step before its target is.
struct Fixed {
    name: String,
    start: PlannedStart,
    hold: Duration,
    stream: u64,
    origin: Origin,
}

impl Planned {
    /// Resolves the target and adds the step; or says what is wrong, once.
    fn add(
        &mut self,
        playbook: &Playbook,
        step: &Step,
        one: Fixed,
        seed: u64,
        topology: &Topology,
        problems: &mut Vec<Diagnostic>,
    ) {
        match target::plan(
            step,
            &playbook.groups,
            &mut stream(seed, one.stream),
            topology,
        ) {
            Ok(target) => {
                self.spans.push(step.span.clone());
                self.steps.push(PlannedStep {
                    name: one.name,
                    fault: step.fault,
                    params: step
                        .params
                        .clone()
                        .drawn(stream(seed ^ CHOOSING, one.stream).next_u64()),
                    selector: step.selector(),
                    target,
                    start: one.start,
                    hold: one.hold,
                    until: step.until.clone(),
                    stream: one.stream,
                    origin: one.origin,
                });
            }
            Err(why) => {
                let mut d = step.wrong_target(&playbook.source, why.message);
                d.help = why.help;
                if !problems.contains(&d) {
                    problems.push(d);
                }
            }
        }
    }
}

/// Draws `[random]` and adds it, each after the one before.
fn draw_all(
    playbook: &Playbook,
    random: &Random,
    seed: u64,
    topology: &Topology,
    planned: &mut Planned,
    problems: &mut Vec<Diagnostic>,
) {
    // Also what is not drawn this time must be possible.
    for of in &random.faults {
        let mut rng = stream(seed, DRAWING);
        if let Err(why) = target::plan(&of.step, &playbook.groups, &mut rng, topology) {
            let mut d = of.step.wrong_target(&playbook.source, why.message);
            d.help = why.help;
            problems.push(d);
        }
    }
    let nodes = topology.nodes.len();
    let drawn = draw::draw(random, nodes, &mut stream(seed, DRAWING));
    let wrong = match drawn.len() {
        0 => Some(format!(
            "{} are too short for a pause, the fault that was drawn and its revert",
            show(random.lasting)
        )),
        n if n > draw::MOST => Some(format!(
            "more than {} faults would be drawn: lengthen pauses or holds",
            draw::MOST
        )),
        _ => None,
    };
    if let Some(why) = wrong {
        problems.push(random.wrong(&playbook.source, why));
    }
    if !problems.is_empty() {
        return;
    }
    for (number, one) in drawn.into_iter().enumerate() {
        let start = match number {
            0 => PlannedStart::At(one.pause),
            _ => PlannedStart::After(planned.steps.len() - 1, one.pause),
        };
        let fixed = Fixed {
            name: format!("random {}: {}", number + 1, one.of.step.name),
            start,
            hold: one.hold,
            stream: DRAWING + 1 + number as u64,
            origin: Origin::Drawn(one.index),
        };
        planned.add(playbook, &one.of.step, fixed, seed, topology, problems);
        if !problems.is_empty() {
            return;
        }
    }
}

impl Plan {
    /// The least time from the start of the baseline to the end of the
    /// cooldown: proofs and reverts taken as instant.
    pub fn least_duration(&self) -> Duration {
        self.baseline.lasts + self.least_steps() + self.cooldown
    }

    /// The least time of the steps phase.
    pub fn least_steps(&self) -> Duration {
        schedule::Schedule::of(&self.steps)
            .windows()
            .iter()
            .zip(&self.steps)
            .map(|(w, s)| w.first + schedule::lasts(s).0)
            .max()
            .unwrap_or_default()
    }

    /// One line per phase and step, with times from the start of the baseline.
    pub fn lines(&self) -> Vec<String> {
        self.lines_with(|_| None)
    }

    /// The same, and by what technique each fault is made in this place.
    pub fn lines_in(&self, place: &Abilities) -> Vec<String> {
        self.lines_with(|step| {
            let by = place.of(step.fault, &step.params).ok()?;
            Some(format!("{} by {}", place.runtime, by.join(" and ")))
        })
    }

    fn lines_with(&self, how: impl Fn(&PlannedStep) -> Option<String>) -> Vec<String> {
        let began = |d: Duration| format!("+{}", show(self.baseline.lasts + d));
        let mut out = vec![format!(
            "{:<9} {}: the healthy cluster is measured; if it is not healthy within {}, nothing is injected",
            "+0s",
            label("baseline", self.baseline.lasts),
            show(self.baseline.within)
        )];
        for step in &self.steps {
            let (at, note) = match step.start {
                PlannedStart::At(at) => (began(at), String::new()),
                PlannedStart::After(i, delay) => {
                    let when = match delay {
                        Duration::ZERO => "once".to_string(),
                        delay => format!("{} after", show(delay)),
                    };
                    let name = &self.steps[i].name;
                    ("then".to_string(), format!(", {when} '{name}' is reverted"))
                }
            };
            let note = match &step.until {
                Some(until) => format!("{note}, until {until}"),
                None => note,
            };
            let target = match &step.target {
                PlannedTarget::Nodes(sides) => show_sides(sides),
                PlannedTarget::Later { .. } => "whoever that is then".to_string(),
            };
            out.push(format!(
                "{at:<9} {}: {} {} → {target}{note}",
                label(&step.name, step.hold),
                step.fault.name(),
                step.selector,
            ));
            if let Some(how) = how(step) {
                out.push(format!("{:<9} made in {how}", ""));
            }
            if let Some(looking) = proof::takes(step, &self.topology) {
                let looking = show(Duration::from_millis(looking.as_millis() as u64));
                out.push(format!("{:<9} each proof measures for {looking}", ""));
            }
            let PlannedTarget::Nodes(sides) = &step.target else {
                continue;
            };
            let touched = step.fault.touched(&step.params, sides, &self.topology);
            let azs: BTreeSet<&str> = quorum::azs(&touched, &self.topology);
            out.push(format!(
                "{:<9} undo: {} (AZ {})",
                "",
                step.fault.build(&step.params, sides).undo(),
                azs.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
        out.push(format!(
            "{:<9} a fault that is not proven {} after its hold is reverted and counts as unknown",
            "",
            show(OVERTIME)
        ));
        out.push(format!(
            "{:<9} {}: everything is reverted; recovery is measured",
            "then",
            label("cooldown", self.cooldown)
        ));
        out
    }
}

fn show_sides(sides: &[Vec<String>]) -> String {
    let all: Vec<String> = sides.iter().map(|nodes| nodes.join(", ")).collect();
    all.join(" | ")
}

fn label(name: &str, d: Duration) -> String {
    format!("{name} for {}", show(d))
}
