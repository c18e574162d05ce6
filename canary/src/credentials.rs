//! Where credentials come from: the standard environment variables and profile
//! files of the AWS tools, and the processes that these name.
//!
//! | what | from, the first that has it |
//! | --- | --- |
//! | keys | a profile that was asked for by name; `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (with `AWS_SESSION_TOKEN`); the profile of `AWS_PROFILE`, else `default`; the role of a container or a web identity that the environment names |
//! | region | what was asked for; `AWS_REGION`; `AWS_DEFAULT_REGION`; the profile's `region` |
//!
//! A profile is the sum of its section in the credentials file
//! (`AWS_SHARED_CREDENTIALS_FILE`, `~/.aws/credentials`) and in the
//! configuration file (`AWS_CONFIG_FILE`, `~/.aws/config`); the former goes
//! first. Keys that have to be fetched (single sign-on, an assumed role, a
//! process) are printed by a process: see [`fetch`].

pub mod fetch;

use crate::sigv4::Credentials;
use fetch::Process;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Largest profile file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The setting of a profile that names a process of its own.
const PROCESS: &str = "credential_process";

/// Settings of a profile by which the AWS tool fetches its keys.
const FETCHED: [(&str, &str); 5] = [
    ("sso_session", "single sign-on"),
    ("sso_start_url", "single sign-on"),
    ("role_arn", "an assumed role"),
    ("credential_source", "an instance's role"),
    ("login_session", "a console login"),
];

/// Variables by which containers and web identities are given roles.
const ROLES: [&str; 3] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Only one of two variables is set.
    #[error("{set} is set, but {missing} is not")]
    HalfSet {
        /// The one that is set.
        set: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A line that is neither a section nor a setting.
    #[error("{path}, line {line}: neither [section] nor name = value")]
    Syntax {
        /// In which file.
        path: String,
        /// From 1.
        line: usize,
    },
    /// No such profile.
    #[error("there is no profile '{name}' in {credentials} or {config}")]
    NoProfile {
        /// Its name.
        name: String,
        /// Credentials file.
        credentials: String,
        /// Configuration file.
        config: String,
    },
    /// A profile with half of its keys.
    #[error("profile '{name}' has {has}, but no {lacks}")]
    HalfProfile {
        /// Its name.
        name: String,
        /// What it has.
        has: &'static str,
        /// What it lacks.
        lacks: &'static str,
    },
    /// Something that cannot stand in a header.
    #[error("{what} from {origin} has characters that no {what} has")]
    Odd {
        /// What it is.
        what: &'static str,
        /// Where it comes from.
        origin: String,
    },
}

/// The variables that matter, as they were at the start.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    vars: BTreeMap<&'static str, String>,
}

const VARIABLES: [&str; 13] = [
    ROLES[0],
    ROLES[1],
    ROLES[2],
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "HOME",
];

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Environment::new(|name| std::env::var(name).ok())
    }

    /// What `look_up` finds; an empty variable counts as unset.
    pub fn new(look_up: impl Fn(&str) -> Option<String>) -> Self {
        let vars = VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, look_up(name).filter(|v| !v.is_empty())?)))
            .collect();
        Environment { vars }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    fn file(&self, variable: &str, in_home: &str) -> PathBuf {
        match self.get(variable) {
            Some(path) => path.into(),
            None => Path::new(self.get("HOME").unwrap_or("/")).join(in_home),
        }
    }
}

/// Keys, or how to come by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nothing says anything about keys.
    None,
    /// These.
    Known(Credentials),
    /// What this process prints.
    Printed(Process),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Keys.
    pub keys: Keys,
    /// When they end, as the environment says, where nothing renews them.
    pub end: Option<String>,
    /// Region, if something says which.
    pub region: Option<String>,
    /// Where the keys come from, for people.
    pub origin: String,
}

/// Credentials that follow their files: rotated keys are used without a restart.
#[derive(Clone, Debug)]
pub struct Provider {
    environment: Environment,
    profile: Option<String>,
    stamps: [Option<Stamp>; 2],
}

/// By what a change of a file shows.
type Stamp = (SystemTime, u64);

impl Provider {
    /// From this environment; of the `profile`, if one was asked for.
    pub fn new(environment: Environment, profile: Option<String>) -> Self {
        Provider {
            environment,
            profile,
            stamps: [None, None],
        }
    }

