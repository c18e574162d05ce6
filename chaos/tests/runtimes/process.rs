//! The process runtime.

use crate::{Outcome, again, orphans, suite, traffic};
use gameday_chaos::runtime::marks::Kind;
use gameday_chaos::runtime::process::ProcessRuntime;

pub async fn does_what_it_says() -> Outcome {
    let marks = suite::marks("process", Kind::Run);
    let run = marks.run.clone();
    let runtime = ProcessRuntime::new(marks, suite::units())
        .await
        .expect("a runtime");
    suite::does_what_it_says(&runtime, &run).await;
    Outcome::Passed
}

pub async fn leases_lapse() -> Outcome {
    orphans::leases_lapse("process").await;
    Outcome::Passed
}

pub async fn kept_cluster_stays() -> Outcome {
    orphans::kept_cluster_stays("process").await;
    Outcome::Passed
}

pub async fn links_come_back() -> Outcome {
    let marks = suite::marks("process-again", Kind::Run);
    let run = marks.run.clone();
    let runtime = ProcessRuntime::new(marks, suite::units())
        .await
        .expect("a runtime");
    again::links_come_back(&runtime, &run).await;
    Outcome::Passed
}

pub async fn traffic_is_as_asked() -> Outcome {
    let marks = suite::marks("process-traffic", Kind::Run);
    let runtime = ProcessRuntime::new(marks, suite::units())
        .await
        .expect("a runtime");
    traffic::is_as_asked(&runtime).await;
    Outcome::Passed
}
