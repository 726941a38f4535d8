//! Plan, status and problems as Markdown for the comment of a pull request: one line that
//! says it all, a table, and the details folded. The same plan gives the same bytes.
//!
//! A comment holds a limited number of characters. What matters least is left out first,
//! and the last line says what.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::names::ServiceName;
use crate::plan::types::{Change, Phase, Plan, RollbackClass, ServicePlan};

use super::json::waiting;
use super::review::{self, Shown, Times};
use super::style::Style;
use super::text;

/// Bytes that a comment may have: fewer than the characters that GitHub takes, however it
/// counts those that take several bytes, with room for the line that finds it again.
/// Source: GitHub's documented limit of a comment's body, 65,536 characters.
const BYTES_MAX: usize = 65_200;

/// Kept free for the last line, which says what was left out.
const LAST_LINE: usize = 300;

const PLAIN: Style = Style { color: false, verbose: 0, width: 80 };

/// What a piece of the document is. In this order they are left out, the last first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Error,
    Row,
    Other,
    Warning,
    Details,
    FileDiff,
}

impl Kind {
    fn named(self, count: usize) -> String {
        let (one, many) = match self {
            Self::Error => ("error", "errors"),
            Self::Row => ("row of the table", "rows of the table"),
            Self::Other => ("service in flight", "services in flight"),
            Self::Warning => ("warning", "warnings"),
            Self::Details => ("service's details", "services' details"),
            Self::FileDiff => ("file diff", "file diffs"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

/// A part that may be left out.
#[derive(Debug)]
struct Piece {
    kind: Kind,
    /// Among pieces of its kind: the highest goes first.
    rank: usize,
    text: String,
}

/// A document: fixed texts and pieces in their order.
struct Document {
    /// The line that says it all, and whatever else always stays.
    head: String,
    /// Before the first row.
    table_head: String,
    pieces: Vec<Piece>,
    /// The command that shows all.
    command: &'static str,
}

impl Document {
    /// Writes it, with as much as fits.
    fn write(self, max: usize) -> String {
        let Self { head, table_head, mut pieces, command } = self;
        let fixed = head.len() + table_head.len() + LAST_LINE;
        let mut size: usize = fixed + pieces.iter().map(|piece| piece.text.len()).sum::<usize>();
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse((pieces[*index].kind, pieces[*index].rank, *index)));
        let mut left_out: BTreeMap<Kind, usize> = BTreeMap::new();
        for index in order {
            if size <= max {
                break;
            }
            size -= pieces[index].text.len();
            *left_out.entry(pieces[index].kind).or_default() += 1;
            pieces[index].text.clear();
        }
        let of = |wanted: &[Kind]| -> String {
            pieces.iter().filter(|piece| wanted.contains(&piece.kind)).map(|piece| piece.text.as_str()).collect()
        };
        let (rows, problems, folded) =
            (of(&[Kind::Row]), of(&[Kind::Error, Kind::Warning]), of(&[Kind::Details, Kind::FileDiff]));
        let others = of(&[Kind::Other]);
        let mut out = head;
        if !rows.is_empty() {
            let _ = write!(out, "\n{table_head}{rows}");
        }
        if !problems.is_empty() {
            let _ = write!(out, "\n{problems}");
        }
        if !others.is_empty() {
            let _ = write!(out, "\nIn flight or drifting, not by this merge:\n\n{others}");
        }
        out.push_str(&folded);
        if !left_out.is_empty() {
            let parts: Vec<String> = left_out.iter().rev().map(|(kind, count)| kind.named(*count)).collect();
            let _ =
                write!(out, "\nLeft out, for this would be too long: {}. `{command}` shows all.\n", parts.join(", "));
        }
        out
    }
}

/// A plan.
pub fn plan(plan: &Plan) -> String {
    plan_of(plan, Shown::Changes)
}

/// A plan, with the services that are asked for.
pub fn plan_of(plan: &Plan, shown: Shown) -> String {
    document_of_plan(plan, shown).write(BYTES_MAX)
}

fn document_of_plan(plan: &Plan, shown: Shown) -> Document {
    let mut head = format!("{} {}\n", heading(plan), text::summary_line(plan));
    match (plan.complete, plan.observed_at) {
        (false, None) if plan.review.is_some() => {
            let _ = write!(head, "\n**Not complete.** {}\n", review::UNKNOWN);
        }
        (false, None) => head.push_str("\n**Not complete: AWS was not asked.**\n"),
        (false, Some(_)) => head.push_str("\n**Not complete: some of AWS could not be read.**\n"),
        (true, _) => {}
    }
    for freeze in review::freezes(plan) {
        let _ = write!(head, "\n**Freeze:** {}.\n", cell(&freeze));
    }
    let mut pieces = problems(&plan.diagnostics);
    for service in plan.services.iter().filter(|service| review::is_shown(plan, service, shown)) {
        let rank = rank(service);
        pieces.push(Piece { kind: Kind::Row, rank, text: plan_row(plan, service) });
        let said = text::service(plan, service, PLAIN, Times::Fixed).replace(" (-v shows them)", "");
        let (first, rest) = said.split_once('\n').unwrap_or((&said, ""));
        let title =
            format!("<b>{}</b>{}", service.name, html(first.strip_prefix(service.name.as_str()).unwrap_or(first)));
        pieces.push(Piece { kind: Kind::Details, rank, text: folded(&title, "text", &outdented(rest)) });
        if let Some(diff) = &service.file_diff {
            let title = format!("<b>{}</b>, the difference of its file", service.name);
            pieces.push(Piece { kind: Kind::FileDiff, rank, text: folded(&title, "diff", diff) });
        }
    }
    if let Some(diff) = plan.review.as_ref().and_then(|review| review.scope_diff.as_ref()) {
        let text = folded("<b>ionroller.toml</b>, its difference", "diff", diff);
        pieces.push(Piece { kind: Kind::FileDiff, rank: 0, text });
    }
    if shown == Shown::Changes {
        others(plan, &mut pieces);
    }
    let table_head =
        "| service | change | from | to | machines | takes | way back |\n|---|---|---|---|---|---|---|\n".to_owned();
    Document { head, table_head, pieces, command: "ionroller plan" }
}

/// Services that the merge leaves alone and that are in flight, drift or wait.
fn others(plan: &Plan, pieces: &mut Vec<Piece>) {
    for service in review::others(plan) {
        let live = service.from.as_ref().map_or_else(String::new, |live| format!(" {}", code(live.version.as_str())));
        let said = cell(&review::of_another(plan, service));
        let text = format!("- {}{live}: {said}\n", code(service.name.as_str()));
        pieces.push(Piece { kind: Kind::Other, rank: rank(service), text });
    }
}

/// Text without the columns that all its lines leave free.
fn outdented(text: &str) -> String {
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let free = text.lines().filter(|line| !line.is_empty()).map(spaces).min().unwrap_or(0);
    text.lines().map(|line| format!("{}\n", line.get(free..).unwrap_or_default())).collect()
}

/// What matters most has the lowest rank.
fn rank(service: &ServicePlan) -> usize {
    match service.change {
        Change::Blocked => 0,
        Change::Remove => 1,
        Change::Rollback => 2,
        Change::Release => 3,
        Change::Takeover => 4,
        Change::Create => 5,
        Change::Update => 6,
        Change::None => 7,
    }
}

fn heading(plan: &Plan) -> String {
    let scope = plan.scope.as_ref().map_or("no valid scope", |scope| scope.as_str());
    match (&plan.commit, &plan.base) {
        (Some(commit), Some(base)) => format!("**{scope}**, {} merged into {}:", commit.short(), base.short()),
        (Some(commit), None) => format!("**{scope}** at {}:", commit.short()),
        (None, _) => format!("**{scope}**:"),
    }
}

fn plan_row(plan: &Plan, service: &ServicePlan) -> String {
    let release = |release: &Option<crate::plan::types::Release>| match release {
        Some(release) => code(release.version.as_str()),
        None => "–".to_owned(),
    };
    let wait = waiting(service)
        .map(|wait| format!(", waiting: {}", cell(&text::wait_sentence(wait, plan.observed_at, Times::Fixed))))
        .unwrap_or_default();
    let takes = review::takes(plan, service).unwrap_or_else(|| "–".to_owned());
    let machines = review::machines(service);
    let back = match (service.change, service.rollback) {
        (_, None) => "–".to_owned(),
        (Change::Rollback, Some(RollbackClass::Instant)) => "this is one call".to_owned(),
        (_, Some(RollbackClass::Instant)) => format!("instant{}", review::instant_for(plan, service)),
        (_, Some(RollbackClass::ScaleUp)) => "its machines grow first".to_owned(),
        (_, Some(RollbackClass::Full)) => "needs new machines".to_owned(),
    };
    let change = text::word(service.change);
    let (from, to) = (release(&service.from), release(&service.to));
    format!("| {} | {change}{wait} | {from} | {to} | {machines} | {takes} | {back} |\n", code(service.name.as_str()))
}

/// The status of all services, or of one.
pub fn status(plan: &Plan, only: Option<&ServiceName>) -> String {
    document_of_status(plan, only).write(BYTES_MAX)
}

fn document_of_status(plan: &Plan, only: Option<&ServiceName>) -> Document {
    let chosen = |service: &&ServicePlan| only.is_none_or(|only| *only == service.name);
    let services: Vec<&ServicePlan> = plan.services.iter().filter(chosen).collect();
    let steady = services.iter().filter(|service| service.phase == Phase::Steady && waiting(service).is_none()).count();
    let noun = if services.len() == 1 { "service is" } else { "services are" };
    let head = format!("{} {steady} of {} {noun} steady.\n", heading(plan), services.len());
    let mut pieces = Vec::new();
    for service in services {
        let rank = usize::from(service.phase == Phase::Steady) + usize::from(waiting(service).is_none());
        let live = service.from.as_ref().map_or_else(|| "–".to_owned(), |live| code(live.version.as_str()));
        let wait = waiting(service).map_or_else(|| "–".to_owned(), |wait| cell(&wait.detail));
        let name = code(service.name.as_str());
        let row = format!("| {name} | {live} | {} | {wait} |\n", service.phase.as_str());
        pieces.push(Piece { kind: Kind::Row, rank, text: row });
        let groups = text::group_lines(service, PLAIN);
        if !groups.is_empty() {
            let title = format!("<b>{}</b>, its server groups", service.name);
            pieces.push(Piece { kind: Kind::Details, rank, text: folded(&title, "text", &groups) });
        }
    }
    let table_head = "| service | live | phase | waiting for |\n|---|---|---|---|\n".to_owned();
    Document { head, table_head, pieces, command: "ionroller status" }
}

/// What apply ends with: the final status, and what is wrong.
pub fn applied(plan: &Plan) -> String {
    let mut document = document_of_status(plan, None);
    document.pieces.extend(problems(&plan.diagnostics));
    document.write(BYTES_MAX)
}

/// What `validate` found in the files of so many services.
pub fn validated(diagnostics: &[Diagnostic], services: usize) -> String {
    let noun = if services == 1 { "service" } else { "services" };
    let count = |severity| diagnostics.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let said = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let head = format!("{services} {noun}: {}, {}.\n", said(errors, "error"), said(warnings, "warning"));
    let pieces = problems(diagnostics);
    Document { head, table_head: String::new(), pieces, command: "ionroller validate" }.write(BYTES_MAX)
}

/// The running release of one service against its file.
pub fn diff(service: &ServicePlan) -> String {
    let said = text::diff(service, PLAIN);
    let Some(diff) = &service.file_diff else { return cell(said.trim_end()) + "\n" };
    let piece = Piece { kind: Kind::FileDiff, rank: 0, text: format!("\n{}", fenced("diff", diff)) };
    let head = format!("{}\n", cell(&text::diff_summary(service)));
    Document { head, table_head: String::new(), pieces: vec![piece], command: "ionroller diff" }.write(BYTES_MAX)
}

fn problems(diagnostics: &[Diagnostic]) -> Vec<Piece> {
    let pieces = diagnostics.iter().map(|problem| {
        let (kind, rank, word) = match problem.severity {
            Severity::Error => (Kind::Error, 0, "**error**"),
            Severity::Warning => (Kind::Warning, 0, "warning"),
            Severity::Note => (Kind::Warning, 1, "note"),
        };
        let place = text::place(problem);
        let place = if place.is_empty() { String::new() } else { format!(" {}", code(&place)) };
        let help = problem.help.as_ref().map(|help| format!("<br>{}", cell(help))).unwrap_or_default();
        Piece { kind, rank, text: format!("- {word}{place}: {}{help}\n", cell(&problem.message)) }
    });
    pieces.collect()
}

fn folded(title: &str, language: &str, body: &str) -> String {
    format!("\n<details><summary>{title}</summary>\n\n{}\n</details>\n", fenced(language, body))
}

/// A block that nothing in it can end.
fn fenced(language: &str, body: &str) -> String {
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", body.trim_end_matches('\n'))
}

/// A name or version. Those have no backticks; a path may.
pub fn code(text: &str) -> String {
    match text.contains(['`', '|']) {
        true => cell(text),
        false => format!("`{}`", one_line(text)),
    }
}

/// Text of others in a cell or a line: nothing in it means anything to Markdown or HTML,
/// nobody is called by an @, and no issue by a #.
pub fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "&#64;")
}

fn one_line(text: &str) -> String {
    text.split(char::is_whitespace).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: Kind, rank: usize, text: &str) -> Piece {
        Piece { kind, rank, text: text.to_owned() }
    }

