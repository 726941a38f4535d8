//! From the files of one commit to the desired state.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{AccountId, CommitId, Region, ServiceName};

use super::diagnostic::{Diagnostic, Severity};
use super::files::{ConfigFiles, FileContent};
use super::keys;
use super::reader;
use super::scope::{self, FrozenService};
use super::service;
use super::shadow::{ByMatch, Listed};
use super::source::{self, Origin, Place, Table};
use super::spec::{ASKED_OF_AWS, Contested, Desired, FilePlace, ScopeConfig, ServiceFile, ServiceSpec};
use super::traffic::Claim;
use super::walk::{self, FILE_DIAGNOSTICS_MAX, Problem, Sources, Walk};

const SCOPE_FILE: &str = "ionroller.toml";
const SERVICES: &str = "services/";

/// The problems of a whole commit that are reported; it then says that there are more.
pub const DIAGNOSTICS_MAX: usize = 10_000;

/// Reads all files and checks everything that can be known without AWS.
///
/// Problems never stop the reading: every problem of every file is in
/// [`Desired::diagnostics`]. A service file with an error is [`ServiceFile::Broken`] and
/// blocks its own service alone; a broken `ionroller.toml`, or no service file at all,
/// leaves [`Desired::scope`] empty and blocks everything.
pub fn load(files: &ConfigFiles, commit: Option<CommitId>) -> Desired {
    let mut desired = Desired {
        commit,
        scope: None,
        services: BTreeMap::new(),
        contested: BTreeMap::new(),
        diagnostics: Vec::new(),
        places: BTreeMap::new(),
    };
    let scope = ScopeRead::of(files);
    let mut services = Services::find(files, &mut desired.diagnostics);
    services.read(files, &scope);
    services.clashes();
    services.shadows();

    let scope_path = in_repository(files, SCOPE_FILE);
    let texts = services.found.iter().map(|service| (service.path.clone(), service.text));
    let sources = Sources::new(texts.chain([(scope_path.clone(), scope.text)]));
    let mut problems = scope.problems;
    problems.extend(unknown_frozen(&scope.frozen, &services.found));
    walk::keep_first(&mut problems, FILE_DIAGNOSTICS_MAX);
    desired.scope = scope.config.filter(|_| !walk::has_errors(&problems) && !services.found.is_empty());
    desired
        .diagnostics
        .extend(problems.into_iter().map(|problem| sources.diagnostic(problem, &scope_path, &scope_path)));
    let mut defaults = scope.defaults_problems;
    walk::keep_first(&mut defaults, FILE_DIAGNOSTICS_MAX);
    let defaults = defaults.into_iter();
    desired.diagnostics.extend(defaults.map(|problem| sources.diagnostic(problem, &scope_path, &scope_path)));
    if services.found.is_empty() {
        desired.diagnostics.push(no_services(files));
    }
    for service in services.found {
        let broken = walk::has_errors(&service.problems);
        let located = service.places.iter().map(|(key, place)| {
            let (file, position) = sources.locate(*place, &service.path, &scope_path);
            (*key, FilePlace { file: file.to_owned(), position })
        });
        let located = located.collect();
        let locate = |problem| sources.diagnostic(problem, &service.path, &scope_path);
        desired.diagnostics.extend(service.problems.into_iter().map(locate));
        let clash = service.clash.map(locate);
        desired.diagnostics.extend(clash.clone());
        if service.spec.is_some() && !broken {
            desired.places.insert(service.name.clone(), located);
        }
        let spec = if broken { None } else { service.spec.map(Box::new) };
        let file = match (spec, clash) {
            (Some(spec), None) => ServiceFile::Valid(spec),
            (Some(spec), Some(diagnostic)) => {
                desired.contested.insert(service.name.clone(), Contested { spec, diagnostic });
                ServiceFile::Broken
            }
            (None, _) => ServiceFile::Broken,
        };
        desired.services.insert(service.name, file);
    }
    sort(&mut desired.diagnostics);
    keep_first(&mut desired.diagnostics);
    desired
}

