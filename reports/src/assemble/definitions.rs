//! What the words and numbers of a report mean.

use crate::report::Definition;

/// The definitions, each with its formula where there is one.
pub fn all() -> Vec<Definition> {
    [
        (
            "Availability",
            "Share of first attempts that were answered as promised, A = answered / attempts. An answer is a success or a condition that did not hold; what failed and what may or may not have had effect both count as missed. Operations are filed under the time at which they were due. Writes, strong reads and eventual reads are never merged.",
        ),
        (
            "After retries",
            "Share of requests of which any attempt was answered, as a client sees it that retries like the AWS SDKs.",
        ),
        (
            "Pair, all and untouched",
            "A pair is a canary's AZ and an endpoint. An objective counts all pairs unless the playbook says otherwise (scope = untouched: those whose two AZs no fault of the run touched, the regional promise). Both numbers are always shown.",
        ),
        (
            "Mean of slices",
            "Mean of the answered shares of equal slices of time, AWS's form of uptime (five minutes unless an objective says otherwise). A slice without operations is no data and does not count; AWS counts it as 100 %.",
        ),
        (
            "User-uptime",
            "up / (up + down) over pairs: the time between two neighbouring operations of a pair is up or down by the first of them, and not counted if longer than five turns (Hauer et al., NSDI 2020).",
        ),
        (
            "Worst window",
            "MCR(w): the least share answered in any window of length w (same source). The knee is the shortest window whose double misses at most three quarters of its share: the outage that weighs most is that long, and at most twice.",
        ),
        (
            "Proven",
            "What the sample shows with 95 % confidence: the exact binomial bound without a failure, Poisson's bound for up to five stretches of failures, Wilson's interval beyond. Failures in neighbouring seconds are one event, so n_eff = n / (failures per stretch). Nines are floored.",
        ),
        (
            "Healthy",
            "In a span of 3 s every pair that counts answered at least 99 % of each kind of operation, and none was silent. Recovery is the begin of the first such span: from the proven revert on (all pairs), from the act on for pairs that no active fault touched, and from the act on for all pairs, the fault's hold included. From the act it is looked for from the first failure on; without a failure it is zero.",
        ),
        (
            "Outage bracket",
            "A pair was out for at least t(last failure) - t(first failure) and at most t(next success) - t(last success before), by due times: the two ends differ by two intervals of the pair's operations at most if none of them is missing.",
        ),
        (
            "Brown-out",
            "Seconds of a pair with some but fewer than 99 % answered, or enough but with a 99th percentile of latency above twice that of the time before the first fault.",
        ),
        (
            "Time to detect",
            "From the act to the due time of the first operation that was not answered.",
        ),
        (
            "Burn rate",
            "(1 - A) / (1 - SLO). The standard alarms (Google's SRE workbook, chapter 5) fire while it exceeds their factor over a long and a short window; the time before the run counts as free of errors with the run's traffic. t = b (1 - SLO) long / e is the time to fire for a share of errors e. Alarms are evaluated in whole seconds after every call due in them has ended, so they are known up to the calls' timeout later.",
        ),
        (
            "Incidents a month",
            "8640 (1 - SLO) / c, with c the sum of 1 - A over the seconds of an incident, in units of five minutes.",
        ),
        (
            "Send lag",
            "How long after its due time an operation was sent. A second is suspect if its 99th percentile exceeds 5 ms or one operation 50 ms. Latency counts from the due time and contains it. A limit that was exceeded is called unknown if operations that were not sent, or late sending, could explain it.",
        ),
    ]
    .into_iter()
    .map(|(term, text)| Definition {
        term: term.into(),
        text: text.into(),
    })
    .collect()
}
