//! What befalls a game day, one thing or two, and what was promised then.

use super::Dice;

/// One thing that befalls a game day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// `kill -9` of the runner.
    KillRunner,
    /// `kill -9` of whoever watches over it.
    KillWatchdog,
    /// Nobody reads any more what it says.
    CloseOutput,
    /// Its terminal goes away: a hangup, and nothing that can be written to.
    CloseTerminal,
    /// The disk of the run folder is full.
    FillDisk,
    /// SIGHUP.
    HangUp,
    /// SIGTERM.
    Terminate,
}

impl Blow {
    const ALL: [Blow; 7] = [
        Blow::KillRunner,
        Blow::KillWatchdog,
        Blow::CloseOutput,
        Blow::CloseTerminal,
        Blow::FillDisk,
        Blow::HangUp,
        Blow::Terminate,
    ];

    /// The exit code after a signal.
    fn interrupts(self) -> Option<i32> {
        match self {
            Blow::CloseTerminal | Blow::HangUp => Some(129),
            Blow::Terminate => Some(143),
            _ => None,
        }
    }
}

/// What befalls one game day: a first thing, and perhaps another one so many milliseconds later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blows {
    pub first: Blow,
    pub then: Option<(u64, Blow)>,
}

impl Blows {
    /// `disks`: whether disks can be filled here.
    pub fn drawn(dice: &mut Dice, disks: bool) -> Blows {
        let mut draw = || loop {
            let blow = Blow::ALL[dice.below(Blow::ALL.len() as u64) as usize];
            if blow != Blow::FillDisk || disks {
                return blow;
            }
        };
        let (first, then) = (draw(), draw());
        // Half of them alone; who is hit twice by the same is hit once.
        if dice.below(2) == 0 || first == then {
            return Blows { first, then: None };
        }
        // A third of them at one moment.
        let after = dice.below(600).saturating_sub(200);
        let then = Some((after, then));
        Blows { first, then }
    }

    pub fn all(self) -> impl Iterator<Item = Blow> {
        [Some(self.first), self.then.map(|(_, blow)| blow)]
            .into_iter()
            .flatten()
    }

    pub fn has(self, blow: Blow) -> bool {
        self.all().any(|b| b == blow)
    }

    /// Runner and watchdog die at one moment, so that nobody starts another watchdog.
    pub fn both_at_once(self) -> bool {
        self.has(Blow::KillRunner)
            && self.has(Blow::KillWatchdog)
            && self.then.is_some_and(|(after, _)| after == 0)
    }

    /// Whether a watchdog outlives the runner: one that died before was replaced.
    pub fn watchdog_lives(self) -> bool {
        let later = self.first == Blow::KillRunner && self.has(Blow::KillWatchdog);
        !(later || self.both_at_once())
    }

    /// Whether a run that is hit in the middle cannot be carried through.
    pub fn end_it(self) -> bool {
        self.all()
            .any(|b| b == Blow::FillDisk || b.interrupts().is_some())
    }

    /// Exit codes that are promised, of a run that `ended` as interrupted or not. One that nothing
    /// ended is a pass; or inconclusive, on a busy machine.
    pub fn promised(self, interrupted: bool) -> Vec<i32> {
        match interrupted {
            true => self.all().filter_map(Blow::interrupts).collect(),
            false => vec![0, 2],
        }
    }
}