/// Leaves what somebody can read, errors first, and says that it is not all.
fn keep_first(diagnostics: &mut Vec<Diagnostic>) {
    if diagnostics.len() <= DIAGNOSTICS_MAX {
        return;
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
    let severity = diagnostics.first().map_or(Severity::Error, |first| first.severity);
    diagnostics.truncate(DIAGNOSTICS_MAX);
    let message = format!("there are more problems than the {DIAGNOSTICS_MAX} that are listed");
    diagnostics.push(Diagnostic::new(severity, message).help("correct these, then look again"));
    sort(diagnostics);
}

/// By file, line and column. What several services found in the defaults stands once.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    let key = |d: &Diagnostic| (d.file.clone(), d.line, d.column, d.severity, d.message.clone(), d.help.clone());
    diagnostics.sort_by_cached_key(key);
    diagnostics.dedup();
}

fn in_repository(files: &ConfigFiles, path: &str) -> String {
    format!("{}{path}", files.root)
}

fn no_services(files: &ConfigFiles) -> Diagnostic {
    Diagnostic::new(Severity::Error, "no service file")
        .at(in_repository(files, SERVICES), None)
        .help("add services/NAME.toml; if all services are to go, remove them one by one, not with their folder")
}

/// `ionroller.toml`, read as far as it could be.
struct ScopeRead<'f> {
    text: &'f str,
    config: Option<ScopeConfig>,
    region: Option<Region>,
    account: Option<AccountId>,
    frozen: Vec<FrozenService>,
    /// `[defaults]`; none when the file couldn't be read, so that nobody knows them.
    defaults: Option<Table>,
    problems: Vec<Problem>,
    /// `[defaults]` holds keys of the top level, perhaps a hold that was meant for all:
    /// no service is what it seems.
    loose_defaults: bool,
    /// They block the services that take the defaults, not the scope.
    defaults_problems: Vec<Problem>,
}

impl<'f> ScopeRead<'f> {
    fn of(files: &'f ConfigFiles) -> Self {
        let unreadable = |text, problem| Self {
            text,
            config: None,
            region: None,
            account: None,
            frozen: Vec::new(),
            defaults: None,
            loose_defaults: false,
            problems: vec![problem],
            defaults_problems: Vec::new(),
        };
        let Some(content) = files.files.get(SCOPE_FILE) else { return unreadable("", no_scope_file()) };
        let text = match text_of(content) {
            (text, None) => text,
            (text, Some(problem)) => return unreadable(text, problem),
        };
        let (table, syntax) = source::parse(text);
        let mut walk = Walk::new(files, None, None, !syntax.is_empty());
        let read = scope::read(&table, &mut walk);
        let mut scope = Self {
            text,
            config: read.config,
            region: read.region,
            account: read.account,
            frozen: read.frozen,
            defaults: None,
            loose_defaults: false,
            problems: walk.into_problems(),
            defaults_problems: Vec::new(),
        };
        let defaults = table.table("defaults").map(|(defaults, _)| defaults.clone()).unwrap_or_default();
        let defaults = defaults.with_origin(Origin::Defaults);
        scope.loose_defaults = keys::SCALARS.iter().any(|key| defaults.get(key).is_some());
        scope.defaults_problems = defaults_problems(&defaults, files, &scope);
        if syntax.is_empty() {
            scope.defaults = Some(defaults);
        } else {
            keep_before(&mut scope.problems, &syntax);
            keep_before(&mut scope.defaults_problems, &syntax);
            scope.problems.extend(syntax.iter().map(syntax_problem));
            scope.frozen.clear();
        }
        scope
    }
}

/// The defaults that count for a service. Whether it is a container and whether it gets
/// traffic is said in its own file: defaults fill those tables in, and never add them.
fn defaults_for(service: &Table, defaults: &Table) -> Table {
    let mut defaults = defaults.clone();
    defaults
        .entries
        .retain(|entry| !["image", "load_balancer"].contains(&entry.key.as_str()) || service.get(&entry.key).is_some());
    defaults
}

