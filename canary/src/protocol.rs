//! What a canary and its runner say to each other: JSON lines.
//!
//! To the canary, on its standard input, one [`Command`] a line:
//!
//! ```text
//! {"command":"start"}   begin the paced load
//! {"command":"final"}   stop pacing, let the calls in flight end, then read every key
//!                       strongly consistent through the canary's own AZ, with a fresh
//!                       operation for every retry, until all are read or 20 s passed;
//!                       may be repeated once it was answered
//! {"command":"stop"}    stop pacing, let the calls in flight end, and end
//! ```
//!
//! The end of its input means: stop now, whatever is in flight (unless `stop`
//! was read before).
//!
//! From the canary, on its standard output, one [`Line`] a line:
//!
//! ```text
//! {"canary":"ready"}               first
//! {"index":0,"time":…,"type":…}    events of the history, as `record` defines them, with
//!                                  index 0, in the order of their times
//! {"canary":"health",…}            every second while it paces: is the canary itself well?
//! {"canary":"final","read":n,"failed":m}
//! {"canary":"done",…}              last; a stream without it was cut off
//! ```
//!
//! A call that can be begun but not recorded, because nobody reads the lines
//! fast enough, is not made: it is counted as unsent and unrecorded.

use gameday_record::{Event, Nanos};
use serde::{Deserialize, Serialize};

/// Longest command line, in bytes.
pub const MAX_COMMAND: usize = 4096;

/// A line to the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Begin the paced load.
    Start,
    /// Stop pacing and read everything.
    Final,
    /// Finish and end.
    Stop,
}

/// What its line holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandLine {
    command: Command,
}

impl Command {
    /// The line that says it, with its newline.
    pub fn line(self) -> &'static str {
        match self {
            Command::Start => "{\"command\":\"start\"}\n",
            Command::Final => "{\"command\":\"final\"}\n",
            Command::Stop => "{\"command\":\"stop\"}\n",
        }
    }

    /// Reads one line.
    ///
    /// # Errors
    /// Why it is not a command.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line).map(|CommandLine { command }| command)
    }
}

/// A line from the canary.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// An event of the history.
    Event(Event),
    /// About the canary itself.
    Notice(Notice),
}

impl Line {
    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    /// Why it is neither an event nor a notice.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        // Told apart by the first field, which the canary always writes first,
        // so that a broken line is explained as what it wanted to be.
        if line.starts_with(b"{\"canary\"") {
            serde_json::from_slice(line).map(Line::Notice)
        } else {
            serde_json::from_slice(line).map(Line::Event)
        }
    }

    /// Appends it and a newline.
    ///
    /// # Errors
    /// Those of the serializer; writing to memory has none of its own.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Line::Event(e) => write_line(e, out),
            Line::Notice(n) => write_line(n, out),
        }
    }
}

/// Appends what a line holds, and a newline.
pub(crate) fn write_line(
    line: &impl Serialize,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, line)?;
    out.push(b'\n');
    Ok(())
}

/// What a canary says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "canary", rename_all = "lowercase")]
pub enum Notice {
    /// It listens for commands.
    Ready,
    /// How it kept its schedule.
    Health(Health),
    /// The final reads ended.
    Final(FinalReads),
    /// It ends.
    Done(Totals),
}

/// How a canary kept its schedule since its last health line (about a second;
/// longer if the reader was too slow for a health line).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When it was counted.
    pub at: Nanos,
    /// Counts since the last line.
    #[serde(flatten)]
    pub counts: Counts,
    /// Calls in flight now.
    pub in_flight: u64,
    /// Requests that wait for their retry now.
    #[serde(default)]
    pub waiting: u64,
    /// How late calls were invoked, in µs; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_us: Option<Lag>,
}

/// Counts of paced operations, and of retries apart. `due = sent + unsent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Due by the schedule.
    pub due: u64,
    /// Begun.
    pub sent: u64,
    /// Not begun: the canary's own fault.
    pub unsent: u64,
    /// Of the unsent: those that are not in the history either.
    pub unrecorded: u64,
    /// Ended well.
    pub ok: u64,
    /// Ended without effect; the unsent ones that are recorded too.
    pub failed: u64,
    /// Ended not knowing.
    pub unknown: u64,
    /// Retries begun; not among the counts above.
    #[serde(default)]
    pub retries: u64,
    /// Retries that should have been but had no room, or no time before the
    /// load ended: the canary's own doing.
    #[serde(default)]
    pub forgone: u64,
}

/// Quantiles of the send lag (nearest rank), in µs: call invoked − call due,
/// where a call is invoked right before its request is written or, without a
/// connection that was kept, right before it begins to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// Greatest.
    pub max: u64,
}

/// What came of the final reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalReads {
    /// Keys read.
    pub read: u64,
    /// Keys not read in time.
    pub failed: u64,
}

/// All that a canary did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Paced operations.
    #[serde(flatten)]
    pub counts: Counts,
    /// Calls given up in flight because the input ended; their events have no completion.
    pub abandoned: u64,
    /// Event lines written, final reads included: the reader can count them.
    pub events: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::{Call, Operation, Outcome};

    #[test]
    fn commands_are_read_as_they_are_written() {
        for c in [Command::Start, Command::Final, Command::Stop] {
            assert_eq!(Command::parse(c.line().as_bytes()).unwrap(), c);
            let name = serde_json::to_string(&c).unwrap();
            assert_eq!(c.line(), format!("{{\"command\":{name}}}\n"));
        }
        for bad in [
            "",
            "start",
            r#"{"command":"pause"}"#,
            r#"{"command":"start","x":1}"#,
        ] {
            assert!(Command::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let op = Operation {
            index: 0,
            process: 3,
            az: "a".into(),
            endpoint: "b".into(),
            call: Call::Cas {
                key: "k00001".into(),
                expected: None,
                new: 5,
            },
            due: Nanos(1),
            invoked: Nanos(2),
            returned: None,
            outcome: Outcome::Ok { value: None },
            last: false,
            table: String::new(),
            fresh: false,
            attempt: Default::default(),
        };
        let counts = Counts {
            due: 5,
            sent: 4,
            unsent: 1,
            ..Counts::default()
        };
        let lines = [
            Line::Notice(Notice::Ready),
            Line::Event(Event::invoke(&op)),
            Line::Event(Event::complete(&op, Nanos(9))),
            Line::Notice(Notice::Health(Health {
                at: Nanos(10),
                counts,
                in_flight: 2,
                waiting: 1,
                lag_us: Some(Lag {
                    p50: 1,
                    p90: 2,
                    p99: 3,
                    max: 4,
                }),
            })),
            Line::Notice(Notice::Final(FinalReads { read: 3, failed: 1 })),
            Line::Notice(Notice::Done(Totals {
                counts,
                abandoned: 0,
                events: 12,
            })),
        ];
        for line in lines {
            let mut bytes = Vec::new();
            line.write(&mut bytes).unwrap();
            assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(Line::parse(&bytes).unwrap(), line);
        }
        let mut ready = Vec::new();
        Line::Notice(Notice::Ready).write(&mut ready).unwrap();
        assert_eq!(ready, b"{\"canary\":\"ready\"}\n");
        let mut done = Vec::new();
        Line::Notice(Notice::Final(FinalReads { read: 3, failed: 1 }))
            .write(&mut done)
            .unwrap();
        assert_eq!(done, b"{\"canary\":\"final\",\"read\":3,\"failed\":1}\n");
        assert!(Line::parse(b"{\"canary\":\"sings\"}").is_err());
        assert!(Line::parse(b"hello").is_err());
    }
}
