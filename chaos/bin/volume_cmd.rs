//! `gameday volume create|list|remove`: volumes for containers that are not ours,
//! which can lose power.

use crate::cli::VolumeAction;
use crate::exit::Exit;
use gameday_chaos::runtime::docker::volume;

/// Carries out one action.
pub async fn main(action: VolumeAction) -> Exit {
    let done = match action {
        VolumeAction::Create { name, size } => create(&name, size).await,
        VolumeAction::List => list().await,
        VolumeAction::Remove { name } => volume::remove(&name).await,
    };
    match done {
        Ok(()) => Exit::Pass,
        Err(why) => {
            warn!("{why}");
            Exit::Usage
        }
    }
}

async fn create(name: &str, size: u64) -> Result<(), String> {
    let made = volume::create(name, size).await?;
    say!(
        "{name}: {} on {}, ext4; in Compose: volumes: {{ {name}: {{ external: true }} }}",
        volume::show_size(size),
        made.device
    );
    Ok(())
}

async fn list() -> Result<(), String> {
    let all = volume::list().await?;
    if all.is_empty() {
        say!("no volume that can lose power: `gameday volume create NAME --size 1g` makes one");
    }
    for volume in all {
        let size = volume.size.map_or("?".into(), volume::show_size);
        let users = match volume.used_by.as_slice() {
            [] => "used by nobody".to_string(),
            users => format!("used by {}", users.join(", ")),
        };
        say!("{}  {size}  {}  {users}", volume.name, volume.device);
    }
    Ok(())
}
