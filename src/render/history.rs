//! The past of a service: its releases, what became of them, and the commits that asked
//! for them.

use std::fmt::Write as _;

use serde::Serialize;

use crate::desired::diagnostic::Diagnostic;
use crate::names::{CommitId, GroupName, Scope, ServiceName};
use crate::plan::types::{Record, RecordOutcome, Release};
use crate::time::Timestamp;

use super::json;
use super::markdown::{cell, code};
use super::style::{Meaning, Style, columns, left};

/// A commit that asked for a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedBy {
    /// The commit.
    pub commit: CommitId,
    /// When it was committed.
    pub at: Timestamp,
    /// The author's name.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// A release with what AWS and Git know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub release: Release,
    /// What AWS knows; none when nothing of it is left there.
    pub record: Option<Record>,
    /// The commits that asked for it, newest first; none that this history holds: empty.
    pub commits: Vec<AskedBy>,
}

/// The past of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The scope.
    pub scope: Scope,
    /// The service.
    pub service: ServiceName,
    /// The commit whose past this is.
    pub commit: Option<CommitId>,
    /// When AWS was read.
    pub observed_at: Option<Timestamp>,
    /// Newest first.
    pub entries: Vec<Entry>,
    /// What is wrong, of this service.
    pub diagnostics: Vec<Diagnostic>,
}

/// Puts together what Git and AWS know: by the newest commit that asked for it; what no
/// commit of this history asked for comes last.
pub fn entries(asked: Vec<(Release, AskedBy)>, records: &[Record]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (release, by) in asked {
        match entries.iter_mut().find(|entry| entry.release == release) {
            Some(entry) => entry.commits.push(by),
            None => {
                let record = records.iter().find(|record| record.release == release).cloned();
                entries.push(Entry { release, record, commits: vec![by] });
            }
        }
    }
    for record in records {
        if !entries.iter().any(|entry| entry.release == record.release) {
            entries.push(Entry { release: record.release.clone(), record: Some(record.clone()), commits: Vec::new() });
        }
    }
    entries
}

#[derive(Serialize)]
struct HistoryJson<'a> {
    format_version: &'static str,
    scope: &'a Scope,
    service: &'a ServiceName,
    commit: &'a Option<CommitId>,
    observed_at: Option<Timestamp>,
    releases: Vec<ReleaseJson<'a>>,
    diagnostics: &'a [Diagnostic],
}

#[derive(Serialize)]
struct ReleaseJson<'a> {
    #[serde(flatten)]
    release: &'a Release,
    outcome: Option<RecordOutcome>,
    group: Option<&'a GroupName>,
    created_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    retired_at: Option<Timestamp>,
    rejected: Option<Verdict<'a>>,
    commits: &'a [AskedBy],
}

#[derive(Serialize)]
struct Verdict<'a> {
    since: Timestamp,
    code: &'a str,
    reason: &'a str,
}

/// The past as JSON.
pub fn history_json(history: &History) -> String {
    let releases = history.entries.iter().map(release_json).collect();
    json::text(&HistoryJson {
        format_version: json::FORMAT_VERSION,
        scope: &history.scope,
        service: &history.service,
        commit: &history.commit,
        observed_at: history.observed_at,
        releases,
        diagnostics: &history.diagnostics,
    })
}

fn release_json(entry: &Entry) -> ReleaseJson<'_> {
    let record = entry.record.as_ref();
    let rejected = record.and_then(|record| record.rejected.as_ref());
    ReleaseJson {
        release: &entry.release,
        outcome: record.map(|record| record.outcome),
        group: record.map(|record| &record.group),
        created_at: record.and_then(|record| record.created),
        settled_at: record.and_then(|record| record.stable),
        retired_at: record.and_then(|record| record.retired),
        rejected: rejected.map(|verdict| Verdict { since: verdict.at, code: &verdict.code, reason: &verdict.text }),
        commits: &entry.commits,
    }
}

