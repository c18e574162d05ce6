//! What a node's process may use of the machine, and what it has used.

/// Bounds of a node; none is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Hundredths of one processor.
    pub cpu_percent: Option<u32>,
    /// Bytes of memory, the page cache of its files included.
    pub memory: Option<u64>,
}

/// What the kernel says of a node's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The bound on the processor as it stands there: hundredths of one processor.
    pub cpu_percent: Option<u32>,
    /// Nanoseconds of processor time used so far.
    pub cpu_ns: u64,
    /// Periods in which the processor's bound was looked after: none are counted without one.
    pub periods: u64,
    /// Of these, periods in which the node had to wait.
    pub throttled: u64,
    /// Nanoseconds that it had to wait so far.
    pub waited_ns: u64,
    /// Bytes of memory that it may use.
    pub memory_limit: u64,
    /// Bytes that it uses.
    pub memory: u64,
    /// How often it wanted more than it may have, where the kernel counts that.
    pub memory_refused: Option<u64>,
}
