//! How the canary reaches what it calls: credentials, names, TLS; and the task
//! that follows their changes beside the measured calls.

use super::setup::Setup;
use crate::cli::CanaryArgs;
use gameday_canary::connect::Connector;
use gameday_canary::credentials::fetch::{Fetched, Process, renew_at};
use gameday_canary::credentials::{Environment, Keys, Provider, fit_headers};
use gameday_canary::names::{EndpointUrl, Names, Renewed};
use gameday_canary::sign::{Dummy, Sign};
use gameday_canary::sigv4::{Credentials, SigV4, Signer};
use gameday_canary::{Endpoint, Wire};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Names are looked up so often, and files of credentials looked at.
const RENEW: Duration = Duration::from_secs(30);

/// Ready to call.
pub struct Connected {
    /// For the canary.
    pub wire: Wire,
    /// Where it calls.
    pub endpoints: Vec<Endpoint>,
    /// Follows names and credentials until it is aborted.
    pub following: JoinHandle<()>,
    /// What it has to say.
    pub news: mpsc::Receiver<String>,
}

/// Finds credentials and looks names up.
///
/// # Errors
/// What cannot be had, for people.
pub async fn connect(args: &CanaryArgs, setup: &Setup) -> Result<Connected, String> {
    let all = || setup.endpoints.iter().flat_map(|(_, hosts)| hosts);
    let (signer, renewing) = match setup.service.is_default() {
        true => credentials(args, all().any(|url| url.tls)).await?,
        false => (Arc::new(Dummy) as Arc<dyn Sign>, None),
    };
    let names = Names::default();
    let connector = Connector::new(names.clone(), args.ca_file.as_deref())?;
    let mut endpoints = Vec::new();
    for (az, hosts) in &setup.endpoints {
        endpoints.push(EndpointUrl::resolve_all(hosts, az).await?);
    }
    let urls: Vec<EndpointUrl> = all().cloned().collect();
    let (say, news) = mpsc::channel(16);
    // Before anything is called: what leads nowhere is not called even once.
    for news in names.refresh(&urls).await {
        tell(&say, news, true);
    }
    let following = tokio::spawn(follow(names, urls, renewing, say));
    Ok(Connected {
        wire: Wire { connector, signer },
        endpoints,
        following,
        news,
    })
}

/// Credentials that can change.
struct Renewing {
    signer: Arc<SigV4>,
    provider: Provider,
    /// The process that prints them, and when it is asked again.
    printed: Option<(Process, Option<SystemTime>)>,
}

/// What signs, and what it follows. `real` services are asked for with whatever
/// the AWS tool finds; others may not want a signature at all.
async fn credentials(
    args: &CanaryArgs,
    real: bool,
) -> Result<(Arc<dyn Sign>, Option<Renewing>), String> {
    if args.unsigned {
        return Ok((Arc::new(Dummy), None));
    }
    let mut provider = Provider::new(Environment::of_process(), args.profile.clone());
    let hint = "--unsigned sends placeholders instead";
    let found = provider.load().map_err(|e| format!("{e} ({hint})"))?;
    let (credentials, printed, mut origin) = match found.keys {
        Keys::Known(credentials) => (credentials, None, found.origin),
        Keys::Printed(process) => {
            let fetched = fetch(&process, &found.origin);
            let fetched = fetched.await.map_err(|e| format!("{e} ({hint})"))?;
            let again = again_at(&fetched);
            (fetched.credentials, Some((process, again)), found.origin)
        }
        Keys::None => {
            if let Some(name) = &args.profile {
                return Err(format!("profile '{name}' has no keys ({hint})"));
            }
            let process = Process::of_tool(None);
            let origin = "the AWS command line tool".to_string();
            let fetched = match real {
                true => fetch(&process, &origin).await,
                false => Err("nothing says anything about keys".into()),
            };
            match fetched {
                Ok(fetched) => {
                    let again = again_at(&fetched);
                    (fetched.credentials, Some((process, again)), origin)
                }
                Err(why) => {
                    say!(
                        "no credentials found ({why}): requests carry placeholders instead of \
                         signatures"
                    );
                    return Ok((Arc::new(Dummy), None));
                }
            }
        }
    };
    if let Some(end) = found.end {
        origin.push_str(&format!(
            ", where nothing renews them after their end at {end}"
        ));
    }
    let region = args.region.clone().or(found.region);
    let region = region
        .ok_or_else(|| format!("no region to sign for: say --region or set AWS_REGION ({hint})"))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if region.is_empty() || region.len() > 64 || !region.bytes().all(plain) {
        return Err(format!("'{region}' is no region, such as eu-west-1"));
    }
    say!(
        "signing as {} for {region}, credentials from {origin}",
        credentials.access_key_id
    );
    let signer = Arc::new(SigV4::new(Signer::new(credentials, &region, "dynamodb")));
    let renewing = Renewing {
        signer: signer.clone(),
        provider,
        printed,
    };
    Ok((signer, Some(renewing)))
}

async fn fetch(process: &Process, origin: &str) -> Result<Fetched, String> {
    let fetched = process.fetch().await?;
    fit_headers(&fetched.credentials, origin).map_err(|e| e.to_string())?;
    Ok(fetched)
}

fn again_at(fetched: &Fetched) -> Option<SystemTime> {
    fetched.expires.map(|end| renew_at(SystemTime::now(), end))
}

impl Renewing {
    /// Looks whether there are other keys, and signs with them. Returns what is new.
    async fn step(&mut self) -> Option<String> {
        let renewed = match self.provider.reload() {
            Err(e) => return Some(format!("{e}; the last credentials stay in use")),
            Ok(Some(found)) => match found.keys {
                Keys::Known(credentials) => {
                    self.printed = None;
                    credentials
                }
                Keys::Printed(process) => {
                    self.printed = Some((process, Some(SystemTime::UNIX_EPOCH)));
                    return self.printed().await;
                }
                Keys::None => {
                    return Some(
                        "the credentials are gone from their files; the last ones stay in use"
                            .into(),
                    );
                }
            },
            Ok(None) => return self.printed().await,
        };
        Some(self.sign_with(renewed))
    }

    /// Asks the process again, if it is time.
    async fn printed(&mut self) -> Option<String> {
        let (process, again) = self.printed.as_mut()?;
        if again.is_none_or(|at| SystemTime::now() < at) {
            return None;
        }
        match fetch(process, "the process").await {
            Ok(fetched) => {
                *again = again_at(&fetched);
                Some(self.sign_with(fetched.credentials))
            }
            Err(why) => Some(format!("{why}; the last credentials stay in use")),
        }
    }

    fn sign_with(&self, credentials: Credentials) -> String {
        let text = format!("signing as {} from now on", credentials.access_key_id);
        self.signer.renew(credentials);
        text
    }
}

/// What addresses are at the start is no news, which of them are left out is.
fn tell(say: &mpsc::Sender<String>, news: Renewed, first: bool) {
    if !(first && matches!(news, Renewed::Changed { .. })) {
        // If nobody listens fast enough, there is too much of the same.
        let _ = say.try_send(news.to_string());
    }
}

/// The same work every time, whether something changed or not.
async fn follow(
    names: Names,
    urls: Vec<EndpointUrl>,
    mut renewing: Option<Renewing>,
    say: mpsc::Sender<String>,
) {
    let mut ticks = interval_at(Instant::now() + RENEW, RENEW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for news in names.refresh(&urls).await {
            tell(&say, news, false);
        }
        if let Some(renewing) = &mut renewing
            && let Some(text) = renewing.step().await
        {
            let _ = say.try_send(text);
        }
    }
}
