//! What the tests of this crate share.

use gameday_chaos::playbook::Playbook;
use gameday_record::{Node, Role, Topology};

/// The default cluster: 3 AZs, 2 storage nodes and a router in each.
pub fn topology() -> Topology {
    let azs = ["a", "b", "c"];
    let node = |name: String, az: &str, role: &str| Node {
        name,
        az: az.into(),
        role: role.into(),
    };
    Topology {
        azs: azs.map(String::from).to_vec(),
        nodes: azs
            .iter()
            .flat_map(|az| {
                [
                    node(format!("storage-{az}1"), az, "storage"),
                    node(format!("storage-{az}2"), az, "storage"),
                    node(format!("router-{az}"), az, "router"),
                ]
            })
            .collect(),
        racks: azs
            .iter()
            .flat_map(|az| {
                [
                    (format!("storage-{az}1"), format!("rack-{az}1")),
                    (format!("storage-{az}2"), format!("rack-{az}2")),
                    (format!("router-{az}"), format!("rack-{az}1")),
                ]
            })
            .collect(),
        labels: [(
            "canary-nodes".to_string(),
            ["storage-a1", "router-b"].map(String::from).to_vec(),
        )]
        .into(),
        roles: [("storage", true), ("router", false)]
            .map(|(name, replicas)| {
                let endpoint = !replicas;
                (name.to_string(), Role { replicas, endpoint })
            })
            .into(),
    }
}

/// A playbook of these steps, with `head` in its first section.
pub fn playbook(head: &str, steps: &str) -> Playbook {
    let text = format!("[playbook]\ntitle = \"t\"\n{head}\n{steps}\n");
    Playbook::parse("t.toml", &text).unwrap_or_else(|e| panic!("{}", render(&e)))
}

/// One step as text.
pub fn step(name: &str, fault: &str, target: &str, when: &str, hold: &str) -> String {
    format!(
        "[[step]]\nname = \"{name}\"\nfault = \"{fault}\"\ntarget = {{ {target} }}\n{when}\nfor = \"{hold}\"\n"
    )
}

use gameday_chaos::playbook::render;