    fn document() -> Document {
        let pieces = vec![
            piece(Kind::Row, 0, "| row |\n"),
            piece(Kind::Details, 0, &"blocked\n".repeat(10)),
            piece(Kind::FileDiff, 0, &"diff\n".repeat(10)),
            piece(Kind::Details, 6, &"none\n".repeat(10)),
            piece(Kind::Error, 0, "- error\n"),
            piece(Kind::Warning, 0, "- warning\n"),
        ];
        Document { head: "head\n".to_owned(), table_head: "| t |\n".to_owned(), pieces, command: "ionroller plan" }
    }

    #[test]
    fn what_matters_least_goes_first_and_is_counted() {
        let whole = document().write(BYTES_MAX);
        assert!(whole.contains("diff") && !whole.contains("Left out"), "{whole}");
        let full = 5 + 6 + 8 + 80 + 50 + 50 + 8 + 10 + LAST_LINE;
        let without_diff = document().write(full - 1);
        assert!(!without_diff.contains("diff\n") && without_diff.contains("none\n"), "{without_diff}");
        assert!(without_diff.ends_with("too long: 1 file diff. `ionroller plan` shows all.\n"), "{without_diff}");
        let without_none = document().write(full - 51);
        assert!(!without_none.contains("none\n") && without_none.contains("blocked\n"), "{without_none}");
        let least = document().write(0);
        assert_eq!(least.lines().next(), Some("head"));
        assert!(least.contains("1 file diff, 2 services' details, 1 warning, 1 row of the table, 1 error."), "{least}");
        for max in 0..full {
            let said = document().write(max.max(400));
            assert!(said.len() <= max.max(400), "{max}");
        }
    }

    #[test]
    fn nothing_that_others_wrote_ends_a_block_or_calls_anybody() {
        assert_eq!(fenced("text", "a\n```\nb\n"), "````text\na\n```\nb\n````\n");
        assert_eq!(cell("@all <b>|x|\n#1 `y`"), "&#64;all &lt;b&gt;\\|x\\| \\#1 \\`y\\`");
        assert_eq!(code("services/a.toml:1:2"), "`services/a.toml:1:2`");
        assert_eq!(code("a`|"), "a\\`\\|");
    }
}
