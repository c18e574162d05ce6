//! The image: the running binary and what it needs, from nothing.

mod elf;

use super::engine;
use bollard::Docker;
use bollard::query_parameters::{CreateImageOptions, ListImagesOptions, RemoveImageOptions};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

/// Repository of our images.
const REPO: &str = "gameday";
/// Label of our images.
const LABEL: &str = "gameday.image";
/// The binary in the image.
pub(super) const PROGRAM: &str = "/gameday";
/// The libraries in the image.
const LIBRARIES: &str = "/lib";
/// Largest file taken into the image, in bytes.
const MAX_FILE: u64 = 2 << 30;

/// What goes into the image: contents by path.
struct Contents {
    files: BTreeMap<String, Vec<u8>>,
}

/// The running binary, even if its file has been replaced since.
const OWN: &str = "/proc/self/exe";

/// Reads a build of our program, and, if it is dynamically linked, its loader and the libraries
/// that the running one maps.
fn contents(program: &Path) -> Result<Contents, String> {
    let program = read(program)?;
    let mut files = BTreeMap::new();
    if let Some(loader) = elf::interpreter(&program)? {
        // The kernel looks for the loader under the very path that the binary names.
        files.insert(loader.clone(), read(Path::new(&loader))?);
        let maps =
            fs::read_to_string("/proc/self/maps").map_err(|e| format!("/proc/self/maps: {e}"))?;
        for path in mapped_libraries(&maps) {
            let library = read(Path::new(&path))?;
            // Others refer to it by its own name, which need not be that of the file.
            let file_name = path.rsplit('/').next().unwrap_or(&path).to_string();
            let name = elf::soname(&library)?.unwrap_or(file_name);
            files.insert(format!("{LIBRARIES}/{name}"), library);
        }
    }
    files.insert(PROGRAM.to_string(), program);
    Ok(Contents { files })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    let size = fs::metadata(path).map_err(say)?.len();
    if size > MAX_FILE {
        return Err(format!(
            "{}: {size} bytes are too many for an image",
            path.display()
        ));
    }
    fs::read(path).map_err(say)
}

/// Paths of shared libraries in `/proc/self/maps`, each once.
fn mapped_libraries(maps: &str) -> Vec<String> {
    let mut paths: Vec<String> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].to_string()))
        .filter(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            (name.ends_with(".so") || name.contains(".so.")) && !path.ends_with(" (deleted)")
        })
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

impl Contents {
    fn tag(&self) -> String {
        let mut hash = Sha256::new();
        for (path, bytes) in &self.files {
            hash.update((path.len() as u64).to_be_bytes());
            hash.update(path);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let digest = hash.finalize();
        digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    fn tar(&self) -> Result<Vec<u8>, String> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path.trim_start_matches('/'), bytes.as_slice())
                .map_err(|e| format!("{path}: {e}"))?;
        }
        tar.into_inner().map_err(|e| e.to_string())
    }
}

/// Environment that containers of the image need.
pub(super) fn env() -> String {
    format!("LD_LIBRARY_PATH={LIBRARIES}")
}

async fn read_contents(program: &Path) -> Result<(Contents, String), String> {
    let program = program.to_path_buf();
    let read = tokio::task::spawn_blocking(move || {
        let contents = contents(&program)?;
        let tag = contents.tag();
        Ok((contents, tag))
    });
    read.await.map_err(|e| e.to_string())?
}

/// Makes sure that the image of the running binary is there; its name.
pub(super) async fn ensure(docker: &Docker) -> Result<String, String> {
    ensure_of(docker, Path::new(OWN)).await
}

