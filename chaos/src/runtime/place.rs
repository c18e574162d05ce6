//! From where one looks at processes: machine, boot, PID namespace.

use std::fs;

/// Inode of the first PID namespace of every Linux kernel (`PROC_PID_INIT_INO`): whoever is in it
/// sees all processes of the machine.
pub(crate) const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// From where one looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// `/etc/machine-id`, outside containers, whose images may share one.
    pub machine: Option<String>,
    /// Inode of the PID namespace.
    pub pid_namespace: Option<u64>,
    /// Whether processes of other users are shown.
    pub shows_others: bool,
}

impl Place {
    /// Where this process is.
    pub fn here() -> Self {
        let read = |path: &str| {
            let text = fs::read_to_string(path).ok()?;
            let text = text.trim();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let fits = (1..=64).contains(&text.len()) && text.chars().all(plain);
            fits.then(|| text.to_string())
        };
        let pid_namespace = namespace_inode("/proc/self/ns/pid");
        let is_first = pid_namespace == Some(FIRST_PID_NAMESPACE);
        Place {
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            machine: is_first.then(|| read("/etc/machine-id")).flatten(),
            pid_namespace,
            // It is there in every PID namespace, and hidden where `/proc` hides processes.
            shows_others: fs::read("/proc/1/stat").is_ok(),
        }
    }
}

fn namespace_inode(path: &str) -> Option<u64> {
    let link = fs::read_link(path).ok()?;
    let text = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
    text.parse().ok()
}
