//! What a storage node finds on its disk: the log, the trees, the last routing map. What is
//! damaged is moved aside and never served.

use super::NodeError;
use crate::config::StorageConfig;
use crate::consensus::types::GroupId;
use crate::disk::{self, Disk};
use crate::engine::{EngineError, Tree};
use crate::meta::RoutingMap;
use crate::wal::{RecoveredGroup, Wal, WalError, WalOptions};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const LOG: &str = "wal";
const TREES: &str = "trees";
const STATE: &str = "state";
const MAP: &str = "state/map";
/// While this is there, every replica that the map gives this node is to be marked amnesiac.
const FORGOT: &str = "state/forgot";
const COPY: usize = 1 << 20;

/// What was found.
pub struct Found {
    /// Disk.
    pub disk: Arc<dyn Disk>,
    /// The disk again, if power can be taken from it.
    #[cfg(test)]
    pub power: Option<Arc<disk::VolatileDisk>>,
    /// Log.
    pub wal: Wal,
    /// Its contents by group.
    pub groups: BTreeMap<GroupId, RecoveredGroup>,
    /// The last map that this node acted on, if it can be read.
    pub map: Option<RoutingMap>,
    /// The log was lost: replicas have forgotten what they promised.
    pub forgot: bool,
}

fn failed(what: &str, error: impl std::fmt::Display) -> NodeError {
    NodeError::Storage(format!("{what}: {error}"))
}

/// Opens everything. Blocks.
pub fn open(config: &StorageConfig) -> Result<Found, NodeError> {
    let data = config.data.display();
    let no_disk = |e: io::Error| NodeError::of_disk(&format!("data folder {data}"), &e);
    #[cfg(test)]
    let mut power = None;
    let disk: Arc<dyn Disk> = match config.disk {
        crate::config::DiskMode::Real => disk::real(&config.data).map_err(no_disk)?,
        crate::config::DiskMode::Volatile { seed } => {
            let disk = disk::volatile(&config.data, seed).map_err(no_disk)?;
            #[cfg(test)]
            power.replace(disk.clone());
            disk
        }
    };
    let disk: Arc<dyn Disk> = if config.conditions {
        disk::given(disk, &config.data)
    } else {
        disk
    };
    let io = no_disk;
    for dir in [LOG, TREES, STATE] {
        disk.create_dir(dir).map_err(io)?;
    }
    // A snapshot that was being received is of no use any more.
    disk.remove_dir_all("incoming").map_err(io)?;
    let map = match read_map(disk.as_ref()) {
        Ok(map) => map,
        Err(MapError::Io(error)) => return Err(io(error)),
        Err(error @ MapError::Unknown(_)) => return Err(failed(MAP, error)),
        Err(error @ MapError::Damaged(_)) => {
            tracing::error!(%error, "the stored routing map is damaged; asking the metadata");
            quarantine(disk.as_ref(), &[MAP]).map_err(io)?;
            disk.remove(MAP)
                .and_then(|()| disk.sync_dir(STATE))
                .map_err(io)?;
            None
        }
    };
    let options = WalOptions {
        dir: LOG.to_owned(),
        segment_bytes: config.checkpoint.segment_bytes,
        #[cfg(feature = "seeded-bugs")]
        ack_before_sync: config.bug == Some(crate::config::Bug::AckBeforeFsync),
        ..WalOptions::default()
    };
    let (wal, recovered) = match Wal::open(disk.clone(), options.clone()) {
        Ok(opened) => opened,
        Err(error @ WalError::Corrupt { .. }) => {
            tracing::error!(
                %error,
                "the write-ahead log is damaged: moving it aside, repairing from peers"
            );
            // First the note that promises are forgotten, then the loss of them.
            write_file(disk.as_ref(), FORGOT, error.to_string().as_bytes()).map_err(io)?;
            let names = disk.list(LOG).map_err(io)?;
            let files: Vec<String> = names.iter().map(|n| format!("{LOG}/{n}")).collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            quarantine(disk.as_ref(), &files).map_err(io)?;
            disk.remove_dir_all(LOG).map_err(io)?;
            disk.create_dir(LOG).map_err(io)?;
            Wal::open(disk.clone(), options).map_err(|e| failed("new write-ahead log", e))?
        }
        Err(WalError::Io(error)) => return Err(NodeError::of_disk("write-ahead log", &error)),
        // Nothing is damaged: what another build wrote is left as it is.
        Err(error) => return Err(failed("write-ahead log", error)),
    };
    if let Some(torn) = &recovered.torn {
        tracing::info!(
            ?torn,
            "an unfinished write at the end of the log is cut off"
        );
    }
    let forgot = disk.exists(FORGOT).map_err(io)?;
    Ok(Found {
        disk,
        #[cfg(test)]
        power,
        wal,
        groups: recovered.groups,
        map,
        forgot,
    })
}

/// All replicas are marked: the note can go.
pub fn all_marked(disk: &dyn Disk) -> io::Result<()> {
    disk.remove(FORGOT)?;
    disk.sync_dir(STATE)
}

/// Name of a group's tree.
pub fn tree_file(group: GroupId) -> String {
    format!("{TREES}/{group}.tree")
}