/// The same of another build of it.
pub(super) async fn ensure_of(docker: &Docker, program: &Path) -> Result<String, String> {
    let (contents, tag) = read_contents(program).await?;
    let name = format!("{REPO}:{tag}");
    match docker.inspect_image(&name).await {
        Ok(_) => return Ok(name),
        Err(e) if engine::is_missing(&e) => {}
        Err(e) => return Err(format!("image {name}: {e}")),
    }
    let tar = tokio::task::spawn_blocking(move || contents.tar());
    let tar = tar.await.map_err(|e| e.to_string())??;
    let options = CreateImageOptions {
        from_src: Some("-".into()),
        repo: Some(REPO.into()),
        tag: Some(tag),
        changes: vec![format!("LABEL {LABEL}=1")],
        ..Default::default()
    };
    let mut progress = std::pin::pin!(docker.create_image(
        Some(options),
        Some(bollard::body_full(tar.into())),
        None
    ));
    while let Some(step) = progress.next().await {
        step.map_err(|e| format!("image {name} cannot be imported: {e}"))?;
    }
    docker
        .inspect_image(&name)
        .await
        .map_err(|e| format!("image {name} was not made: {e}"))?;
    Ok(name)
}

/// The id of an image, as the engine names it of its containers.
pub(super) async fn id(docker: &Docker, name: &str) -> Result<String, String> {
    let found = docker.inspect_image(name).await;
    let found = found.map_err(|e| format!("image {name}: {e}"))?;
    found
        .id
        .ok_or_else(|| format!("image {name}: Docker does not say its id"))
}

/// Our images that no container uses, by name: older binaries left them. That of the running
/// binary is not among them.
///
/// # Errors
/// Docker does not answer.
pub async fn unused_images() -> Result<Vec<String>, String> {
    let (docker, _) = engine::connect().await?;
    let (_, tag) = read_contents(Path::new(OWN)).await?;
    list(&docker, &format!("{REPO}:{tag}"))
        .await
        .map_err(|e| e.to_string())
}

async fn list(docker: &Docker, current: &str) -> Result<Vec<String>, bollard::errors::Error> {
    let filters = HashMap::from([("label".to_string(), vec![format!("{LABEL}=1")])]);
    let options = ListImagesOptions {
        filters: Some(filters),
        ..Default::default()
    };
    let images = docker.list_images(Some(options)).await?;
    let mut unused = Vec::new();
    for image in images {
        let filters = HashMap::from([("ancestor".to_string(), vec![image.id.clone()])]);
        let users = docker
            .list_containers(Some(bollard::query_parameters::ListContainersOptions {
                all: true,
                filters: Some(filters),
                ..Default::default()
            }))
            .await?;
        if users.is_empty() {
            let ours = |tag: &String| tag.starts_with("gameday:") && tag != current;
            unused.extend(image.repo_tags.into_iter().filter(ours));
        }
    }
    Ok(unused)
}

/// Removes images by name; an answer for each, in the order given. One that a container has
/// begun to use meanwhile stays, which is an error.
///
/// # Errors
/// Docker does not answer.
pub async fn remove_images(names: &[String]) -> Result<Vec<Result<(), String>>, String> {
    let (docker, _) = engine::connect().await?;
    let mut results = Vec::new();
    for name in names {
        let removed = docker
            .remove_image(name, None::<RemoveImageOptions>, None)
            .await;
        results.push(match removed {
            Err(e) if !engine::is_missing(&e) => Err(format!("image {name}: {e}")),
            _ => Ok(()),
        });
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_test_and_its_libraries_are_found() {
        let contents = contents(Path::new(OWN)).unwrap();
        assert!(contents.files.contains_key(PROGRAM));
        let dynamic = elf::interpreter(&contents.files[PROGRAM]).unwrap();
        let libc = contents.files.keys().any(|p| p.starts_with("/lib/libc."));
        assert_eq!(dynamic.is_some(), libc, "{:?}", contents.files.keys());
        assert_eq!(contents.tag().len(), 16);
        assert_eq!(contents.tag(), contents.tag());
    }

    #[test]
    fn libraries_are_told_from_other_mappings() {
        let maps = "\
7f00-7f01 r-xp 00000000 08:01 12  /usr/lib/x86_64-linux-gnu/libc.so.6
7f01-7f02 r--p 00000000 08:01 12  /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 r--p 00000000 08:01 13  /usr/lib/with space/libx.so
7f03-7f04 r--p 00000000 08:01 14  /home/x/my.something
7f04-7f05 rw-p 00000000 00:00 0   [heap]
";
        assert_eq!(
            mapped_libraries(maps),
            [
                "/usr/lib/with space/libx.so",
                "/usr/lib/x86_64-linux-gnu/libc.so.6"
            ]
        );
    }
}
