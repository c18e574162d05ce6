//! Logical clients: at most one call in flight each, retired after an outcome
//! that is not known, because its call may still take effect at any time.

/// Process ids of one canary.
#[derive(Debug)]
pub(crate) struct Processes {
    next: u64,
    idle: Vec<Vec<u64>>,
}

/// Ids of canary `i` begin at `i` times this.
const PER_CANARY: u64 = 1_000_000_000;

impl Processes {
    /// For the canary with this index, calling this many endpoints. A process
    /// stays with one endpoint, as a client does.
    pub(crate) fn new(canary: u32, endpoints: usize) -> Self {
        Processes {
            next: u64::from(canary) * PER_CANARY,
            idle: vec![Vec::new(); endpoints],
        }
    }

    /// A process that has no call in flight.
    pub(crate) fn take(&mut self, endpoint: usize) -> u64 {
        self.idle[endpoint].pop().unwrap_or_else(|| {
            let id = self.next;
            self.next += 1;
            id
        })
    }

    /// Its call ended and it may call again.
    pub(crate) fn release(&mut self, endpoint: usize, process: u64) {
        self.idle[endpoint].push(process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_reused_when_released_and_never_shared() {
        let mut p = Processes::new(2, 2);
        let a = p.take(0);
        let b = p.take(0);
        assert_eq!((a, b), (2_000_000_000, 2_000_000_001));
        p.release(0, a);
        assert_eq!(p.take(1), 2_000_000_002);
        assert_eq!(p.take(0), a);
        // `b` was never released: retired.
        assert_eq!(p.take(0), 2_000_000_003);
    }
}
