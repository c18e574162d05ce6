//! `gameday shrink RUN`: the smallest list of a failed run's injections that
//! still fails, found by running parts of it again.

mod candidate;
mod ddmin;
mod trial;

use crate::cli::ShrinkArgs;
use crate::exit::Exit;
use crate::identity;
use crate::stop::Stop;
use candidate::Hurt;
use ddmin::{Outcome, Search};
use gameday_chaos::plan::{Plan, plan};
use gameday_chaos::playbook::{Playbook, diagnostic, values};
use gameday_record::folder::write_file;
use gameday_record::{RunFolder, RunInfo};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trial::{Signature, Trial, Tried};

/// The run to shrink, as its folder tells it.
struct Failed {
    info: RunInfo,
    plan: Plan,
    hurt: Vec<Hurt>,
    signature: Signature,
}

/// Shrinks.
pub async fn main(args: ShrinkArgs) -> Exit {
    let failed = match Failed::read(&args.run) {
        Ok(failed) => failed,
        Err(why) => {
            warn!("{}: {why}", args.run.display());
            return Exit::Usage;
        }
    };
    let said = (
        "\ninterrupted: the run under way is ended and reverted",
        "still reverting; it ends by itself",
    );
    let (folder, stop) = match (make_folder(&args.run), Stop::install_saying(said)) {
        (Ok(folder), Ok(stop)) => (folder, stop),
        (Err(why), _) => {
            warn!("{why}");
            return Exit::Usage;
        }
        (_, Err(e)) => {
            warn!("signals cannot be handled: {e}");
            return Exit::Internal;
        }
    };
    say!(
        "{} injections; a part fails if {}",
        failed.hurt.len(),
        failed.signature
    );
    say!(
        "each part is run up to {} times, all of them for at most {}; the runs are in {}",
        args.runs,
        values::show(args.budget),
        folder.display()
    );
    let trial = Trial {
        runtime: failed.info.runtime.clone(),
        seed: failed.info.seed,
        options: without_duration(&failed.info.replay.options),
        signature: failed.signature.clone(),
        runs: args.runs,
        until: Instant::now() + args.budget,
        stop,
    };
    let mut work = Work {
        failed: &failed,
        trial,
        folder,
        number: 0,
    };
    match work.shrink().await {
        Ok(exit) => exit,
        Err(why) => {
            warn!("{why}");
            Exit::Internal
        }
    }
}

impl Failed {
    fn read(path: &Path) -> Result<Self, String> {
        let folder = RunFolder::at(path);
        let info = folder.read_run()?;
        let signature = Signature::of(&folder)?;
        let parsed = Playbook::parse(&info.playbook, &info.playbook_text);
        let mut playbook = parsed.map_err(|all| diagnostic::render(&all))?;
        if let Some(random) = &mut playbook.random
            && let Some(lasting) = duration(&info.replay.options)?
        {
            random.lasting = lasting;
        }
        let plan =
            plan(&playbook, info.seed, &info.topology).map_err(|all| diagnostic::render(&all))?;
        let hurt = candidate::injected(&plan, &folder.read_timeline()?)?;
        if hurt.is_empty() {
            return Err("nothing was injected: there is nothing to leave out".into());
        }
        Ok(Failed {
            info,
            plan,
            hurt,
            signature,
        })
    }

    fn these(&self, part: &[usize]) -> Vec<&Hurt> {
        part.iter().map(|i| &self.hurt[*i]).collect()
    }

    /// A line for each injection of a part.
    fn lines(&self, part: &[usize]) -> Vec<String> {
        let line = |hurt: &Hurt| {
            let step = &self.plan.steps[hurt.step];
            format!(
                "  {} on {} for {}",
                step.fault.name(),
                hurt.targets.join(", "),
                values::show(step.hold)
            )
        };
        self.these(part).into_iter().map(line).collect()
    }
}

/// How long `[random]` was drawn, if it was said on the command line.
fn duration(options: &[String]) -> Result<Option<Duration>, String> {
    let mut words = options.iter().skip_while(|w| *w != "--duration").skip(1);
    words.next().map(|w| values::duration(w)).transpose()
}

