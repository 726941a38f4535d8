//! All files of a config folder: each is read on its own, and all problems are reported.

use std::collections::BTreeMap;

use crate::names::{CommitId, ServiceName};

use super::diagnostic::{Diagnostic, Severity};
use super::files::{ConfigFiles, FileContent};
use super::reader::{Problems, is_clean};
use super::source::{self, Node, Table, Value};
use super::spec::{Desired, ScopeConfig, ServiceFile, ServiceSpec};
use super::{scope_file, service_file, unsupported};

/// The scope's file.
const SCOPE_FILE: &str = "ionroller.toml";

/// The folder of the services' files.
const SERVICES: &str = "services/";

/// Reads a config folder.
pub fn load(files: &ConfigFiles, commit: Option<CommitId>) -> Desired {
    let mut problems = Problems::new();
    let scope = read_scope(files, &mut problems);
    let mut services = BTreeMap::new();
    for (path, content) in files.files.iter().filter(|(path, _)| path.starts_with(SERVICES)) {
        let file = format!("{}{path}", files.root);
        let Some(name) = service_name(path, &file, content, &mut problems) else { continue };
        let mut found = Problems::new();
        let spec = read_service(files, &name, &file, content, &scope, &mut found);
        problems.append(&mut found);
        services.insert(name, spec.map_or(ServiceFile::Broken, |spec| ServiceFile::Valid(Box::new(spec))));
    }
    one_rule_a_place(files, &mut services, &mut problems);
    let mut config = scope.config;
    if services.is_empty() {
        let message = "there is no service: the folder `services` has no file NAME.toml";
        let problem = Diagnostic::new(Severity::Error, message).at(format!("{}services", files.root), None);
        problems.push(problem.help("nothing is done for a scope without services, since that may be a mistake"));
        config = None;
    }
    problems.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
    problems.dedup();
    Desired { commit, scope: config, services, diagnostics: problems }
}

struct Scope {
    config: Option<ScopeConfig>,
    defaults: Table,
}

fn read_scope(files: &ConfigFiles, problems: &mut Problems) -> Scope {
    let file = format!("{}{SCOPE_FILE}", files.root);
    let nothing = Scope { config: None, defaults: Table::new() };
    let Some(content) = files.files.get(SCOPE_FILE) else {
        let problem = Diagnostic::new(Severity::Error, "the scope's file is missing").at(file, None);
        problems.push(problem.help("add ionroller.toml with scope and region"));
        return nothing;
    };
    let mut found = Problems::new();
    let node = bytes_of(&file, content, &mut found).and_then(|bytes| source::parse(&file, bytes, &mut found));
    let syntax = is_clean(&found);
    problems.append(&mut found);
    let Some(node) = node else { return nothing };
    let read = scope_file::read(&node, problems);
    Scope { config: read.config.filter(|_| syntax), defaults: read.defaults }
}

/// A file's bytes, or a problem that says what stands there instead.
fn bytes_of<'a>(file: &str, content: &'a FileContent, problems: &mut Problems) -> Option<&'a [u8]> {
    let (what, help) = match content {
        FileContent::Bytes(bytes) => return Some(bytes),
        FileContent::Symlink { target } => {
            (format!("a symbolic link to {target}"), "links are not followed; put the file itself here")
        }
        FileContent::Submodule => {
            ("a submodule".to_owned(), "its files belong to another repository; put the file itself here")
        }
        FileContent::Folder => ("a folder".to_owned(), "put a file here, or move the folder elsewhere"),
        FileContent::TooLarge { size } => (format!("{size} bytes long"), "no config file is longer than 1 MiB"),
        FileContent::Unreadable { reason } => (format!("unreadable: {reason}"), "look at the file"),
    };
    problems.push(
        Diagnostic::new(Severity::Error, format!("this is {what}, and must be a file")).at(file, None).help(help),
    );
    None
}

/// The service that a path names, or a problem.
fn service_name(path: &str, file: &str, content: &FileContent, problems: &mut Problems) -> Option<ServiceName> {
    let name = path.strip_prefix(SERVICES)?;
    let Some(stem) = name.strip_suffix(".toml") else {
        if *content == FileContent::Folder || !name.contains('/') {
            let problem = Diagnostic::new(Severity::Warning, "this is no service file and is ignored").at(file, None);
            problems.push(problem.help("service files are services/NAME.toml"));
        }
        return None;
    };
    match ServiceName::parse(stem) {
        Ok(name) => Some(name),
        Err(error) => {
            problems.push(Diagnostic::new(Severity::Error, error.to_string()).at(file, None).help("rename the file"));
            None
        }
    }
}

fn read_service(
    files: &ConfigFiles,
    name: &ServiceName,
    file: &str,
    content: &FileContent,
    scope: &Scope,
    problems: &mut Problems,
) -> Option<ServiceSpec> {
    let bytes = bytes_of(file, content, problems)?;
    let mut node: Node = source::parse(file, bytes, problems)?;
    let syntax = is_clean(problems);
    if let Value::Table(table) = &mut node.value {
        source::merge_beneath(table, &scope.defaults);
    }
    let spec = service_file::read(name, &node, files, scope.config.as_ref(), problems);
    let spec = spec.filter(|_| syntax && is_clean(problems))?;
    unsupported::check(&spec, &node, problems);
    is_clean(problems).then_some(spec)
}

/// One listener and priority belong to one service: of several, none may act.
fn one_rule_a_place(files: &ConfigFiles, services: &mut BTreeMap<ServiceName, ServiceFile>, problems: &mut Problems) {
    let mut places: BTreeMap<(String, Option<u32>), Vec<ServiceName>> = BTreeMap::new();
    for (name, file) in services.iter() {
        if let ServiceFile::Valid(spec) = file
            && let Some(lb) = &spec.load_balancer
        {
            let place = (lb.listener.to_string(), lb.rule.as_ref().map(|rule| rule.priority));
            places.entry(place).or_default().push(name.clone());
        }
    }
    for ((_, priority), names) in places.into_iter().filter(|(_, names)| names.len() > 1) {
        for name in &names {
            let others: Vec<&str> = names.iter().filter(|other| *other != name).map(ServiceName::as_str).collect();
            let place = priority.map_or_else(
                || "the listener's default action".to_owned(),
                |p| format!("priority {p} of its listener"),
            );
            let message = format!("{place} is taken by {}, too", others.join(", "));
            let problem =
                Diagnostic::new(Severity::Error, message).at(format!("{}{SERVICES}{name}.toml", files.root), None);
            problems.push(problem.help("give each service a priority of its own"));
            services.insert(name.clone(), ServiceFile::Broken);
        }
    }
}
