//! Panics on purpose, for tests of what becomes of a replica that meets one: writes of certain
//! keys meet them.

use std::sync::atomic::{AtomicBool, Ordering};

/// A key whose write panics while it is evaluated.
pub const IN_EVALUATION: &[u8] = b"panics in evaluation";
/// A key whose write panics where it is applied: on the first replica that applies it, once.
pub const IN_APPLYING: &[u8] = b"panics in applying";

static APPLIED: AtomicBool = AtomicBool::new(false);

/// Panics if the key is that one.
pub fn meet(here: &[u8], key: &[u8]) {
    if key == here {
        let again = here == IN_APPLYING && APPLIED.swap(true, Ordering::SeqCst);
        assert!(again, "on purpose");
    }
}
