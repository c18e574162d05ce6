//! Containers for tests.

use super::CONSENT_LABEL;
use super::found::{
    Attachment, Found, NUMBER_LABEL, Network, PROJECT_LABEL, SERVICE_LABEL, Standing,
};
use bollard::models::ContainerInspectResponse;
use std::collections::BTreeMap;

/// What an engine says of a container, shortened.
pub fn said() -> ContainerInspectResponse {
    let id = "ab".repeat(32);
    let text = format!(
        r#"{{"Id":"{id}","Name":"/shop-db-1","RestartCount":2,
        "State":{{"Status":"running","Running":true,"Paused":false,"Restarting":false,"Pid":77,
                  "OOMKilled":false,"ExitCode":0,"StartedAt":"2026-01-02T03:04:05.6Z"}},
        "HostConfig":{{"NetworkMode":"shop_back","AutoRemove":false,"NanoCpus":500000000,
                       "CpuPeriod":0,"CpuQuota":0,"Memory":0,"MemorySwap":0,
                       "RestartPolicy":{{"Name":"unless-stopped","MaximumRetryCount":0}}}},
        "Mounts":[{{"Type":"volume","Name":"shop_data","Destination":"/data","RW":true}}],
        "Config":{{"Image":"postgres:17","Healthcheck":{{"Test":["CMD","true"]}},
                   "Labels":{{"com.docker.compose.project":"shop","com.docker.compose.service":"db",
                              "com.docker.compose.container-number":"1","gameday.az":"a"}}}},
        "NetworkSettings":{{"SandboxID":"s1","Networks":{{
            "shop_back":{{"NetworkID":"n1","EndpointID":"e1","IPAddress":"172.20.0.3",
                          "GlobalIPv6Address":"fd00::3","Aliases":["db"]}},
            "shop_front":{{"NetworkID":"n2","EndpointID":"e2","IPAddress":"172.21.0.3",
                           "GlobalIPv6Address":""}}}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// A container of the project `shop` that runs, with the consent of its owner.
pub fn container(service: &str, number: u32) -> Found {
    let name = format!("shop-{service}-{number}");
    let labels = [
        (PROJECT_LABEL, "shop"),
        (SERVICE_LABEL, service),
        (NUMBER_LABEL, &number.to_string()),
        (CONSENT_LABEL, "yes"),
        ("gameday.az", "a"),
    ];
    let back = Attachment {
        network: "n1".into(),
        ipv4: format!("172.20.0.{}", number + 1).parse().ok(),
        ..Attachment::default()
    };
    Found {
        id: format!("id-of-{name}"),
        name,
        image: "shop".into(),
        labels: labels.map(|(k, v)| (k.into(), v.into())).into(),
        standing: Standing::Runs,
        policy: Default::default(),
        goes_when_it_ends: false,
        network: Network::Own,
        networks: BTreeMap::from([("shop_back".into(), back)]),
        bounds: Default::default(),
        mounts: Vec::new(),
        tells_its_health: false,
        pid: 7,
        started_at: "2026-01-02T03:04:05Z".into(),
        restarts: 0,
    }
}
