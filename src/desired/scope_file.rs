//! `ionroller.toml`.

use crate::names::{AccountId, Region, Scope, ServiceName};
use crate::time::Timestamp;

use super::diagnostic::Severity;
use super::reader::{Problems, Reader, is_clean};
use super::source::{Node, Table, Value};
use super::spec::{Freeze, Limits, Prune, ScopeConfig};

/// The scope's file: its settings, and the defaults for every service.
pub struct ScopeFile {
    /// What it says; none when it has errors.
    pub config: Option<ScopeConfig>,
    /// `[defaults]`.
    pub defaults: Table,
}

/// Reads it.
pub fn read(root: &Node, problems: &mut Problems) -> ScopeFile {
    let Value::Table(table) = &root.value else {
        return ScopeFile { config: None, defaults: Table::new() };
    };
    let mut found = Problems::new();
    let mut file = Reader::new(table, root.at.clone(), "");
    file.require("scope", "scope = \"prod\"", &mut found);
    file.require("region", "region = \"eu-west-1\"", &mut found);
    let scope = file.parsed("scope", Scope::parse, &mut found);
    let region = file.parsed("region", Region::parse, &mut found);
    let account = file.parsed("account", AccountId::parse, &mut found);
    if !file.has("account") {
        let problem =
            root.at.problem(Severity::Warning, "`account` is not set, so credentials of any account are taken");
        found.push(problem.help("add account = \"123456789012\""));
    }
    let role_arn = file.parsed("role_arn", role, &mut found);
    let external_id = file.text("external_id", &mut found).map(str::to_owned);
    let limits = limits(&mut file, &mut found);
    let prune = prune(&mut file, &mut found);
    let freezes = freezes(&mut file, &mut found);
    let defaults = match file.node("defaults").map(|node| &node.value) {
        Some(Value::Table(defaults)) => defaults.clone(),
        _ => Table::new(),
    };
    drop(file.table("defaults", &mut found));
    file.finish(&[], &mut found);
    let clean = is_clean(&found);
    problems.append(&mut found);
    let config = scope.zip(region).filter(|_| clean).map(|(scope, region)| ScopeConfig {
        scope,
        region,
        account,
        role_arn,
        external_id,
        limits,
        prune,
        freezes,
    });
    ScopeFile { config, defaults }
}

fn role(text: &str) -> Result<String, &'static str> {
    let is_role = text.starts_with("arn:") && text.contains(":role/") && text.chars().all(|c| c.is_ascii_graphic());
    if is_role { Ok(text.to_owned()) } else { Err("it is no role, such as arn:aws:iam::123456789012:role/NAME") }
}

fn limits(file: &mut Reader<'_>, problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    if let Some(mut table) = file.table("limits", problems) {
        if let Some(most) = table.integer("max_concurrent_rollouts", 1..=10_000, problems) {
            limits.max_concurrent_rollouts = most;
        }
        if let Some(most) = table.integer("max_releases_per_change", 1..=10_000, problems) {
            limits.max_releases_per_change = most;
        }
        table.finish(&[], problems);
    }
    limits
}

fn prune(file: &mut Reader<'_>, problems: &mut Problems) -> Prune {
    let mut prune = Prune::default();
    if let Some(mut table) = file.table("prune", problems) {
        prune.enabled = table.truth("enabled", problems).unwrap_or(prune.enabled);
        if let Some(most) = table.integer("max_services", 1..=10_000, problems) {
            prune.max_services = most;
        }
        if prune.enabled {
            let message = "`prune.enabled = true` is not supported by this version of ionroller";
            problems.push(
                table.place("enabled").error(message).help("services without a file keep running and are reported"),
            );
        }
        table.finish(&[], problems);
    }
    prune
}

fn freezes(file: &mut Reader<'_>, problems: &mut Problems) -> Vec<Freeze> {
    let mut freezes = Vec::new();
    for item in file.list("freeze", problems).unwrap_or_default() {
        let Value::Table(table) = &item.value else {
            problems.push(
                item.at
                    .error(format!("`freeze` holds {}, and must hold tables", item.value.kind()))
                    .help("write [[freeze]]"),
            );
            continue;
        };
        freezes.extend(freeze(Reader::new(table, item.at.clone(), "freeze"), problems));
    }
    freezes
}

fn freeze(mut table: Reader<'_>, problems: &mut Problems) -> Option<Freeze> {
    for (key, example) in [
        ("name", "name = \"holidays\""),
        ("from", "from = 2026-12-24T00:00:00Z"),
        ("until", "until = 2026-12-27T00:00:00Z"),
    ] {
        table.require(key, example, problems);
    }
    let name = table.text("name", problems).map(str::to_owned);
    let from = time(&mut table, "from", problems);
    let until = time(&mut table, "until", problems);
    let mut services = Vec::new();
    for text in table.texts(
        "services",
        |text| ServiceName::parse(text).map(drop).map_err(|error| format!("is no service: {error}")),
        problems,
    ) {
        services.extend(ServiceName::parse(&text).ok());
    }
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        problems.push(table.place("until").error("`freeze.until` is not after `freeze.from`"));
    }
    table.finish(&[], problems);
    Some(Freeze { name: name?, from: from?, until: until?, services })
}

fn time(table: &mut Reader<'_>, key: &'static str, problems: &mut Problems) -> Option<Timestamp> {
    let node = table.node(key)?;
    let text = match &node.value {
        Value::Time(text) | Value::Text(text) => text,
        other => {
            problems.push(
                node.at
                    .error(format!("`freeze.{key}` is {}, and must be a time", other.kind()))
                    .help(format!("such as {key} = 2026-12-24T00:00:00Z")),
            );
            return None;
        }
    };
    let time = Timestamp::parse(text);
    if time.is_none() {
        let message = format!("`freeze.{key}` is `{text}`, which is no time with its offset");
        problems.push(node.at.error(message).help(format!("such as {key} = 2026-12-24T00:00:00Z")));
    }
    time
}