/// Groups that have a tree.
pub fn trees(disk: &dyn Disk) -> io::Result<Vec<GroupId>> {
    let names = disk.list(TREES)?;
    Ok(names
        .iter()
        .filter_map(|n| n.strip_suffix(".tree")?.parse().ok())
        .collect())
}

fn damage_note(group: GroupId) -> String {
    format!("{STATE}/damaged-{group}")
}

/// Notes, durably, that a group's tree was found damaged while it was in use. Opening it again
/// does not find everything: a value has a checksum of its own, which is looked at when it is read.
pub fn note_damage(disk: &dyn Disk, group: GroupId) -> io::Result<()> {
    write_file(disk, &damage_note(group), b"")
}

/// Opens a group's tree. A damaged one is copied aside, and `None` returned: call
/// [`discard_tree`] once it is durably noted that this replica has lost it.
pub fn open_tree(disk: &Arc<dyn Disk>, group: GroupId) -> Result<Option<Tree>, EngineError> {
    let file = tree_file(group);
    let noted = disk
        .exists(&damage_note(group))
        .map_err(|error| EngineError::Io {
            file: file.clone(),
            error,
        })?;
    let opened = match Tree::open(disk.clone(), &file) {
        Ok(_) if noted => Err(EngineError::Corrupt {
            file: file.clone(),
            reason: "it was found damaged while it was in use".into(),
        }),
        opened => opened,
    };
    match opened {
        Ok(tree) => Ok(Some(tree)),
        Err(error @ EngineError::Corrupt { .. }) => {
            tracing::error!(
                %error, group,
                "a replica's tree is damaged: moving it aside, repairing from peers"
            );
            quarantine(disk.as_ref(), &[&file]).map_err(|error| EngineError::Io { file, error })?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Replaces a damaged tree by an empty one.
pub fn discard_tree(disk: &Arc<dyn Disk>, group: GroupId) -> Result<Tree, EngineError> {
    let file = tree_file(group);
    let io = |error| EngineError::Io {
        file: file.clone(),
        error,
    };
    Tree::remove(disk.as_ref(), &file)?;
    let note = damage_note(group);
    if disk.exists(&note).map_err(io)? {
        let removed = disk.remove(&note).and_then(|()| disk.sync_dir(STATE));
        removed.map_err(io)?;
    }
    Tree::open(disk.clone(), &file)
}

/// Stores the map, durably, before anything is done because of it.
pub fn write_map(disk: &dyn Disk, map: &RoutingMap) -> io::Result<()> {
    let body = postcard::to_stdvec(map).map_err(io::Error::other)?;
    let mut bytes = crc32c::crc32c(&body).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    write_file(disk, MAP, &bytes)
}

/// Why there is no stored map although there is a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum MapError {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error(
        "it was written by a build that this one does not understand ({0}): start one that does; \
         the file is as it was"
    )]
    Unknown(postcard::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(super) fn read_map(disk: &dyn Disk) -> Result<Option<RoutingMap>, MapError> {
    if !disk.exists(MAP)? {
        return Ok(None);
    }
    let file = disk.open(MAP)?;
    let mut bytes = vec![0; file.len()?.min(64 << 20) as usize];
    file.read_at(0, &mut bytes)?;
    let (crc, body) = bytes
        .split_at_checked(4)
        .ok_or(MapError::Damaged("too short"))?;
    if crc != crc32c::crc32c(body).to_le_bytes() {
        return Err(MapError::Damaged("checksum"));
    }
    match postcard::take_from_bytes(body) {
        Ok((map, [])) => Ok(Some(map)),
        Ok(_) => Err(MapError::Unknown(postcard::Error::DeserializeBadEncoding)),
        Err(error) => Err(MapError::Unknown(error)),
    }
}

/// Writes a small file so that it is there in full or not at all.
fn write_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    if disk.exists(&new)? {
        disk.remove(&new)?;
    }
    let file = disk.create(&new)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(&new, name)?;
    disk.sync_dir(STATE)
}

/// Copies a group's tree aside.
pub fn set_tree_aside(disk: &dyn Disk, group: GroupId) -> io::Result<()> {
    quarantine(disk, &[&tree_file(group)])
}

/// Copies files into a new folder `quarantine-<n>`, durably, for people to look at.
fn quarantine(disk: &dyn Disk, files: &[&str]) -> io::Result<()> {
    let used = |n: u32| -> io::Result<bool> {
        match disk.list(&format!("quarantine-{n}")) {
            Ok(names) => Ok(!names.is_empty()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    };
    let mut n = 1;
    while used(n)? {
        n += 1;
    }
    let folder = format!("quarantine-{n}");
    disk.create_dir(&folder)?;
    let mut buf = vec![0; COPY];
    for name in files {
        let from = disk.open(name)?;
        let to = disk.create(&format!("{folder}/{}", name.replace('/', "-")))?;
        let len = from.len()?;
        let mut at = 0;
        while at < len {
            let n = (len - at).min(COPY as u64) as usize;
            from.read_at(at, &mut buf[..n])?;
            to.write_at(at, &buf[..n])?;
            at += n as u64;
        }
        to.sync_data()?;
    }
    disk.sync_dir(&folder)?;
    tracing::error!(
        folder,
        "damaged files are kept there; nothing reads them again"
    );
    Ok(())
}