/// Problems that the defaults have on their own, whoever takes them.
fn defaults_problems(defaults: &Table, files: &ConfigFiles, scope: &ScopeRead<'_>) -> Vec<Problem> {
    let Ok(name) = ServiceName::parse("defaults") else { return Vec::new() };
    let mut walk = Walk::new(files, scope.region.as_ref(), scope.account.as_ref(), true);
    service::read(&name, defaults, &mut walk);
    for entry in keys::SCALARS.iter().filter_map(|key| defaults.get(key)) {
        let message = format!("`{}` can't be a default", entry.key);
        walk.error(entry.place, message, "defaults are tables: move it into the service files");
    }
    walk.into_problems()
}

fn no_scope_file() -> Problem {
    Problem {
        severity: Severity::Error,
        place: Place::FILE,
        message: "the file is missing".to_owned(),
        help: "add it with scope and region, or name the folder that holds it".to_owned(),
    }
}

/// The text of a file, and why it isn't all of it. With a problem the text serves to
/// find the problem's place.
fn text_of(content: &FileContent) -> (&str, Option<Problem>) {
    let problem =
        |place, message, help: &str| Problem { severity: Severity::Error, place, message, help: help.to_owned() };
    match content {
        FileContent::Bytes(bytes) => match source::text_of(bytes) {
            Ok(text) if source::is_lfs_pointer(text) => {
                let message = format!("not read: it {}", source::LFS_POINTER);
                (text, Some(problem(Place::at(Origin::Own, 0), message, source::NO_LFS)))
            }
            Ok(text) => (text, None),
            Err(good) => {
                let place = Place::at(Origin::Own, good.len());
                let utf16 = bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF");
                let message = if utf16 { "UTF-16, not UTF-8" } else { "not UTF-8" };
                (good, Some(problem(place, message.to_owned(), "save the file as UTF-8")))
            }
        },
        other => {
            ("", Some(problem(Place::FILE, format!("not read: it {}", other.instead_of_a_file()), other.what_to_do())))
        }
    }
}

/// What follows a syntax error may stand in another table than the author meant.
fn keep_before(problems: &mut Vec<Problem>, syntax: &[source::SyntaxError]) {
    let first = syntax.first().map_or(usize::MAX, |error| error.offset);
    problems.retain(|problem| problem.place.offset.is_some_and(|offset| offset < first));
}

fn syntax_problem(error: &source::SyntaxError) -> Problem {
    // It repeats keys as they are written.
    let message: String = error.message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Problem {
        severity: Severity::Error,
        place: Place::at(Origin::Own, error.offset),
        message,
        help: error.help.clone(),
    }
}

/// One file in `services/` that stands for a service.
struct Found<'f> {
    name: ServiceName,
    /// In the repository.
    path: String,
    text: &'f str,
    spec: Option<ServiceSpec>,
    claim: Option<Claim>,
    /// Where it says what only AWS knows.
    places: Vec<(&'static str, Place)>,
    problems: Vec<Problem>,
    /// Another file claims the same place.
    clash: Option<Problem>,
}

struct Services<'f> {
    found: Vec<Found<'f>>,
}

impl<'f> Services<'f> {
    fn find(files: &'f ConfigFiles, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut found: Vec<Found<'f>> = Vec::new();
        for (path, content) in &files.files {
            let Some(below) = path.strip_prefix(SERVICES) else {
                if path == "services" {
                    let message = format!("not read: it {}", content.instead_of_a_file());
                    let place = in_repository(files, path);
                    diagnostics.push(
                        Diagnostic::new(Severity::Error, message)
                            .at(place, None)
                            .help("make it a folder of service files"),
                    );
                }
                continue;
            };
            match Entry::of(below, content) {
                Entry::Service(name) if found.last().is_some_and(|last| last.name == name) => {}
                Entry::Service(name) => {
                    let inside = below.contains('/');
                    let content = if inside { &FileContent::Folder } else { content };
                    let path = format!("{}{SERVICES}{name}.toml", files.root);
                    found.push(Found::new(name, path, content));
                }
                Entry::Ignored => {}
                Entry::Wrong(severity, message, help) => {
                    diagnostics
                        .push(Diagnostic::new(severity, message).at(in_repository(files, path), None).help(help));
                }
            }
        }
        Self { found }
    }

