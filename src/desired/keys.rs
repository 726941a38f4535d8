//! All tables and keys of the two kinds of file, for hints about keys that are unknown
//! where they stand.

/// The tables of a service file and their keys. Tables with keys of the user's choice
/// (`env`, `secrets`, `tags`) have none here. The first is the top level.
pub(super) const SERVICE: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "version",
            "redeploy",
            "paused",
            "image",
            "machine",
            "env",
            "secrets",
            "network",
            "capacity",
            "load_balancer",
            "rollout",
            "retention",
            "tags",
        ],
    ),
    ("image", &["repository", "digest", "ports", "command", "volumes"]),
    ("image.ports", &["host", "container"]),
    ("image.volumes", &["host", "container"]),
    ("machine", &["ami", "instance_type", "instance_profile", "key_name", "root_volume_gib", "user_data"]),
    ("network", &["subnets", "security_groups"]),
    ("capacity", &["min", "max", "scaling"]),
    ("capacity.scaling", &["metric", "target"]),
    ("load_balancer", &["listener", "rule", "port", "protocol", "health_check", "deregistration_delay", "adopt"]),
    ("load_balancer.rule", &["priority", "hosts", "paths"]),
    (
        "load_balancer.health_check",
        &["path", "port", "protocol", "interval", "timeout", "healthy", "unhealthy", "matcher"],
    ),
    ("rollout", &["steps", "bake", "healthy_deadline", "healthy_for", "unhealthy_for", "alarms", "on_failure"]),
    ("retention", &["warm", "records"]),
];

/// The tables of `ionroller.toml` and their keys.
pub(super) const SCOPE: &[(&str, &[&str])] = &[
    ("", &["scope", "region", "account", "role_arn", "external_id", "defaults", "limits", "prune", "freeze"]),
    ("limits", &["max_concurrent_rollouts", "max_releases_per_change"]),
    ("prune", &["enabled", "max_services"]),
    ("freeze", &["name", "from", "until", "services"]),
];

/// The name most like `written`, when one is like enough for a typo.
pub(super) fn nearest<'k>(written: &str, names: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A hostile key of a megabyte must not cost a quadratic comparison.
    if written.chars().count() > 64 {
        return None;
    }
    let lower = written.to_lowercase().replace('-', "_");
    let score = |name: &str| strsim::jaro_winkler(&lower, &name.replace('-', "_"));
    names
        .into_iter()
        .map(|name| (score(name), name))
        .filter(|(score, _)| *score >= 0.82)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

/// What to do about a key that `table` doesn't have.
pub(super) fn hint(key: &str, table: &str, valid: &[&str]) -> String {
    let elsewhere = |tables: &'static [(&str, &[&str])]| {
        let here = |name: &str, keys: &[&str]| name == table && keys.iter().all(|key| valid.contains(key));
        tables.iter().filter(move |(name, keys)| keys.contains(&key) && !here(name, keys)).map(|(name, _)| *name)
    };
    let in_scope_file = table.is_empty() && valid.contains(&"defaults");
    let mut homes: Vec<String> = elsewhere(SERVICE).map(|table| home_in_service(key, table, in_scope_file)).collect();
    homes.extend(elsewhere(SCOPE).map(home_in_scope));
    match (nearest(key, valid.iter().copied()), homes.first()) {
        (Some(near), None) => format!("did you mean `{near}`?"),
        (Some(near), Some(home)) => format!("did you mean `{near}`? `{key}` is a key of {home}"),
        (None, Some(home)) => format!("`{key}` is a key of {home}"),
        (None, None) => format!("the keys here are {}", valid.join(", ")),
    }
}

/// Keys of the top level of a service file that are no tables.
pub(super) const SCALARS: [&str; 3] = ["version", "redeploy", "paused"];

fn home_in_service(key: &str, table: &str, in_scope_file: bool) -> String {
    match (table, SCALARS.contains(&key)) {
        ("", false) if in_scope_file => format!("service files; write [defaults.{key}] for all of them"),
        ("", false) => "the top level of a service file".to_owned(),
        ("", true) => "the top level of a service file, before the first table".to_owned(),
        (table, _) => format!("[{table}]"),
    }
}

fn home_in_scope(table: &str) -> String {
    if table.is_empty() { "ionroller.toml".to_owned() } else { format!("[{table}] in ionroller.toml") }
}

#[cfg(test)]
mod tests {
    use super::super::files::{ConfigFiles, FileContent};
    use super::super::load;
    use super::*;

    #[test]
    fn typos_find_the_key() {
        let keys = ["steps", "bake", "healthy_deadline", "healthy_for", "unhealthy_for"];
        assert_eq!(nearest("step", keys), Some("steps"));
        assert_eq!(nearest("healthy-deadline", keys), Some("healthy_deadline"));
        assert_eq!(nearest("Bake", keys), Some("bake"));
        assert_eq!(nearest("colour", keys), None);
    }

    /// The tables here and the keys that the readers ask for are the same.
    #[test]
    fn every_key_is_read() {
        for (file, tables) in [("ionroller.toml", SCOPE), ("services/a.toml", SERVICE)] {
            for (name, keys) in tables {
                let header = match *name {
                    "" => String::new(),
                    "image.ports" | "image.volumes" | "capacity.scaling" | "freeze" => format!("[[{name}]]\n"),
                    name => format!("[{name}]\n"),
                };
                let mut files = ConfigFiles::default();
                files.files.insert(file.to_owned(), FileContent::Bytes(format!("{header}zzz = 1\n").into()));
                let diagnostics = load(&files, None).diagnostics;
                let unknown = diagnostics.iter().find(|diagnostic| diagnostic.message.contains("zzz"));
                let help = unknown.and_then(|diagnostic| diagnostic.help.clone()).unwrap();
                let listed = help.strip_prefix("the keys here are ").unwrap_or_else(|| panic!("{name}: {help}"));
                let sorted =
                    |keys: Vec<&str>| std::collections::BTreeSet::from_iter(keys.into_iter().map(str::to_owned));
                assert_eq!(sorted(listed.split(", ").collect()), sorted(keys.to_vec()), "{file} [{name}]");
            }
        }
    }
}
