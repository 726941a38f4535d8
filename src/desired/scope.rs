//! `ionroller.toml` → [`ScopeConfig`].

use crate::names::{AccountId, Region, ServiceName};
use crate::time::Timestamp;

use super::reader::{self, Field, Reader};
use super::source::{Place, Table, Value};
use super::spec::{Freeze, Limits, Prune, ScopeConfig};
use super::walk::Walk;

/// A service that a freeze names, and where.
pub(super) type FrozenService = (ServiceName, Place);

/// What `ionroller.toml` says; the parts that the services need are there also when the
/// rest is broken.
pub(super) struct ScopeFile {
    pub config: Option<ScopeConfig>,
    pub region: Option<Region>,
    pub account: Option<AccountId>,
    /// To be compared with the service files.
    pub frozen: Vec<FrozenService>,
}

/// Reads the top level of `ionroller.toml`. `[defaults]` is left to the services.
pub(super) fn read(table: &Table, walk: &mut Walk<'_>) -> ScopeFile {
    let mut root = Reader::new("", table, Place::START);
    let scope =
        root.required("scope", "name the owner of these services, such as scope = \"prod\"", walk, reader::name);
    let region = root.required("region", "add the AWS region, such as region = \"eu-west-1\"", walk, reader::name);
    let account: Option<AccountId> = root.optional("account", walk, reader::name);
    if !root.has("account") && !walk.partial {
        walk.warning(
            Place::START,
            "`account` is not set",
            "add account = \"…\", so that credentials of another account are never acted with",
        );
    }
    let role_arn = root.optional("role_arn", walk, |field, walk| role(field, account.as_ref(), walk));
    let external_id = root.optional("external_id", walk, |field, walk| {
        let rule = "2 to 1,224 characters out of letters, digits and + = , . @ : / - _";
        reader::text_that(field, rule, walk, |text| {
            (2..=1224).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@:/-_".contains(c))
        })
    });
    if let (Some(place), false) = (root.place_of("external_id"), root.has("role_arn")) {
        walk.error(place, "`external_id` has no role to go with", "add role_arn, or remove external_id");
    }
    let limits = limits(&mut root, walk);
    let prune = prune(&mut root, walk);
    let mut frozen = Vec::new();
    let freezes = root.optional("freeze", walk, |field, walk| {
        reader::list(field, walk, |field, walk| freeze(field, &mut frozen, walk))
    });
    if let Some((field, node)) = table.get("defaults").map(|entry| ("defaults", &entry.node)) {
        // Only the type is checked here; each service reads what it takes.
        Reader::of(Field { label: field, node }, walk);
    }
    root.optional("defaults", walk, |_, _| Some(()));
    root.finish(walk);
    let config = match (scope, region.clone()) {
        (Some(scope), Some(region)) => Some(ScopeConfig {
            scope,
            region,
            account: account.clone(),
            role_arn,
            external_id,
            limits,
            prune,
            freezes: freezes.unwrap_or_default(),
        }),
        _ => None,
    };
    ScopeFile { config, region, account, frozen }
}

fn role(field: Field<'_>, account: Option<&AccountId>, walk: &mut Walk<'_>) -> Option<String> {
    let rule = "the ARN of a role, such as arn:aws:iam::123456789012:role/ionroller";
    let arn = reader::text_that(field, rule, walk, |text| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        matches!(parts.as_slice(), ["arn", partition, "iam", "", owner, role]
            if partition.starts_with("aws") && AccountId::parse(owner).is_ok() && role.starts_with("role/") && role.len() > 5)
            && text.chars().all(|c| c.is_ascii_graphic())
    })?;
    if let (Some(account), Some(owner)) = (account, arn.split(':').nth(4))
        && owner != account.as_str()
    {
        walk.error(
            field.place(),
            format!("the role is in account {owner}, but `account` is {account}"),
            "name a role of that account, or correct account",
        );
        return None;
    }
    Some(arn)
}

fn limits(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut table) = root.table("limits", "limits", walk) else { return limits };
    if let Some(count) =
        table.optional("max_concurrent_rollouts", walk, |field, walk| reader::integer(field, 1..=1000, walk))
    {
        limits.max_concurrent_rollouts = count;
    }
    if let Some(count) =
        table.optional("max_releases_per_change", walk, |field, walk| reader::integer(field, 1..=10_000, walk))
    {
        limits.max_releases_per_change = count;
    }
    table.finish(walk);
    limits
}

fn prune(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Prune {
    let mut prune = Prune::default();
    let Some(mut table) = root.table("prune", "prune", walk) else { return prune };
    if let Some(enabled) = table.optional("enabled", walk, reader::boolean) {
        prune.enabled = enabled;
    }
    if let Some(count) = table.optional("max_services", walk, |field, walk| reader::integer(field, 1..=1000, walk)) {
        prune.max_services = count;
    }
    table.finish(walk);
    prune
}

fn freeze(field: Field<'_>, frozen: &mut Vec<FrozenService>, walk: &mut Walk<'_>) -> Option<Freeze> {
    let mut table = Reader::of(field, walk)?;
    let name =
        table.required("name", "say what the freeze is for, such as name = \"black friday\"", walk, reader::sentence);
    let from = table.required("from", "add its start, such as from = 2026-11-27T00:00:00Z", walk, time);
    let until = table.required("until", "add its end, such as until = 2026-11-30T00:00:00Z", walk, time);
    let services = table.optional("services", walk, |field, walk| {
        let services = reader::list(field, walk, |field, walk| {
            let name: ServiceName = reader::name(field, walk)?;
            frozen.push((name.clone(), field.place()));
            Some(name)
        })?;
        if services.is_empty() {
            walk.error(field.place(), "the freeze holds no service", "name some, or leave the key out to hold all");
        }
        reader::no_repetition(field, &services, walk, |name| format!("`{name}`"));
        Some(services)
    });
    if let (Some(from), Some(until), Some(place)) = (from, until, table.place_of("until"))
        && until <= from
    {
        walk.error(place, "the freeze ends before it begins", format!("`until` must be after {from}"));
    }
    table.finish(walk);
    Some(Freeze { name: name?, from: from?, until: until?, services: services.unwrap_or_default() })
}

fn time(field: Field<'_>, walk: &mut Walk<'_>) -> Option<Timestamp> {
    let help = "write a time with its offset and without quotes, such as 2026-11-27T00:00:00Z";
    let time = match &field.node.value {
        Value::Time(text) => Timestamp::parse(text),
        _ => None,
    };
    if time.is_none() {
        let problem = match &field.node.value {
            Value::Time(_) => "has no offset from UTC".to_owned(),
            other => format!("must be a time, not {}", other.kind()),
        };
        walk.error(field.place(), format!("`{}` {problem}", field.label), help);
    }
    time
}