/// The options of a playbook whose steps are settled.
fn without_duration(options: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if word == "--duration" {
            words.next();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}

/// `RUN/shrink`, or the first of `RUN/shrink-2` and so on that is not there.
fn make_folder(run: &Path) -> Result<PathBuf, String> {
    for number in 1..1000 {
        let name = match number {
            1 => "shrink".to_string(),
            n => format!("shrink-{n}"),
        };
        let path = run.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(format!("{}: {e}", path.display())),
        }
    }
    Err(format!("{} was shrunk too often", run.display()))
}

struct Work<'a> {
    failed: &'a Failed,
    trial: Trial,
    folder: PathBuf,
    number: u32,
}

impl Work<'_> {
    async fn shrink(&mut self) -> Result<Exit, String> {
        let all: Vec<usize> = (0..self.failed.hurt.len()).collect();
        let whole = self.run(&all).await?;
        match whole.outcome {
            Outcome::Fails => {}
            _ if whole.cut_short => return Ok(self.unfinished(&all, false)),
            _ => {
                say!("the whole list does not fail again: it cannot be shrunk");
                return Ok(Exit::Inconclusive);
            }
        }
        let mut search = Search::new(all.len());
        while let Some(part) = search.next() {
            let tried = self.run(&part).await?;
            if tried.cut_short && tried.outcome != Outcome::Fails {
                self.write(search.smallest())?;
                return Ok(self.unfinished(search.smallest(), true));
            }
            search.tell(tried.outcome);
        }
        let smallest = search.smallest().to_vec();
        self.write(&smallest)?;
        say!(
            "SMALLEST  {} of {} injections; without any one of them it did not fail",
            smallest.len(),
            all.len()
        );
        self.say(&smallest);
        Ok(Exit::Pass)
    }

    /// What there is when time is up or a signal came.
    fn unfinished(&self, smallest: &[usize], fails: bool) -> Exit {
        let why = match self.trial.stop.signal() {
            Some(_) => "interrupted",
            None => "the budget is spent",
        };
        if fails {
            say!(
                "UNFINISHED  {why}; the smallest list so far has {} of {} injections",
                smallest.len(),
                self.failed.hurt.len()
            );
            self.say(smallest);
        } else {
            say!("UNFINISHED  {why} before the whole list was seen to fail again");
        }
        match self.trial.stop.signal() {
            Some(signal) => Exit::Code(u8::try_from(128 + signal).unwrap_or(130)),
            None => Exit::Inconclusive,
        }
    }

    /// Runs a part of the list, and tells.
    async fn run(&mut self, part: &[usize]) -> Result<Tried, String> {
        self.number += 1;
        let book = self.folder.join(format!("{:03}.toml", self.number));
        self.write_to(part, &book)?;
        let began = Instant::now();
        let tried = self.trial.run(&book).await?;
        say!(
            "{:>3}: {} of {} injections: {tried}, {} s",
            self.number,
            part.len(),
            self.failed.hurt.len(),
            began.elapsed().as_secs()
        );
        Ok(tried)
    }

    fn minimal(&self) -> PathBuf {
        self.folder.join("minimal.toml")
    }

    fn write(&self, part: &[usize]) -> Result<(), String> {
        self.write_to(part, &self.minimal())
    }

    fn write_to(&self, part: &[usize], path: &Path) -> Result<(), String> {
        let these = self.failed.these(part);
        let text = candidate::playbook(&self.failed.info.playbook_text, &self.failed.plan, &these)?;
        write_file(path, text.as_bytes())
    }

    fn say(&self, part: &[usize]) {
        for line in self.failed.lines(part) {
            say!("{line}");
        }
        let (path, t) = (self.minimal().display().to_string(), &self.trial);
        let replay = identity::replay(&path, t.seed, &t.runtime, &t.options);
        say!("  replay  {}", replay.command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_duration_is_known_and_not_passed_on() {
        let options =
            ["--subnet", "10.0.0.0/8", "--duration", "2m", "--bug", "x"].map(String::from);
        assert_eq!(duration(&options).unwrap(), Some(Duration::from_secs(120)));
        assert_eq!(
            without_duration(&options),
            ["--subnet", "10.0.0.0/8", "--bug", "x"]
        );
        assert_eq!(duration(&options[..2]).unwrap(), None);
    }
}
