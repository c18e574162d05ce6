//! What the words and numbers of a report mean.

use crate::report::Definition;

/// The definitions, each with its formula where there is one.
pub fn all() -> Vec<Definition> {
    [
        (
            "Availability",
            "Share of first attempts that were answered as promised, A = answered / attempts. An answer is a success or a condition that did not hold; what failed, what may or may not have had effect, and, where the workload says slow_after, what was answered later than that count as missed. Operations are filed under the time at which they were due. Writes, strong reads and eventual reads are never merged.",
        ),
        (
            "After retries",
            "Share of requests of which any attempt was answered, as a client sees it that retries like the AWS SDKs. A request whose next attempt was still to come when the canary stopped is left out.",
        ),
        (
            "Pair, all and untouched",
            "A pair is a canary's AZ and an endpoint. An objective counts all pairs unless the playbook says otherwise (scope = untouched: those whose two AZs no fault of the run touched, the regional promise). Both numbers are always shown.",
        ),
        (
            "Mean of slices",
            "Mean of the answered shares of slices of time, each weighted by the time that it covers, as AWS's agreements weight theirs (five minutes unless an objective says otherwise). It is not AWS's number: slices begin with the run, every missed operation counts and not 500 and 503 alone, and a slice without operations is no data and does not count.",
        ),
        (
            "User-uptime",
            "up / (up + down) over pairs: the time between two neighbouring operations of a pair is up or down by the first of them, and not counted if longer than five turns (Hauer et al., NSDI 2020).",
        ),
        (
            "Worst window",
            "MCR(w): the least share answered in any window of length w (same source) that has at least half of the usual operations. The knee is the shortest window whose double misses at most three quarters of its share: the outage that weighs most is that long, and at most twice.",
        ),
        (
            "Proven",
            "The availability that the sample shows with 95 % confidence, one-sided, by outages over time and not by calls, which are not independent: neighbouring seconds in which far more was missed than usual are one event, and so is any other second with a miss. Without an event it is 1 - 3 / seconds: what may have gone unseen is taken to be outages of a second. With events it is the bound of a weighted sum of Poisson counts (Fay and Feuer, Statistics in Medicine 1997; for equal events Garwood's, Biometrika 1936). Nines are floored. Pairs that were hurt on purpose do not enter the number at the top.",
        ),
        (
            "Healthy",
            "In a span of 3 s every pair that counts answered at least 99 % of each kind of operation, and none was silent. Recovery is the begin of the first such span: from the completion of the revert on (all pairs; the proof may come later, and the time that it took is told beside it), from the act on for pairs that no active fault touched, and from the act on for all pairs, the fault's hold included. From the act it is looked for from the first failure on; without a failure it is zero.",
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
            "First impact, detected, alarmed",
            "Three times from the act. First impact: the due time of the first operation that was not answered; the service failed from then on, and nobody knew. Detected: the completion of the first operation that was known not to be answered, by its timeout at the latest. Alarmed: the first moment at which an alarm of the playbook could be evaluated, when the last operation due in its window had ended. The alarm of a live watch comes later still, and is told where it was recorded.",
        ),
        (
            "First success",
            "From the act to the completion of the first answered operation due after the first failure, of the slowest pair; never if a pair that failed was not answered again while it was measured.",
        ),
        (
            "Write gap",
            "The longest time between two completions of acknowledged writes through any endpoint, the first and the last write due included: what a client goes without that waits for any acknowledgement. A freeze that is shorter than the timeout shows in it. Doomed writes are something else: the longest stretch, by due times, of writes in a row that were not answered.",
        ),
        (
            "Burn rate",
            "(1 - A) / (1 - SLO). The standard alarms (Google's SRE workbook, chapter 5) fire while it exceeds their factor over a long and a short window; the time before the run counts as free of errors with the run's traffic. t = b (1 - SLO) long / e is the time to fire for a share of errors e. Alarms are evaluated in whole seconds of due times, and can be known when every operation due in them has ended.",
        ),
        (
            "Incidents a month",
            "8640 (1 - SLO) / c, with c the sum of 1 - A over the seconds of an incident, in units of five minutes.",
        ),
        (
            "Send lag",
            "How long after its due time an operation was sent. A second is suspect if its 99th percentile exceeds 5 ms or one operation 50 ms. Latency counts from the due time and contains it. A limit that was exceeded is called unknown if it would hold had the canary sent everything, and in time.",
        ),
    ]
    .into_iter()
    .map(|(term, text)| Definition {
        term: term.into(),
        text: text.into(),
    })
    .collect()
}
