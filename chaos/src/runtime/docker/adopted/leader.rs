//! Whether an adopted container leads, found out as its owner says.

use super::exec::Ran;

/// How it is found out: a command in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderProbe {
    /// The command, word by word; no shell reads it.
    pub exec: Vec<String>,
    /// By what it tells a leader.
    pub leads: Leads,
}

/// By what a command tells that its container leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// It ends with 0; with 1 for one that does not lead.
    Exit0,
    /// It ends with 0 and says this and nothing else; anything else for one that does not lead.
    Says(String),
}

impl LeaderProbe {
    /// What its end means.
    ///
    /// # Errors
    /// It says neither yes nor no.
    pub(super) fn judge(&self, ran: &Ran) -> Result<bool, String> {
        match (&self.leads, ran.code) {
            (Leads::Exit0, 0) => Ok(true),
            (Leads::Exit0, 1) => Ok(false),
            (Leads::Says(word), 0) => Ok(String::from_utf8_lossy(&ran.stdout).trim() == word),
            (_, code) => Err(format!(
                "{} ended with {code}: {}",
                self.exec.join(" "),
                ran.said()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_says_neither_yes_nor_no() {
        let ran = |code, stdout: &str| Ran {
            code,
            stdout: stdout.into(),
            stderr: b"and complains\n".to_vec(),
        };
        let probe = |leads| LeaderProbe {
            exec: vec!["who".into()],
            leads,
        };
        let exit = probe(Leads::Exit0);
        assert_eq!(exit.judge(&ran(0, "")), Ok(true));
        assert_eq!(exit.judge(&ran(1, "")), Ok(false));
        let why = exit.judge(&ran(126, "no such command")).unwrap_err();
        assert!(why.contains("who ended with 126: no such command"), "{why}");
        let says = probe(Leads::Says("t".into()));
        assert_eq!(says.judge(&ran(0, "t\n")), Ok(true));
        assert_eq!(says.judge(&ran(0, "f\n")), Ok(false));
        assert!(says.judge(&ran(1, "t\n")).is_err());
    }
}
