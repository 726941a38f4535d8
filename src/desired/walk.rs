//! The walk over one file: it collects problems, so that all of them are reported.

use std::collections::BTreeMap;

use crate::names::{AccountId, Region};

use super::diagnostic::{Diagnostic, Severity};
use super::files::ConfigFiles;
use super::source::{Lines, Origin, Place};

/// A problem whose place is still a byte offset.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub severity: Severity,
    pub place: Place,
    pub message: String,
    pub help: String,
}

/// What the readers of one file share.
pub(super) struct Walk<'a> {
    /// For the files that a service refers to.
    pub files: &'a ConfigFiles,
    /// The scope's region, when it could be read.
    pub region: Option<&'a Region>,
    /// The scope's account, when it is set and could be read.
    pub account: Option<&'a AccountId>,
    /// The table is known to be incomplete: the file has a syntax error, `[defaults]`
    /// could not be read, or this is `[defaults]` itself. Then a missing key is no
    /// problem, and keys are not compared with each other.
    pub partial: bool,
    problems: Vec<Problem>,
    has_error: bool,
}

/// The problems that are noted of one file; more of them cost memory and tell nobody
/// anything. Of these, the first [`FILE_DIAGNOSTICS_MAX`] are reported.
const NOTED_MAX: usize = 1_000;

/// The problems of one file that are reported; it then says that there are more.
pub const FILE_DIAGNOSTICS_MAX: usize = 100;

impl<'a> Walk<'a> {
    pub(super) fn new(
        files: &'a ConfigFiles,
        region: Option<&'a Region>,
        account: Option<&'a AccountId>,
        partial: bool,
    ) -> Self {
        Self { files, region, account, partial, problems: Vec::new(), has_error: false }
    }

    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, place, message.into(), help.into());
    }

    pub(super) fn warning(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, place, message.into(), help.into());
    }

    fn push(&mut self, severity: Severity, place: Place, message: String, help: String) {
        self.note(Problem { severity, place, message, help });
    }

    /// An error is never lost for want of room: what it blocks must stay blocked.
    fn note(&mut self, problem: Problem) {
        let is_error = problem.severity == Severity::Error;
        if !self.is_full() || (is_error && !self.has_error) {
            self.has_error |= is_error;
            self.problems.push(problem);
        }
    }

    /// Nothing more is noted, so nothing more needs to be looked for.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= NOTED_MAX && self.has_error
    }

    pub(super) fn add(&mut self, problems: Vec<Problem>) {
        problems.into_iter().for_each(|problem| self.note(problem));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// Leaves at most `max` problems of a file, errors first and then by place, and says so.
pub(super) fn keep_first(problems: &mut Vec<Problem>, max: usize) {
    if problems.len() <= max {
        return;
    }
    problems.sort_by_key(|problem| (problem.severity, problem.place.offset));
    let severity = problems.first().map_or(Severity::Error, |problem| problem.severity);
    problems.truncate(max);
    let message = format!("it has more problems than the {max} that are listed");
    let help = "correct these, then look again".to_owned();
    problems.push(Problem { severity, place: Place::FILE, message, help });
}

/// Whether any of the problems is an error.
pub(super) fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// Of several keys that contradict each other, the place to point at: the service's own
/// file rather than the defaults, then the first one given.
pub(super) fn blame(places: &[Option<Place>]) -> Place {
    let given = || places.iter().flatten();
    given().find(|place| place.origin == Origin::Own).or_else(|| given().next()).copied().unwrap_or(Place::FILE)
}

/// The names and texts of the files, for turning problems into diagnostics.
pub(super) struct Sources<'t> {
    lines: BTreeMap<String, Lines<'t>>,
}

impl<'t> Sources<'t> {
    /// From the files' paths in the repository and their texts.
    pub(super) fn new(texts: impl IntoIterator<Item = (String, &'t str)>) -> Self {
        Self { lines: texts.into_iter().map(|(path, text)| (path, Lines::of(text))).collect() }
    }

    /// Line and column of a place in the file `own` or in the defaults of `scope_file`.
    pub(super) fn locate<'p>(&self, place: Place, own: &'p str, scope_file: &'p str) -> (&'p str, Option<(u32, u32)>) {
        let path = match place.origin {
            Origin::Own => own,
            Origin::Defaults => scope_file,
        };
        let position = place.offset.and_then(|offset| Some(self.lines.get(path)?.position(offset)));
        (path, position)
    }

    pub(super) fn diagnostic(&self, problem: Problem, own: &str, scope_file: &str) -> Diagnostic {
        let (path, position) = self.locate(problem.place, own, scope_file);
        let diagnostic = Diagnostic::new(problem.severity, problem.message).at(path, position);
        if problem.help.is_empty() { diagnostic } else { diagnostic.help(problem.help) }
    }
}
