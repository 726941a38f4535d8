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
        tables.iter().filter(|(name, keys)| *name != table && keys.contains(&key)).map(|(name, _)| *name)
    };
    let mut homes: Vec<String> = elsewhere(SERVICE).map(home_in_service).collect();
    homes.extend(elsewhere(SCOPE).map(home_in_scope));
    match (nearest(key, valid.iter().copied()), homes.first()) {
        (Some(near), None) => format!("did you mean `{near}`?"),
        (Some(near), Some(home)) => format!("did you mean `{near}`? `{key}` is a key of {home}"),
        (None, Some(home)) => format!("`{key}` is a key of {home}"),
        (None, None) => format!("the keys here are {}", valid.join(", ")),
    }
}

fn home_in_service(table: &str) -> String {
    if table.is_empty() {
        "the top level of a service file, before the first table".into()
    } else {
        format!("[{table}]")
    }
}

fn home_in_scope(table: &str) -> String {
    if table.is_empty() {
        "ionroller.toml, before the first table".into()
    } else {
        format!("[{table}] in ionroller.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_the_key() {
        let keys = ["steps", "bake", "healthy_deadline", "healthy_for", "unhealthy_for"];
        assert_eq!(nearest("step", keys), Some("steps"));
        assert_eq!(nearest("healthy-deadline", keys), Some("healthy_deadline"));
        assert_eq!(nearest("Bake", keys), Some("bake"));
        assert_eq!(nearest("colour", keys), None);
    }
}
