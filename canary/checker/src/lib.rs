//! History to verdict: linearizability and durability of recorded client histories.
