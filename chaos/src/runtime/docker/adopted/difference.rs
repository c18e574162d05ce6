//! What `docker inspect` says otherwise after a game day than before. Times,
//! process ids and what the engine numbers anew at every start do not count,
//! nor what a container's own check says of its health just now. Pure.

use super::bounds::{same_memory, same_quota};
use serde_json::Value;
use std::fmt;

/// Paths that are another one after every start; `*` is any name.
const VOLATILE: [&str; 11] = [
    "State.StartedAt",
    "State.FinishedAt",
    "State.Pid",
    "State.Health",
    "RestartCount",
    "ExecIDs",
    "NetworkSettings.SandboxID",
    "NetworkSettings.SandboxKey",
    "NetworkSettings.EndpointID",
    "NetworkSettings.Networks.*.EndpointID",
    // Of the engine's own folders for it.
    "GraphDriver",
];

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, for example `HostConfig.NanoCpus`.
    pub path: String,
    /// What was there; `null` is nothing.
    pub before: String,
    /// What is there now.
    pub after: String,
    /// Whether both mean the same, because the engine has no way back to the very word.
    pub means_the_same: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            path,
            before,
            after,
            ..
        } = self;
        write!(f, "{path}: {before} before, {after} now")?;
        if self.means_the_same {
            f.write_str(" (which means the same)")?;
        }
        Ok(())
    }
}

/// Compares two answers to `docker inspect` of the same container.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut Vec::new(), before, after, &mut found);
    found
}

fn compare<'a>(
    path: &mut Vec<&'a str>,
    before: &'a Value,
    after: &'a Value,
    found: &mut Vec<Difference>,
) {
    if before == after || VOLATILE.iter().any(|pattern| fits(path, pattern)) {
        return;
    }
    match (before, after) {
        (Value::Object(b), Value::Object(a)) => {
            let added = a.keys().filter(|key| !b.contains_key(*key));
            for key in b.keys().chain(added) {
                path.push(key);
                let of = |map: &'a serde_json::Map<String, Value>| map.get(key);
                compare(
                    path,
                    of(b).unwrap_or(&Value::Null),
                    of(a).unwrap_or(&Value::Null),
                    found,
                );
                path.pop();
            }
        }
        // Lists such as those of mounts and aliases come in any order.
        (Value::Array(b), Value::Array(a)) if sorted(b) == sorted(a) => {}
        _ => found.push(Difference {
            path: path.join("."),
            before: before.to_string(),
            after: after.to_string(),
            means_the_same: means_the_same(path, before, after),
        }),
    }
}

fn fits(path: &[&str], pattern: &str) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    parts.len() == path.len()
        && parts
            .iter()
            .zip(path)
            .all(|(p, name)| *p == "*" || p == name)
}

fn sorted(list: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = list.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

fn means_the_same(path: &[&str], before: &Value, after: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Null => Some(0),
        value => value.as_i64(),
    };
    let (Some(before), Some(after)) = (number(before), number(after)) else {
        return false;
    };
    match path {
        ["HostConfig", "CpuQuota"] => same_quota(before, after),
        ["HostConfig", "Memory" | "MemorySwap"] => same_memory(before, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_times_and_numbers_of_a_start_may_differ() {
        let before = json!({
            "State": {"Running": true, "StartedAt": "1", "Pid": 7, "Health": {"Status": "healthy"}},
            "RestartCount": 0,
            "HostConfig": {"NanoCpus": 0, "CpuQuota": 0, "Memory": 0, "Binds": ["a:/a", "b:/b"]},
            "NetworkSettings": {"SandboxID": "x", "Networks": {"n": {"EndpointID": "e", "IPAddress": "1.2.3.4"}}},
        });
        let mut after = before.clone();
        after["State"]["StartedAt"] = json!("2");
        after["State"]["Pid"] = json!(8);
        after["State"]["Health"] = json!({"Status": "starting"});
        after["RestartCount"] = json!(1);
        after["NetworkSettings"]["SandboxID"] = json!("y");
        after["NetworkSettings"]["Networks"]["n"]["EndpointID"] = json!("f");
        after["HostConfig"]["Binds"] = json!(["b:/b", "a:/a"]);
        assert_eq!(differences(&before, &after), []);

        after["State"]["Running"] = json!(false);
        after["HostConfig"]["CpuQuota"] = json!(-1);
        after["HostConfig"]["Memory"] = json!(1i64 << 50);
        after["HostConfig"]["NanoCpus"] = json!(5);
        after["HostConfig"]["Binds"] = json!(["a:/a"]);
        after["HostConfig"]["New"] = json!("x");
        after["NetworkSettings"]["Networks"]["n"]["IPAddress"] = json!("1.2.3.5");
        let said: Vec<String> = differences(&before, &after)
            .iter()
            .map(|d| d.to_string())
            .collect();
        let expected = [
            r#"HostConfig.Binds: ["a:/a","b:/b"] before, ["a:/a"] now"#,
            "HostConfig.CpuQuota: 0 before, -1 now (which means the same)",
            "HostConfig.Memory: 0 before, 1125899906842624 now (which means the same)",
            "HostConfig.NanoCpus: 0 before, 5 now",
            r#"HostConfig.New: null before, "x" now"#,
            r#"NetworkSettings.Networks.n.IPAddress: "1.2.3.4" before, "1.2.3.5" now"#,
            "State.Running: true before, false now",
        ];
        let mut said = said;
        said.sort();
        assert_eq!(said, expected);
    }
}