/// The past as text.
pub fn history(history: &History, style: Style) -> String {
    let mut out = style.paint(Meaning::Strong, &format!("{} in {}", history.service, history.scope));
    if let Some(at) = history.observed_at {
        let _ = write!(out, ", AWS read {at}");
    }
    out.push('\n');
    if history.entries.is_empty() {
        out.push_str("\nNothing is known of it, neither in Git nor in AWS.\n");
    }
    for entry in &history.entries {
        let _ = writeln!(
            out,
            "\n{}  {}",
            style.paint(Meaning::Strong, entry.release.version.as_str()),
            became(entry, style)
        );
        if let Some(verdict) = entry.record.as_ref().and_then(|record| record.rejected.as_ref()) {
            for line in style.wrap(&verdict.text, 4) {
                let _ = writeln!(out, "    {line}");
            }
        }
        commits(&mut out, entry, style);
    }
    out
}

/// The past as Markdown, a row for each commit.
pub fn history_markdown(history: &History) -> String {
    let mut out = format!("**{}** in {}\n\n", history.service, history.scope);
    out.push_str("| version | what became of it | commit | date | subject |\n|---|---|---|---|---|\n");
    for entry in &history.entries {
        let version = code(entry.release.version.as_str());
        let became = became(entry, Style { color: false, verbose: 0, width: 80 });
        for by in &entry.commits {
            let (date, subject) = (day(by), cell(&by.subject));
            let _ = writeln!(out, "| {version} | {became} | {} | {date} | {subject} |", by.commit.short());
        }
        if entry.commits.is_empty() {
            let _ = writeln!(out, "| {version} | {became} | – | – | – |");
        }
    }
    out
}

fn day(by: &AskedBy) -> String {
    let at = by.at.to_string();
    at.split_once('T').map_or(at.clone(), |(date, _)| date.to_owned())
}

fn became(entry: &Entry, style: Style) -> String {
    let Some(record) = &entry.record else {
        return style.paint(Meaning::Aside, "nothing of it is left in AWS");
    };
    let at = |what: &str, at: Option<Timestamp>| at.map_or_else(|| what.to_owned(), |at| format!("{what} {at}"));
    let (meaning, said) = match record.outcome {
        RecordOutcome::Live => match record.stable {
            Some(stable) => (Meaning::Adds, format!("live, settled {stable}")),
            None => (Meaning::Adds, "live, not settled".to_owned()),
        },
        RecordOutcome::Candidate => (Meaning::Changes, at("coming up since", record.created)),
        RecordOutcome::Warm => (Meaning::Changes, at("settled, kept warm since", record.retired)),
        RecordOutcome::Superseded => (Meaning::Aside, at("settled", record.stable)),
        RecordOutcome::Rejected => {
            (Meaning::Removes, at("rejected", record.rejected.as_ref().map(|verdict| verdict.at)))
        }
        RecordOutcome::RolledBack => (Meaning::Removes, at("rolled back", record.retired)),
        RecordOutcome::Withdrawn => (Meaning::Aside, "taken back".to_owned()),
    };
    style.paint(meaning, &said)
}

fn commits(out: &mut String, entry: &Entry, style: Style) {
    let wide = entry.commits.iter().map(|by| columns(&by.author).min(16)).max().unwrap_or(0);
    for by in &entry.commits {
        let date = day(by);
        let author: String = by.author.chars().take(16).collect();
        let head = format!("    {}  {date}  {}  ", by.commit.short(), left(&author, wide));
        let room = style.width.saturating_sub(columns(&head)).max(20);
        let subject = match columns(&by.subject) > room {
            true => format!("{}…", by.subject.chars().take(room - 1).collect::<String>()),
            false => by.subject.clone(),
        };
        let _ = writeln!(out, "{}{subject}", style.paint(Meaning::Aside, &head));
    }
    if let (true, Some(record)) = (entry.commits.is_empty(), &entry.record) {
        let commit: String = record.commit.chars().take(7).collect();
        let head = format!("    {commit}  is not in the history of this branch");
        let _ = writeln!(out, "{}", style.paint(Meaning::Aside, &head));
    }
}
