//! Keys that a process prints: that of a profile's `credential_process`, or the
//! AWS command line tool, which knows all other ways (single sign-on, assumed
//! roles, the roles of containers and instances) and prints in the same form
//! ("Sourcing credentials with an external process", AWS SDKs and Tools
//! reference guide). A crate that speaks to all of these itself takes the release
//! build longer than the whole of this project's canary.

use crate::sigv4::Credentials;
use chrono::DateTime;
use serde::Deserialize;
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// Time that the process has. Single sign-on may call its service.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most that is read of what it prints, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;

/// Keys are fetched anew so long before they end, or after half of their life if
/// that is shorter.
const BEFORE_END: Duration = Duration::from_secs(300);

/// A process that prints keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    program: Vec<String>,
    /// What must be there for it, in words, if it may be missing.
    needs: Option<&'static str>,
}

/// Keys that were printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The keys.
    pub credentials: Credentials,
    /// When they end; `None` if never.
    pub expires: Option<SystemTime>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl Process {
    /// What a profile's `credential_process` says, by the shell as its users expect.
    pub fn of_profile(command: &str) -> Process {
        Process {
            program: ["sh", "-c", command].map(String::from).to_vec(),
            needs: None,
        }
    }

    /// The AWS command line tool, for a profile or for what it finds by itself.
    pub fn of_tool(profile: Option<&str>) -> Process {
        let words = [
            "aws",
            "configure",
            "export-credentials",
            "--format",
            "process",
        ];
        let profile = profile.map(|name| ["--profile", name]);
        Process {
            program: words
                .into_iter()
                .chain(profile.into_iter().flatten())
                .map(String::from)
                .collect(),
            needs: Some("the AWS command line tool, version 2, which fetches them"),
        }
    }

    /// Runs it. The runtime needs its I/O and its time.
    ///
    /// # Errors
    /// It cannot be started, takes more than 30 s, fails, or prints no keys; for people.
    pub async fn fetch(&self) -> Result<Fetched, String> {
        let name = self.program.join(" ");
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| match self.needs {
            Some(needs) if e.kind() == std::io::ErrorKind::NotFound => {
                format!("`{name}` cannot be run: this takes {needs}")
            }
            _ => format!("`{name}` cannot be run: {e}"),
        })?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ran = async { tokio::join!(text(out), text(err), child.wait()) };
        let Ok((out, err, status)) = timeout(PATIENCE, ran).await else {
            return Err(format!("`{name}` did not end within {PATIENCE:?}"));
        };
        let status = status.map_err(|e| format!("`{name}`: {e}"))?;
        if !status.success() {
            let said = err.trim().lines().last().unwrap_or("it said nothing");
            return Err(format!("`{name}` failed ({status}): {said}"));
        }
        // What it printed may hold a secret: of a mistake only the kind is told.
        understand(&out).map_err(|why| format!("`{name}` printed no keys: {why}"))
    }
}

/// What comes, as far as it is read.
async fn text(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What could not be read is missed where it is needed.
        let _ = from.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn understand(printed: &str) -> Result<Fetched, String> {
    let printed: Printed = serde_json::from_str(printed)
        .map_err(|e| format!("{:?} error in line {}", e.classify(), e.line()))?;
    if printed.version != 1 {
        return Err(format!("version {} of the form, not 1", printed.version));
    }
    let expires = match &printed.expiration {
        None => None,
        Some(text) => Some(
            DateTime::parse_from_rfc3339(text)
                .map_err(|e| format!("Expiration: {e}"))?
                .into(),
        ),
    };
    Ok(Fetched {
        credentials: Credentials {
            access_key_id: printed.access_key_id,
            secret_access_key: printed.secret_access_key,
            session_token: printed.session_token.filter(|t| !t.is_empty()),
        },
        expires,
    })
}

/// When keys that were fetched at `now` are fetched anew.
pub fn renew_at(now: SystemTime, expires: SystemTime) -> SystemTime {
    let left = expires.duration_since(now).unwrap_or_default();
    now + left.saturating_sub(BEFORE_END).max(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(json: &str) -> Process {
        Process::of_profile(&format!("printf '%s' '{json}'"))
    }

    #[tokio::test]
    async fn what_a_process_prints_is_used() {
        let fetched = print(
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","SessionToken":"t","Expiration":"2026-01-01T00:00:00Z"}"#,
        );
        let fetched = fetched.fetch().await.unwrap();
        assert_eq!(fetched.credentials.access_key_id, "A");
        assert_eq!(fetched.credentials.session_token.as_deref(), Some("t"));
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        assert_eq!(fetched.expires, Some(at));
        let for_ever = print(r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}"#);
        assert_eq!(for_ever.fetch().await.unwrap().expires, None);
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said_and_no_secret_with_it() {
        for (process, expected) in [
            (Process::of_profile("echo why >&2; exit 3"), "why"),
            (Process::of_profile("exit 3"), "nothing"),
            (print("SECRET"), "Syntax"),
            (
                print(r#"{"Version":2,"AccessKeyId":"A","SecretAccessKey":"SECRET"}"#),
                "version 2",
            ),
            (
                print(
                    r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"SECRET","Expiration":"soon"}"#,
                ),
                "Expiration",
            ),
        ] {
            let e = process.fetch().await.unwrap_err();
            let (_, said) = e.rsplit_once('`').unwrap();
            assert!(said.contains(expected), "{expected}: {e}");
            assert!(!said.contains("SECRET"), "{e}");
        }
        let mut tool = Process::of_tool(Some("corp"));
        assert_eq!(tool.program.last().map(String::as_str), Some("corp"));
        tool.program[0] = "/no/such/aws".into();
        let e = tool.fetch().await.unwrap_err();
        assert!(e.contains("command line tool"), "{e}");
    }

    #[test]
    fn keys_are_fetched_anew_before_they_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let after = |seconds| {
            let at = renew_at(now, now + Duration::from_secs(seconds));
            at.duration_since(now).unwrap().as_secs()
        };
        assert_eq!(after(3600), 3300);
        assert_eq!(after(400), 200);
        assert_eq!(after(0), 0);
        assert_eq!(renew_at(now, SystemTime::UNIX_EPOCH), now);
    }
}
