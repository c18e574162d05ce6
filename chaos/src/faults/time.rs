//! How long a fault is in force beside its hold, because it takes time to prove it.

use crate::playbook::values::show;
use std::time::Duration;

/// For so long beyond its hold a fault is in force at most. Whatever is not proven by then is
/// unknown, and the fault is reverted. What the revert itself takes comes on top.
pub const OVERTIME: Duration = Duration::from_secs(10);

/// How much of that is for a machine that is slower than was planned with.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// What a look takes beside the time in which something is measured.
const ASKING: Duration = Duration::from_millis(500);

/// Whether a fault whose looks take so long each can be proven in its time: that it took effect,
/// and once more that it held. One that may be `cut_short` is looked at again only then.
///
/// # Errors
/// Why not, and the hold that would do, if one would.
pub(crate) fn fits(
    looking: Duration,
    hold: Duration,
    cut_short: bool,
) -> Result<(), (String, Option<Duration>)> {
    let look = looking + ASKING;
    let takes = show(Duration::from_millis(look.as_millis() as u64));
    if cut_short && look > OVERTIME - SLACK {
        let why = format!(
            "one look at it takes {takes}: too long for one that is held until something comes, \
             and reverted within {} of it",
            show(OVERTIME)
        );
        return Err((why, None));
    }
    let least = (look * 2).saturating_sub(OVERTIME - SLACK);
    if looking.is_zero() || hold >= least {
        return Ok(());
    }
    let why = format!(
        "one look at it takes {takes}, and it takes two to see that it is in force and was so to \
         its end"
    );
    Err((why, Some(Duration::from_secs(least.as_secs() + 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_must_fit_into_the_hold_and_what_is_allowed_beyond_it() {
        let secs = Duration::from_secs;
        assert_eq!(
            fits(Duration::ZERO, Duration::from_millis(1), false),
            Ok(())
        );
        assert_eq!(fits(secs(2), secs(1), false), Ok(()));
        let (why, least) = fits(secs(190), secs(10), false).unwrap_err();
        assert!(why.contains("takes 190.5s"), "{why}");
        let least = least.unwrap();
        assert_eq!(fits(secs(190), least, false), Ok(()));
        assert!(fits(secs(190), least - secs(2), false).is_err());
        // However long it may be held: it is looked at when it is cut short.
        assert_eq!(fits(secs(4), secs(600), true), Ok(()));
        assert_eq!(fits(secs(5), secs(600), true).unwrap_err().1, None);
    }
}