    fn read(&mut self, files: &ConfigFiles, scope: &ScopeRead<'_>) {
        let mut noted = 0;
        for service in self.found.iter_mut().filter(|service| service.problems.is_empty()) {
            let (table, syntax) = source::parse(service.text);
            let merged = match &scope.defaults {
                Some(defaults) => table.over(&defaults_for(&table, defaults)),
                None => table,
            };
            let partial = !syntax.is_empty() || scope.defaults.is_none();
            let mut walk = Walk::new(files, scope.region.as_ref(), scope.account.as_ref(), partial);
            let read = service::read(&service.name, &merged, &mut walk);
            service.problems = walk.into_problems();
            service.places = places(&merged);
            // What follows a syntax error may be misread, and must not block another service.
            service.claim = read.claim.filter(|_| syntax.is_empty());
            if !syntax.is_empty() {
                keep_before(&mut service.problems, &syntax);
                service.problems.extend(syntax.iter().map(syntax_problem));
            }
            // Without the defaults, and with some that nobody may have, what the file
            // would mean is not known.
            service.spec = read.spec.filter(|_| scope.defaults.is_some() && !scope.loose_defaults);
            // Kept until the end for all files, so each has little room once there are many.
            let room = if noted < DIAGNOSTICS_MAX { FILE_DIAGNOSTICS_MAX } else { 1 };
            walk::keep_first(&mut service.problems, room);
            noted += service.problems.len();
        }
    }

    /// Two services that want the same place on a listener: both files are wrong, unless AWS
    /// tells whose it is.
    fn clashes(&mut self) {
        let mut wanted: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, service) in self.found.iter().enumerate() {
            if let Some(claim) = &service.claim {
                wanted.entry((claim.listener.clone(), claim.priority)).or_default().push(index);
            }
        }
        for ((listener, priority), indexes) in wanted.iter().filter(|(_, indexes)| indexes.len() > 1) {
            for index in indexes {
                let others = self.others(indexes, *index);
                let (what, help) = match priority {
                    Some(priority) => {
                        (format!("priority {priority}"), "give each service a priority of its own on the listener")
                    }
                    None => (
                        "the default action".to_owned(),
                        "a listener has one default action: give the others a rule, or a listener of their own",
                    ),
                };
                let message = format!("{what} of {} is taken by {others} as well", listener.load_balancer());
                let Some(service) = self.found.get_mut(*index) else { continue };
                let place = service.claim.as_ref().map_or(Place::FILE, |claim| claim.place);
                let help = help.to_owned();
                service.clash = Some(Problem { severity: Severity::Error, place, message, help });
            }
        }
    }

    /// Services that get no request, since others' rules come first for all that theirs match.
    fn shadows(&mut self) {
        let mut by_listener: BTreeMap<_, Vec<Listed<'_>>> = BTreeMap::new();
        // What a file with errors would match is not known.
        let is_sound = |found: &Found<'_>| found.clash.is_none() && !walk::has_errors(&found.problems);
        for (index, found) in self.found.iter().enumerate().filter(|(_, found)| is_sound(found)) {
            let lb = found.spec.as_ref().and_then(|spec| spec.load_balancer.as_ref());
            if let Some(lb) = lb.filter(|lb| !lb.listener.is_network()) {
                by_listener.entry(&lb.listener).or_default().push(Listed { service: index, rule: lb.rule.as_ref() });
            }
        }
        let mut warnings = Vec::new();
        for listed in by_listener.into_values() {
            let known = ByMatch::of(&listed);
            for entry in &listed {
                let Some(shadows) = known.shadows(*entry) else { continue };
                let indexes: Vec<usize> = shadows.into_iter().collect();
                let own = self.found.get(entry.service).map_or("", |found| found.path.as_str());
                let what = match entry.rule {
                    Some(rule) => format!("its rule of priority {} matches", rule.priority),
                    None => "comes to the default action".to_owned(),
                };
                let others = self.others(&indexes, entry.service);
                let message = format!("{own} gets no request: all that {what} goes to {others} first");
                warnings.push((entry.service, message));
            }
        }
        for (index, message) in warnings {
            let Some(service) = self.found.get_mut(index) else { continue };
            let place = service.claim.as_ref().map_or(Place::FILE, |claim| claim.place);
            let help = "give it other hosts or paths, or the lower priority of the two".to_owned();
            service.problems.push(Problem { severity: Severity::Warning, place, message, help });
        }
    }

    /// The files of some services but one, the first few by name.
    fn others(&self, indexes: &[usize], but: usize) -> String {
        const NAMED_MAX: usize = 3;
        let others = || indexes.iter().filter(|index| **index != but).filter_map(|index| self.found.get(*index));
        let named = others().take(NAMED_MAX).map(|service| service.path.as_str());
        let named = named.collect::<Vec<_>>().join(", ");
        match others().count().saturating_sub(NAMED_MAX) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }
}

