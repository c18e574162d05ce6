//! Gaps in what is done to links: noticed by the runtime, recorded here, told to the steps
//! concerned, which prove their fault again.

use super::Shared;
use super::prove::until;
use super::seams::Update;
use crate::runtime::{Gap, GapState};
use gameday_record::timeline::Proof;
use gameday_record::{TimelineEvent, Verdict};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How often the runtime is asked.
const LOOK: Duration = Duration::from_millis(200);
/// How long it may take until everything is put back.
const PUT_BACK: Duration = Duration::from_secs(20);

/// How long after it began a gap is noticed at the latest, unless the engine is slow.
const NOTICE: Duration = Duration::from_secs(2);
/// Bound of a proof, whatever happens meanwhile.
const PROVE: Duration = Duration::from_secs(60);

/// A gap, and whom it concerns.
#[derive(Clone, Debug)]
pub(super) struct Noticed {
    gap: Gap,
    injections: BTreeSet<u32>,
    at: Instant,
}

impl Noticed {
    /// What the runtime says of it now; one that takes too long counts as lost.
    fn update(&mut self, now: Gap, injections: impl IntoIterator<Item = u32>) {
        self.injections.extend(injections);
        self.gap = now;
        if self.gap.state == GapState::Open && self.at.elapsed() >= PUT_BACK {
            self.gap.state = GapState::Lost;
            let limit = PUT_BACK.as_secs();
            self.gap.text += &format!("; it was not brought back within {limit} s");
        }
    }
}

/// Records gaps and tells of them, until it is dropped.
pub(super) async fn watch(shared: &Shared) -> Infallible {
    loop {
        for (place, gap) in shared.scene.runtime.gaps().into_iter().enumerate() {
            let known = shared.gaps.borrow().get(place).cloned();
            let (mut noticed, is_new) = match known {
                Some(known) if known.gap.state != GapState::Open => continue,
                Some(known) => (known, false),
                None => {
                    let noticed = Noticed {
                        gap: gap.clone(),
                        injections: BTreeSet::new(),
                        at: Instant::now(),
                    };
                    (noticed, true)
                }
            };
            let concerned = shared.admission.held_at(&shared.scene, &gap.units);
            noticed.update(gap, concerned);
            if noticed.gap.state != GapState::Open {
                record(shared, &noticed).await;
            } else if !is_new {
                continue;
            }
            shared.gaps.send_modify(|all| match all.get_mut(place) {
                Some(known) => *known = noticed,
                None => all.push(noticed),
            });
        }
        sleep(LOOK).await;
    }
}

/// Tells of those that are still open at the end.
pub(super) async fn end(shared: &Shared) {
    let all = shared.gaps.borrow().clone();
    for mut noticed in all {
        if noticed.gap.state == GapState::Open {
            noticed.gap.text += "; it was not brought back to the end of the run";
            record(shared, &noticed).await;
        }
    }
}

async fn record(shared: &Shared, noticed: &Noticed) {
    let gap = &noticed.gap;
    let text = format!("a gap: {}", gap.text);
    shared.observer.observe(&Update::Note { text });
    let event = TimelineEvent::Gap {
        units: gap.units.clone(),
        since: shared.timeline.time_of(gap.since),
        injections: noticed.injections.iter().copied().collect(),
        text: gap.text.clone(),
    };
    shared.write(event).await;
}

/// The gaps of one injection, each of which is dealt with once.
pub(super) struct Gaps {
    id: u32,
    all: watch::Receiver<Vec<Noticed>>,
    dealt: BTreeSet<usize>,
}

impl Gaps {
    pub(super) fn of(shared: &Shared, id: u32) -> Self {
        Gaps {
            id,
            all: shared.gaps.subscribe(),
            dealt: BTreeSet::new(),
        }
    }

    /// Waits for one; its place.
    pub(super) async fn comes(&mut self) -> usize {
        let (id, dealt) = (self.id, &self.dealt);
        let next = |all: &[Noticed]| {
            let mut concerned = all.iter().enumerate();
            concerned
                .find(|(place, gap)| !dealt.contains(place) && gap.injections.contains(&id))
                .map(|(place, _)| place)
        };
        let found = match self.all.wait_for(|all| next(all).is_some()).await {
            Ok(all) => next(&all),
            Err(_) => None,
        };
        match found {
            Some(place) => {
                self.dealt.insert(place);
                place
            }
            // The run is over: there will be none.
            None => std::future::pending().await,
        }
    }

    /// Looks until a verdict is `settled` or `limit` has passed, and again after each gap that is
    /// noticed meanwhile: what is seen in one says nothing.
    pub(super) async fn prove<F: Future<Output = Proof>>(
        &mut self,
        limit: Duration,
        settled: impl Fn(Verdict) -> bool + Copy,
        look: impl Fn() -> F,
    ) -> Proof {
        let proof = timeout(PROVE, async {
            loop {
                let proof = match self.all_put_back().await {
                    Ok(()) => until(limit, settled, &look).await,
                    Err(why) => return unknown(why),
                };
                let wait = match proof.verdict {
                    Verdict::Pass => Duration::ZERO,
                    Verdict::Fail | Verdict::Unknown => NOTICE,
                };
                match timeout(wait, self.comes()).await {
                    Err(_) => return proof,
                    Ok(gap) => {
                        if let Err(why) = self.put_back(gap).await {
                            return unknown(why);
                        }
                    }
                }
            }
        });
        proof.await.unwrap_or_else(|_| {
            let limit = PROVE.as_secs();
            unknown(format!("gap followed gap for {limit} s"))
        })
    }

    /// The same after this gap.
    pub(super) async fn prove_after<F: Future<Output = Proof>>(
        &mut self,
        gap: usize,
        limit: Duration,
        settled: impl Fn(Verdict) -> bool + Copy,
        look: impl Fn() -> F,
    ) -> Proof {
        match self.put_back(gap).await {
            Ok(()) => self.prove(limit, settled, look).await,
            Err(why) => unknown(why),
        }
    }

    /// Adds to a proof that could not be had which gap is still open, if one is.
    pub(super) fn explain(&self, proof: &mut Proof) {
        if proof.verdict == Verdict::Unknown {
            let all = self.all.borrow();
            let open = all.iter().filter(|noticed| {
                noticed.gap.state == GapState::Open && noticed.injections.contains(&self.id)
            });
            let texts = open.map(|noticed| format!("a gap is open: {}", noticed.gap.text));
            proof.evidence.extend(texts);
        }
    }

    /// Waits for what has been noticed so far.
    async fn all_put_back(&mut self) -> Result<(), String> {
        while let Ok(gap) = timeout(Duration::ZERO, self.comes()).await {
            self.put_back(gap).await?;
        }
        Ok(())
    }

    /// Waits until what is at this place is put back.
    ///
    /// # Errors
    /// It is lost; what happened.
    async fn put_back(&mut self, place: usize) -> Result<(), String> {
        let is_over = |all: &Vec<Noticed>| {
            let gap = all.get(place).map(|noticed| &noticed.gap);
            gap.is_none_or(|gap| gap.state != GapState::Open)
        };
        let lost = match self.all.wait_for(is_over).await {
            Ok(all) => all
                .get(place)
                .filter(|noticed| noticed.gap.state == GapState::Lost)
                .map(|noticed| noticed.gap.text.clone()),
            Err(_) => Some("the run ended meanwhile".into()),
        };
        lost.map_or(Ok(()), Err)
    }
}

fn unknown(why: String) -> Proof {
    Proof {
        verdict: Verdict::Unknown,
        evidence: vec![why],
    }
}
