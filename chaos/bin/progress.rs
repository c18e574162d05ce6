//! How far a canary has come, as its stream tells: what whoever drives it waits for.

use gameday_canary::protocol::{FinalReads, Notice, Totals};

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// It waits for its start.
    pub ready: bool,
    /// Result of the final reads.
    pub last: Option<FinalReads>,
    /// It has ended in an orderly way.
    pub done: Option<Totals>,
    /// Its stream has ended, and why if that was not orderly.
    pub ended: Option<Result<(), String>>,
}

impl Progress {
    /// What it says of itself.
    pub fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Ready => self.ready = true,
            Notice::Health(_) => {}
            Notice::Final(last) => self.last = Some(last),
            Notice::Done(done) => self.done = Some(done),
        }
    }

    /// Its stream has ended, because of an error if there is one; `name`: whose it is.
    pub fn end(&mut self, name: &str, read: Result<(), String>) -> Result<(), String> {
        let ended = match read {
            Ok(()) if self.done.is_none() => Err(format!("{name} ended before it was told to")),
            read => read,
        };
        self.ended = Some(ended.clone());
        ended
    }
}