    /// Looks everything up.
    ///
    /// # Errors
    /// Something is said about credentials, but they cannot be had from it.
    pub fn load(&mut self) -> Result<Found, CredentialsError> {
        // Taken first: a file that changes while it is read is read again.
        self.stamps = self.files().map(|f| stamp(&f));
        let [credentials_file, config_file] = self.files();
        let env = &self.environment;
        let name = self.profile.as_deref().or(env.get("AWS_PROFILE"));
        let profile = {
            let name = name.unwrap_or("default");
            let mut all = read(&config_file)?;
            // `default` goes with or without the word that other profiles need here.
            let mut sum = all.remove(&format!("profile {name}"));
            if name == "default" {
                sum = sum.or(all.remove("default"));
            }
            match (sum, read(&credentials_file)?.remove(name)) {
                (Some(mut sum), Some(keys)) => {
                    sum.extend(keys);
                    Some(sum)
                }
                (one, other) => one.or(other),
            }
        };
        if let (None, Some(name)) = (&profile, name) {
            return Err(CredentialsError::NoProfile {
                name: name.into(),
                credentials: credentials_file.display().to_string(),
                config: config_file.display().to_string(),
            });
        }
        let profile = profile.unwrap_or_default();
        let region = env
            .get("AWS_REGION")
            .or(env.get("AWS_DEFAULT_REGION"))
            .map(String::from)
            .or_else(|| profile.get("region").cloned());
        let from_env = match self.profile {
            Some(_) => None,
            None => from_environment(env)?,
        };
        let mut end = None;
        let (keys, origin) = match from_env {
            Some(keys) => {
                end = env.get("AWS_CREDENTIAL_EXPIRATION").map(String::from);
                (Keys::Known(keys), "the environment".into())
            }
            None => {
                let name = name.unwrap_or("default");
                match (from_profile(name, &profile)?, &self.profile) {
                    (Keys::None, None) if ROLES.iter().any(|v| env.get(v).is_some()) => (
                        Keys::Printed(Process::of_tool(None)),
                        "the role that the environment names".into(),
                    ),
                    (keys, _) => (keys, origin(name, &profile)),
                }
            }
        };
        if let Keys::Known(credentials) = &keys {
            fit_headers(credentials, &origin)?;
        }
        Ok(Found {
            keys,
            end,
            region,
            origin,
        })
    }

    /// Looks again if a file changed since the last look.
    ///
    /// # Errors
    /// As [`Provider::load`]. The credentials that were found before stay good
    /// until their end; a later change is looked at again.
    pub fn reload(&mut self) -> Result<Option<Found>, CredentialsError> {
        if self.files().map(|f| stamp(&f)) == self.stamps {
            return Ok(None);
        }
        self.load().map(Some)
    }

    fn files(&self) -> [PathBuf; 2] {
        [
            self.environment
                .file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
            self.environment.file("AWS_CONFIG_FILE", ".aws/config"),
        ]
    }
}

/// Checks that they can stand in headers.
///
/// # Errors
/// What of them cannot.
pub fn fit_headers(c: &Credentials, origin: &str) -> Result<(), CredentialsError> {
    let visible = |s: &str| s.bytes().all(|b| b.is_ascii_graphic());
    let odd = |what| CredentialsError::Odd {
        what,
        origin: origin.into(),
    };
    if !visible(&c.access_key_id) {
        return Err(odd("access key id"));
    }
    if !c.session_token.as_deref().is_none_or(visible) {
        return Err(odd("session token"));
    }
    Ok(())
}

/// Where the keys of a profile come from, for people.
fn origin(name: &str, profile: &Section) -> String {
    match FETCHED.iter().find(|(s, _)| profile.contains_key(*s)) {
        Some((_, way)) => format!("profile '{name}' ({way})"),
        None => format!("profile '{name}'"),
    }
}

