//! How the canary reaches what it calls: credentials, names, TLS; and the task
//! that follows their changes beside the measured calls.

use super::setup::Setup;
use crate::cli::CanaryArgs;
use gameday_canary::connect::Connector;
use gameday_canary::credentials::{Environment, Provider};
use gameday_canary::names::{EndpointUrl, Names, Renewed};
use gameday_canary::sign::{Dummy, Sign};
use gameday_canary::sigv4::{SigV4, Signer};
use gameday_canary::{Endpoint, Wire};
use std::sync::Arc;
use std::time::Duration;
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
    let (signer, renewing) = credentials(args)?;
    let names = Names::default();
    let connector = Connector::new(names.clone(), args.ca_file.as_deref())?;
    let mut endpoints = Vec::new();
    for (az, url) in &setup.endpoints {
        endpoints.push(url.resolve(az).await?);
    }
    let urls: Vec<EndpointUrl> = setup.endpoints.iter().map(|(_, url)| url.clone()).collect();
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
type Renewing = Option<(Arc<SigV4>, Provider)>;

fn credentials(args: &CanaryArgs) -> Result<(Arc<dyn Sign>, Renewing), String> {
    if args.unsigned {
        return Ok((Arc::new(Dummy), None));
    }
    let mut provider = Provider::new(Environment::of_process(), args.profile.clone());
    let hint = "--unsigned sends placeholders instead";
    let found = provider.load().map_err(|e| format!("{e} ({hint})"))?;
    let Some(credentials) = found.credentials else {
        if let Some(name) = &args.profile {
            return Err(format!("profile '{name}' has no keys ({hint})"));
        }
        println!("no credentials found: requests carry placeholders instead of signatures");
        return Ok((Arc::new(Dummy), None));
    };
    let region = args.region.clone().or(found.region);
    let region = region
        .ok_or_else(|| format!("no region to sign for: say --region or set AWS_REGION ({hint})"))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if region.is_empty() || region.len() > 64 || !region.bytes().all(plain) {
        return Err(format!("'{region}' is no region, such as eu-west-1"));
    }
    println!(
        "signing as {} for {region}, credentials from {}",
        credentials.access_key_id, found.origin
    );
    let signer = Arc::new(SigV4::new(Signer::new(credentials, &region, "dynamodb")));
    Ok((signer.clone(), Some((signer, provider))))
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
    mut renewing: Renewing,
    say: mpsc::Sender<String>,
) {
    let mut ticks = interval_at(Instant::now() + RENEW, RENEW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for news in names.refresh(&urls).await {
            tell(&say, news, false);
        }
        if let Some((signer, provider)) = &mut renewing {
            let text = match provider.reload() {
                Ok(None) => continue,
                Ok(Some(found)) => match found.credentials {
                    Some(credentials) => {
                        let text = format!("signing as {} from now on", credentials.access_key_id);
                        signer.renew(credentials);
                        text
                    }
                    None => "the credentials are gone from their files; the last ones stay in use"
                        .into(),
                },
                Err(e) => format!("{e}; the last credentials stay in use"),
            };
            let _ = say.try_send(text);
        }
    }
}
