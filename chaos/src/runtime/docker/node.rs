//! A node: its pod, and the containers in which its process runs there.

use super::acts::Turn;
use super::pod::Pod;
use crate::runtime::control::lock;
use crate::runtime::{Identity, Launch};
use std::sync::{Arc, Mutex};

/// A node.
pub(super) struct Node {
    /// Where it runs.
    pub pod: Arc<Pod>,
    /// How it is started.
    pub launch: Launch,
    /// Whose turn it is to do something to it.
    pub turn: Turn,
    /// The start of its agent whose network namespace it has joined, as far as it is known.
    pub joined: Mutex<Option<Identity>>,
    containers: Mutex<Containers>,
}

/// One container for each program that the node has been so far, all on the same data; never
/// two of them run.
struct Containers {
    /// Image and container, in the order in which they were made.
    all: Vec<(String, String)>,
    /// Which one it is now.
    current: usize,
}

impl Node {
    /// A node that was made from `image` in `container`.
    pub fn new(pod: Pod, launch: Launch, image: String, container: String) -> Self {
        Node {
            turn: Turn::new(&pod.unit),
            pod: Arc::new(pod),
            launch,
            joined: Mutex::default(),
            containers: Mutex::new(Containers {
                all: vec![(image, container)],
                current: 0,
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.pod.unit
    }

    /// Id of the container that runs it.
    pub fn container(&self) -> String {
        let containers = lock(&self.containers);
        containers.all[containers.current].1.clone()
    }

    /// Ids of all its containers.
    pub fn containers(&self) -> Vec<String> {
        let containers = lock(&self.containers);
        containers.all.iter().map(|(_, id)| id.clone()).collect()
    }

    /// Makes the container of this image the current one; `false` if there is none.
    pub fn choose(&self, image: &str) -> bool {
        let mut containers = lock(&self.containers);
        let found = containers.all.iter().position(|(i, _)| i == image);
        containers.current = found.unwrap_or(containers.current);
        found.is_some()
    }

    /// A further container, which becomes the current one.
    pub fn add(&self, image: String, container: String) {
        let mut containers = lock(&self.containers);
        containers.all.push((image, container));
        containers.current = containers.all.len() - 1;
    }
}