fn from_environment(env: &Environment) -> Result<Option<Credentials>, CredentialsError> {
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    match (env.get(id), env.get(secret)) {
        (Some(key), Some(value)) => Ok(Some(Credentials {
            access_key_id: key.into(),
            secret_access_key: value.into(),
            session_token: env.get("AWS_SESSION_TOKEN").map(String::from),
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError::HalfSet {
            set: id,
            missing: secret,
        }),
        (None, Some(_)) => Err(CredentialsError::HalfSet {
            set: secret,
            missing: id,
        }),
    }
}

type Section = BTreeMap<String, String>;

fn from_profile(name: &str, profile: &Section) -> Result<Keys, CredentialsError> {
    let (id, secret) = ("aws_access_key_id", "aws_secret_access_key");
    let half = |has, lacks| CredentialsError::HalfProfile {
        name: name.into(),
        has,
        lacks,
    };
    // Its own keys may be those with which a role is assumed.
    if FETCHED.iter().any(|(s, _)| profile.contains_key(*s)) {
        return Ok(Keys::Printed(Process::of_tool(Some(name))));
    }
    match (profile.get(id), profile.get(secret)) {
        (Some(key), Some(value)) => Ok(Keys::Known(Credentials {
            access_key_id: key.clone(),
            secret_access_key: value.clone(),
            session_token: profile.get("aws_session_token").cloned(),
        })),
        (None, None) => Ok(match profile.get(PROCESS) {
            Some(command) => Keys::Printed(Process::of_profile(command)),
            None => Keys::None,
        }),
        (Some(_), None) => Err(half(id, secret)),
        (None, Some(_)) => Err(half(secret, id)),
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// The sections of a profile file; a file that is not there has none.
fn read(path: &Path) -> Result<BTreeMap<String, Section>, CredentialsError> {
    let refuse = |source| CredentialsError::File {
        path: path.display().to_string(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(BTreeMap::new());
        }
        Err(e) => return Err(refuse(e)),
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(refuse)?;
    if text.len() as u64 > MAX_FILE {
        let why = format!("larger than {MAX_FILE} bytes");
        return Err(refuse(io::Error::new(ErrorKind::FileTooLarge, why)));
    }
    parse(&text).map_err(|line| CredentialsError::Syntax {
        path: path.display().to_string(),
        line,
    })
}

/// Sections by name; or the number of the line that cannot be understood.
fn parse(text: &str) -> Result<BTreeMap<String, Section>, usize> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = None;
    // Some editors mark UTF-8 with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1_usize..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let (name, _) = rest.split_once(']').ok_or(number)?;
            let words: Vec<&str> = name.split_whitespace().collect();
            let name = words.join(" ");
            sections.entry(name.clone()).or_default();
            current = Some(name);
            continue;
        }
        // An indented line belongs to the nested settings above it, which hold no keys.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let (key, value) = trimmed.split_once('=').ok_or(number)?;
        let section = current.as_ref().and_then(|name| sections.get_mut(name));
        let value = [" #", " ;", "\t#", "\t;"]
            .iter()
            .fold(value, |v, comment| v.split(comment).next().unwrap_or(v));
        section
            .ok_or(number)?
            .insert(key.trim().to_ascii_lowercase(), value.trim().into());
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(credentials: &str, config: &str) -> Home {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir(home.path().join(".aws")).unwrap();
            for (name, text) in [("credentials", credentials), ("config", config)] {
                if !text.is_empty() {
                    fs::write(home.path().join(".aws").join(name), text).unwrap();
                }
            }
            Home(home)
        }

        fn load(
            &self,
            vars: &[(&str, &str)],
            profile: Option<&str>,
        ) -> Result<Found, CredentialsError> {
            self.provider(vars, profile).load()
        }

        fn provider(&self, vars: &[(&str, &str)], profile: Option<&str>) -> Provider {
            let home = self.0.path().display().to_string();
            let env = Environment::new(|name| match name {
                "HOME" => Some(home.clone()),
                _ => vars
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| v.to_string()),
            });
            Provider::new(env, profile.map(String::from))
        }
    }

    fn id(found: &Found) -> Option<&str> {
        match &found.keys {
            Keys::Known(c) => Some(&c.access_key_id),
            _ => None,
        }
    }

    const KEYS: &str = "[default]\naws_access_key_id = FILE\naws_secret_access_key=s1\n\
                        \n[other]\naws_access_key_id=OTHER\naws_secret_access_key=s2 # rotated\n\
                        aws_session_token = t==\n";
    const CONFIG: &str = "; comment\n[default]\nregion = eu-west-1\ns3 =\n  region = no\n\
                          [profile other]\nregion=eu-north-1\n";
    const ENV: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "ENV"),
        ("AWS_SECRET_ACCESS_KEY", "s0"),
    ];

    #[test]
    fn nothing_said_is_no_error() {
        let found = Home::with("", "")
            .load(&[("AWS_REGION", "")], None)
            .unwrap();
        assert_eq!((found.keys, found.region), (Keys::None, None));
    }

    #[test]
    fn the_environment_goes_before_profiles_unless_one_is_asked_for() {
        let home = Home::with(KEYS, CONFIG);
        let found = home.load(&[], None).unwrap();
        assert_eq!(id(&found), Some("FILE"));
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        assert_eq!(found.origin, "profile 'default'");
        let found = home.load(&ENV, None).unwrap();
        assert_eq!(id(&found), Some("ENV"));
        assert_eq!(found.origin, "the environment");
        // The region of a profile counts for keys of the environment too.
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        let found = home.load(&ENV, Some("other")).unwrap();
        assert_eq!(id(&found), Some("OTHER"));
        let found = home.load(&[("AWS_PROFILE", "other")], None).unwrap();
        assert_eq!(
            found.keys,
            Keys::Known(Credentials {
                access_key_id: "OTHER".into(),
                secret_access_key: "s2".into(),
                session_token: Some("t==".into()),
            })
        );
        assert_eq!(found.region.as_deref(), Some("eu-north-1"));
        let both = [("AWS_REGION", "r1"), ("AWS_DEFAULT_REGION", "r2")];
        assert_eq!(
            home.load(&both, None).unwrap().region.as_deref(),
            Some("r1")
        );
        assert_eq!(
            home.load(&both[1..], None).unwrap().region.as_deref(),
            Some("r2")
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_section() {
        let found = Home::with(&format!("\u{feff}{KEYS}"), &format!("\u{feff}{CONFIG}"));
        let found = found.load(&[], None).unwrap();
        assert_eq!(id(&found), Some("FILE"));
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn files_can_be_elsewhere() {
        let home = Home::with("", "");
        let at = home.0.path().join("keys");
        fs::write(&at, KEYS).unwrap();
        let path = at.display().to_string();
        let found = home.load(&[("AWS_SHARED_CREDENTIALS_FILE", &path)], None);
        assert_eq!(id(&found.unwrap()), Some("FILE"));
        let found = home.load(&[("AWS_CONFIG_FILE", &path)], None);
        assert_eq!(id(&found.unwrap()), Some("FILE"));
    }

    #[test]
    fn keys_that_are_elsewhere_are_printed_by_a_process() {
        let home = Home::with(
            "[default]\naws_access_key_id=X\naws_secret_access_key=y\n",
            "[profile sso]\nsso_session = corp\n\
             [profile role]\nrole_arn=arn:aws:iam::1:role/x\nsource_profile=default\n\
             [profile process]\ncredential_process = keys --for \"me\"\n",
        );
        let of = |vars: &[(&str, &str)], profile| home.load(vars, profile).unwrap();
        let tool = |name| Keys::Printed(Process::of_tool(name));
        let sso = of(&ENV, Some("sso"));
        assert_eq!(sso.keys, tool(Some("sso")));
        assert_eq!(sso.origin, "profile 'sso' (single sign-on)");
        assert_eq!(
            of(&[("AWS_PROFILE", "role")], None).keys,
            tool(Some("role"))
        );
        assert_eq!(
            of(&[], Some("process")).keys,
            Keys::Printed(Process::of_profile("keys --for \"me\""))
        );
        // A container's role counts where nothing else is said.
        let container = [(ROLES[0], "/v2/credentials/1")];
        assert_eq!(id(&of(&container, None)), Some("X"));
        let nothing = Home::with("", "").load(&container, None).unwrap();
        assert_eq!(nothing.keys, tool(None));
        let ends = [ENV[0], ENV[1], ("AWS_CREDENTIAL_EXPIRATION", "soon")];
        assert_eq!(of(&ends, None).end.as_deref(), Some("soon"));
    }

    #[test]
    fn what_cannot_be_used_is_explained() {
        let home = Home::with("[half]\naws_access_key_id=X\n", "");
        for (vars, profile, expected) in [
            (&ENV[..1], None, "AWS_SECRET_ACCESS_KEY is not"),
            (&ENV[1..], None, "AWS_ACCESS_KEY_ID is not"),
            (
                &[("AWS_ACCESS_KEY_ID", "two\nlines"), ENV[1]],
                None,
                "access key id from the environment",
            ),
            (&ENV, Some("nobody"), "no profile 'nobody'"),
            (&[("AWS_PROFILE", "nobody")], None, "no profile 'nobody'"),
            (&[], Some("half"), "no aws_secret_access_key"),
        ] {
            let e = home.load(vars, profile).unwrap_err().to_string();
            assert!(e.contains(expected), "{expected}: {e}");
        }
        for (text, line) in [("a=b\n", 1), ("[x]\n\nhello\n", 3), ("[x\n", 1)] {
            let e = Home::with(text, "").load(&[], None).unwrap_err();
            let said = e.to_string();
            assert!(said.contains(&format!("line {line}:")), "{said}");
        }
        let huge = "#".repeat(MAX_FILE as usize + 1);
        let e = Home::with(&huge, "").load(&[], None).unwrap_err();
        assert!(e.to_string().contains("larger than"), "{e}");
    }

    #[test]
    fn rotated_keys_are_found_and_nothing_is_read_twice() {
        let home = Home::with(KEYS, "");
        let mut provider = home.provider(&[], None);
        assert_eq!(id(&provider.load().unwrap()), Some("FILE"));
        assert_eq!(provider.reload().unwrap(), None);
        let file = home.0.path().join(".aws/credentials");
        // Of another length: the clock of the file system may be coarse.
        fs::write(&file, KEYS.replace("FILE", "ROTATED")).unwrap();
        let found = provider.reload().unwrap().expect("a change");
        assert_eq!(id(&found), Some("ROTATED"));
        fs::write(&file, "[default]\naws_access_key_id = HALF\n").unwrap();
        assert!(provider.reload().is_err());
        assert_eq!(provider.reload().unwrap(), None, "said once");
        fs::write(&file, KEYS).unwrap();
        assert!(provider.reload().unwrap().is_some());
    }
}