impl<'f> Found<'f> {
    fn new(name: ServiceName, path: String, content: &'f FileContent) -> Self {
        let (text, problem) = text_of(content);
        let problems = problem.into_iter().collect();
        Self { name, path, text, spec: None, claim: None, places: Vec::new(), problems, clash: None }
    }
}

/// Where a file, or the defaults for it, say what only AWS knows.
fn places(merged: &Table) -> Vec<(&'static str, Place)> {
    let place = |name: &&'static str| {
        let (table, key) = name.split_once('.')?;
        let (table, _) = merged.table(table)?;
        Some((*name, table.get(key)?.place))
    };
    ASKED_OF_AWS.iter().filter_map(place).collect()
}

/// What a path below `services/` is.
enum Entry {
    Service(ServiceName),
    Ignored,
    Wrong(Severity, String, String),
}

impl Entry {
    fn of(below: &str, content: &FileContent) -> Self {
        let (first, inside) = below.split_once('/').map_or((below, None), |(first, inside)| (first, Some(inside)));
        if let Some(stem) = first.strip_suffix(".toml") {
            return match ServiceName::parse(stem) {
                Ok(name) => Self::Service(name),
                Err(error) => {
                    let (message, rule) = reader::message_and_help(&error);
                    Self::Wrong(Severity::Error, message, format!("rename the file after its service: {rule}"))
                }
            };
        }
        let toml = below.to_ascii_lowercase().ends_with(".toml");
        match inside {
            Some(_) if toml => Self::Wrong(
                Severity::Error,
                "a service file in a folder of its own is not read".to_owned(),
                "service files stand directly in services/: move it there".to_owned(),
            ),
            None if toml => Self::Wrong(
                Severity::Error,
                "not read, because of its name".to_owned(),
                "end the name in .toml, in lower case".to_owned(),
            ),
            // What people keep beside files: notes, .gitkeep, an editor's settings.
            _ if first.starts_with('.') || first.to_ascii_lowercase().starts_with("readme") => Self::Ignored,
            _ if *content == FileContent::Folder => Self::Wrong(
                Severity::Warning,
                "a folder, and what is in it is not read".to_owned(),
                "service files stand directly in services/".to_owned(),
            ),
            _ => Self::Wrong(
                Severity::Warning,
                "not a service file".to_owned(),
                "services/ holds NAME.toml files; keep scripts and notes in another folder".to_owned(),
            ),
        }
    }
}

/// Freezes for services that don't exist hold nothing.
fn unknown_frozen(frozen: &[FrozenService], found: &[Found<'_>]) -> Vec<Problem> {
    let names: BTreeSet<&str> = found.iter().map(|service| service.name.as_str()).collect();
    let unknown = frozen.iter().filter(|(name, _)| !names.contains(name.as_str()));
    unknown
        .take(FILE_DIAGNOSTICS_MAX + 1)
        .map(|(name, place)| Problem {
            severity: Severity::Warning,
            place: *place,
            message: format!("the freeze names `{name}`, which has no file"),
            help: match keys::nearest(name.as_str(), names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "remove it from the freeze".to_owned(),
            },
        })
        .collect()
}
