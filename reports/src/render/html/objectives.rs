//! What was promised and what was seen, the failures first.

use super::mark;
use crate::report::{Report, SloRow};
use gameday_record::{Scope, Verdict};
use maud::{Markup, html};

/// Passes shown before the rest is folded away.
const MAX_OPEN: usize = 12;
/// Objectives shown in all.
const MAX: usize = 300;

pub fn section(r: &Report) -> Markup {
    let mut rows: Vec<_> = r.slo.iter().take(MAX).collect();
    rows.sort_by_key(|row| match row.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        Verdict::Pass => 2,
    });
    let bad = rows.iter().filter(|r| r.verdict != Verdict::Pass).count();
    let (open, folded) = rows.split_at(rows.len().min(bad.max(MAX_OPEN)));
    html! {
        @if rows.is_empty() { p { "The playbook promises nothing, so nothing is judged here." } }
        @else {
            (table(open, r))
            @if !folded.is_empty() {
                details { summary { (folded.len()) " more that passed" } (table(folded, r)) }
            }
            @if r.slo.len() > MAX { p.muted { "The rest is in report.json." } }
        }
    }
}

/// On a small screen the table becomes cards, which takes its meaning from the elements: roles
/// give it back to those who do not see it.
fn table(rows: &[&SloRow], r: &Report) -> Markup {
    let budget = rows.iter().any(|r| r.budget_used.is_some());
    let proven = rows.iter().any(|r| r.proven.is_some());
    let faulted = r.faulted();
    html! {
        div.scroll { table.cards role="table" {
            caption {
                "Over the whole measured time, " (r.measured.from) " to " (r.measured.to)
                @if faulted {
                    ". Both numbers are given for every objective; the bold one was judged: all pairs of canary and endpoint unless the playbook says "
                    code { "untouched" } " (those in AZs without a target)."
                } @else { ". No fault was injected, so every pair of canary and endpoint is untouched: all of them count." }
            }
            thead role="rowgroup" { tr role="row" {
                th scope="col" role="columnheader" { "Verdict" } th scope="col" role="columnheader" { "Objective" } th.r scope="col" role="columnheader" { "Limit" }
                th.r scope="col" role="columnheader" { "All pairs" }
                @if faulted { th.r scope="col" role="columnheader" { "Untouched pairs" } }
                th.r scope="col" role="columnheader" { "Margin" }
                @if budget { th.r scope="col" role="columnheader" { "Budget used" } }
                @if proven { th.r scope="col" role="columnheader" { "Proven, 95\u{a0}%" } }
            } }
            tbody role="rowgroup" { @for row in rows { tr role="row" {
                td role="cell" { (mark(row.verdict)) }
                th.wide scope="row" role="rowheader" {
                    (row.objective)
                    @if row.observed != row.all_text && row.observed != row.untouched_text { small.sub { (row.observed) } }
                    @if !row.doubt.is_empty() { small.sub { (row.doubt) } }
                }
                td.r role="cell" data-k="Limit" { (row.limit) }
                (number("All pairs", &row.all_text, !faulted || row.selection.scope == Scope::All))
                @if faulted { (number("Untouched pairs", &row.untouched_text, row.selection.scope == Scope::Untouched)) }
                td.r role="cell" data-k="Margin" { (dash(&row.margin)) }
                @if budget { td.r role="cell" data-k="Budget used" { @match row.budget_used { Some(b) => (used(b)), None => "–" } } }
                @if proven { td.r role="cell" data-k="Proven, 95 %" { @match &row.proven { Some(p) => (super::availability::at_least(p)), None => "–" } } }
            } } }
        } }
    }
}

/// What was seen: the number, and what it is of in small print.
fn number(name: &str, text: &str, judged: bool) -> Markup {
    let (number, detail) = parts(dash(text));
    html! { td.r role="cell" data-k=(name) {
        @if judged { strong { (number) } } @else { span.muted { (number) } }
        @if !detail.is_empty() { small.sub { (detail) } }
    } }
}

/// `86.3 % (451 of 3 222 missed)` as `86.3 %` and `451 of 3 222 missed`.
fn parts(text: &str) -> (&str, &str) {
    let cut = [" (", " from ", " after ", " over ", ", ", ": "]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    let Some((number, detail)) = cut.and_then(|at| text.split_at_checked(at)) else {
        return (text, "");
    };
    let detail = detail.trim_start_matches([' ', ',', ':']);
    let bare = detail
        .strip_prefix('(')
        .and_then(|d| d.strip_suffix(')'))
        .filter(|d| !d.contains(['(', ')']));
    (number, bare.unwrap_or(detail))
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

/// A share of the error budget, rounded up: `37 %`, `12 times`.
fn used(share: f64) -> String {
    if share.is_nan() {
        "–".into()
    } else if share.is_infinite() {
        "all of it".into()
    } else if share < 10.0 {
        format!("{:.0} %", (share * 100.0).ceil())
    } else {
        format!("{:.0} times", share.ceil())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_stand_before_what_they_are_of() {
        for (text, number, detail) in [
            (
                "86.3 % (451 of 3 222 missed)",
                "86.3 %",
                "451 of 3 222 missed",
            ),
            ("160 ms from +11.532 s", "160 ms", "from +11.532 s"),
            (
                "0 ms after kill on b (injection 1)",
                "0 ms",
                "after kill on b (injection 1)",
            ),
            (
                "99 % (4 of 5 missed), but (so) it is",
                "99 %",
                "(4 of 5 missed), but (so) it is",
            ),
            (
                "no answer: 2 of 3 were missed",
                "no answer",
                "2 of 3 were missed",
            ),
            (
                "66.7 % over a part of the run",
                "66.7 %",
                "over a part of the run",
            ),
            ("1.2 s", "1.2 s", ""),
            ("–", "–", ""),
        ] {
            assert_eq!(super::parts(text), (number, detail));
        }
    }

    #[test]
    fn budgets_are_rounded_up() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.001, "1 %"),
            (0.37, "37 %"),
            (11.2, "12 times"),
            (f64::INFINITY, "all of it"),
        ] {
            assert_eq!(super::used(share), text);
        }
    }
}
