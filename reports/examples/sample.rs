//! Writes sample reports, to look at: `cargo run -p gameday-reports --example sample -- FOLDER`.

#[path = "../tests/common/mod.rs"]
mod common;

use gameday_record::RunState;
use gameday_record::timeline::TimelineEvent;

fn main() -> Result<(), String> {
    let root = std::env::args().nth(1).ok_or("usage: sample FOLDER")?;
    let root = std::path::Path::new(&root);
    let mut lost = common::Synthetic::az_power_off();
    common::lost_write(&mut lost);
    let mut cut = common::Synthetic::az_power_off();
    cut.complete = false;
    cut.verdict = None;
    cut.operations.retain(|o| o.due < common::ms(30_000));
    cut.timeline.retain(|l| l.time < common::ms(30_000));
    cut.timeline.push(common::line(
        30_000,
        TimelineEvent::Ended {
            state: RunState::Interrupted,
            reason: Some("SIGINT".into()),
        },
    ));
    for (name, sample) in [
        ("pass", common::Synthetic::az_power_off()),
        ("fail", lost),
        ("interrupted", cut),
    ] {
        let folder = sample.write(&root.join(name));
        let report = gameday_reports::assemble(&folder)?;
        gameday_reports::render_all(&folder, &report)?;
        let path = folder.report_html().display().to_string();
        print!(
            "{}",
            gameday_reports::terminal::summary(&report, &path, false)
        );
    }
    Ok(())
}
