//! `services/NAME.toml`.

use std::collections::BTreeMap;

use crate::names::{Digest, ServiceName, Version};
use crate::time::Span;

use super::diagnostic::Severity;
use super::files::{ConfigFiles, FileContent};
use super::reader::{Problems, Reader};
use super::source::{Node, Value};
use super::spec::{
    Ami, Capacity, Image, Machine, Metric, Network, OnFailure, PortMapping, Retention, Rollout, Scaling, ScopeConfig,
    SecretRef, ServiceSpec, UserScript, VolumeMapping,
};
use super::{boot, digest, traffic};

/// The most bytes of a boot script. Source: EC2's limit on user data before base64.
const USER_DATA_MAX: usize = 16_384;

/// A hundred days: far beyond any sensible wait, and no typo away from one.
const LONG: Span = Span::from_mins(100 * 24 * 60);

/// Where keys belong that people put elsewhere.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ami", "machine"),
    ("instance_type", "machine"),
    ("user_data", "machine"),
    ("min", "capacity"),
    ("max", "capacity"),
    ("subnets", "network"),
    ("security_groups", "network"),
    ("listener", "load_balancer"),
    ("rule", "load_balancer"),
    ("health_check", "load_balancer"),
    ("steps", "rollout"),
    ("bake", "rollout"),
    ("warm", "retention"),
    ("digest", "image"),
    ("repository", "image"),
];

/// Reads a service's file, defaults already beneath it.
pub fn read(
    name: &ServiceName,
    root: &Node,
    files: &ConfigFiles,
    scope: Option<&ScopeConfig>,
    problems: &mut Problems,
) -> Option<ServiceSpec> {
    let Value::Table(table) = &root.value else { return None };
    let mut file = Reader::new(table, root.at.clone(), "");
    file.require("version", "version = \"1.0.0\"", problems);
    let version = file.parsed("version", Version::parse, problems);
    let redeploy = file.parsed("redeploy", short, problems);
    let paused = file.parsed("paused", short, problems);
    let image = file.table("image", problems).and_then(|table| image(table, problems));
    let machine = required_table(&mut file, "machine", problems)
        .and_then(|table| machine(table, files, version.as_ref(), problems));
    let env = env(&mut file, problems);
    let secrets = secrets(&mut file, &env, problems);
    let network = required_table(&mut file, "network", problems).map(|table| network(table, problems));
    let rollout =
        file.table("rollout", problems).map_or_else(|| Some(Rollout::default()), |table| rollout(table, problems));
    let first_port = image.as_ref().and_then(|image| image.ports.first()).map(|port| port.host);
    let load_balancer = match file.table("load_balancer", problems) {
        Some(table) => Some(traffic::read(table, first_port, scope, rollout.as_ref(), problems)?),
        None => None,
    };
    let capacity = required_table(&mut file, "capacity", problems)
        .and_then(|table| capacity(table, load_balancer.is_some(), problems));
    let retention = file
        .table("retention", problems)
        .map_or_else(|| Some(Retention::default()), |table| Some(retention(table, problems)));
    let tags = tags(&mut file, problems);
    file.finish(ELSEWHERE, problems);
    let mut spec = ServiceSpec {
        name: name.clone(),
        version: version?,
        redeploy,
        paused,
        image,
        machine: machine?,
        env,
        secrets,
        network: network?,
        capacity: capacity?,
        load_balancer,
        rollout: rollout?,
        retention: retention?,
        tags,
        digest: Digest::of(b""),
        user_data: String::new(),
    };
    spec.digest = digest::of(&spec);
    spec.user_data = boot::script(&spec);
    let size = spec.user_data.len();
    if size > USER_DATA_MAX {
        let at = root_place(root, "machine");
        let message = format!("the boot script is {size} bytes long, and EC2 takes {USER_DATA_MAX}");
        problems.push(at.error(message).help("fetch the larger part at boot, or bake it into the AMI"));
    }
    Some(spec)
}

fn root_place(root: &Node, key: &str) -> super::source::At {
    match &root.value {
        Value::Table(table) => table.get(key).map_or_else(|| root.at.clone(), |(at, _)| at.clone()),
        _ => root.at.clone(),
    }
}

fn required_table<'a>(file: &mut Reader<'a>, key: &'static str, problems: &mut Problems) -> Option<Reader<'a>> {
    file.require(key, &format!("[{key}]"), problems);
    file.table(key, problems)
}

fn short(text: &str) -> Result<String, &'static str> {
    if text.chars().count() <= 256 { Ok(text.to_owned()) } else { Err("it is longer than 256 characters") }
}

fn image(mut table: Reader<'_>, problems: &mut Problems) -> Option<Image> {
    table.require("repository", "repository = \"ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME\"", problems);
    let repository = table.parsed("repository", repository, problems);
    let digest = table.parsed("digest", image_digest, problems);
    if !table.has("digest") {
        let problem = table
            .at
            .problem(Severity::Warning, "`image.digest` is not set: a tag may move, and scale-out would mix builds");
        problems.push(problem.help("add digest = \"sha256:…\""));
    }
    let mut ports = Vec::new();
    for item in table.list("ports", problems).unwrap_or_default() {
        let Some(mut port) = item_table(item, "image.ports", "{ host = 80, container = 8080 }", problems) else {
            continue;
        };
        port.require("host", "host = 80", problems);
        port.require("container", "container = 8080", problems);
        let host = port.integer("host", 1..=65_535, problems);
        let container = port.integer("container", 1..=65_535, problems);
        port.finish(&[], problems);
        let small = |number: u32| u16::try_from(number).ok();
        ports.extend(
            host.and_then(small)
                .zip(container.and_then(small))
                .map(|(host, container)| PortMapping { host, container }),
        );
    }
    let command = table.texts("command", one_line, problems);
    let mut volumes = Vec::new();
    for item in table.list("volumes", problems).unwrap_or_default() {
        let Some(mut volume) =
            item_table(item, "image.volumes", "{ host = \"/var/cache\", container = \"/cache\" }", problems)
        else {
            continue;
        };
        let host = volume.parsed("host", absolute, problems);
        let container = volume.parsed("container", absolute, problems);
        volume.require("host", "host = \"/var/cache\"", problems);
        volume.require("container", "container = \"/cache\"", problems);
        volume.finish(&[], problems);
        volumes.extend(host.zip(container).map(|(host, container)| VolumeMapping { host, container }));
    }
    table.finish(&[], problems);
    Some(Image { repository: repository?, digest, ports, command, volumes })
}

fn item_table<'a>(item: &'a Node, name: &str, example: &str, problems: &mut Problems) -> Option<Reader<'a>> {
    match &item.value {
        Value::Table(table) => Some(Reader::new(table, item.at.clone(), name)),
        other => {
            problems.push(
                item.at
                    .error(format!("`{name}` holds {}, and must hold tables", other.kind()))
                    .help(format!("such as {example}")),
            );
            None
        }
    }
}

fn repository(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "./_-:".contains(c);
    let last = text.rsplit('/').next().unwrap_or("");
    if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
        Err("it is no image repository")
    } else if last.contains(':') {
        Err("it has a tag; the version is the tag")
    } else {
        Ok(text.to_owned())
    }
}

fn image_digest(text: &str) -> Result<String, &'static str> {
    let hex = text.strip_prefix("sha256:").unwrap_or("");
    let good = hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if good { Ok(text.to_owned()) } else { Err("it must be `sha256:` and 64 lower-case hex digits") }
}

fn absolute(text: &str) -> Result<String, &'static str> {
    let plain = text.chars().all(|c| !c.is_control() && c != ':');
    if text.starts_with('/') && plain {
        Ok(text.to_owned())
    } else {
        Err("it must be an absolute path without a colon")
    }
}

fn one_line(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        Err("has a line break or another control character".to_owned())
    } else {
        Ok(())
    }
}

fn machine(
    mut table: Reader<'_>,
    files: &ConfigFiles,
    version: Option<&Version>,
    problems: &mut Problems,
) -> Option<Machine> {
    table.require("ami", "ami = \"ami-0abc…\"", problems);
    table.require("instance_type", "instance_type = \"t3.small\"", problems);
    let ami = table.parsed("ami", |text| ami(text, version), problems);
    let instance_type = table.parsed("instance_type", instance_type, problems);
    let instance_profile = table.parsed("instance_profile", |text| name(text, 128), problems);
    let key_name = table.parsed("key_name", |text| name(text, 255), problems);
    let root_volume_gib = table.integer("root_volume_gib", 1..=16_384, problems);
    let path = table.text("user_data", problems).map(str::to_owned);
    let user_data = path.and_then(|path| user_script(&table, path, files, problems));
    table.finish(&[], problems);
    Some(Machine { ami: ami?, instance_type: instance_type?, instance_profile, key_name, root_volume_gib, user_data })
}

fn ami(text: &str, version: Option<&Version>) -> Result<Ami, &'static str> {
    if let Some(pattern) = text.strip_prefix("name:") {
        let good = !pattern.is_empty() && pattern.len() <= 256 && pattern.chars().all(|c| !c.is_control());
        let filled = pattern.replace("{version}", version.map_or("", Version::as_str));
        return if good { Ok(Ami::Name(filled)) } else { Err("after `name:` comes a pattern such as web-{version}") };
    }
    let id = text.strip_prefix("ami-").unwrap_or("");
    let good = (4..=17).contains(&id.len()) && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if good {
        Ok(Ami::Id(text.to_owned()))
    } else {
        Err("it is neither an id such as ami-0123456789abcdef0 nor name:PATTERN")
    }
}

fn instance_type(text: &str) -> Result<String, &'static str> {
    let part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    match text.split_once('.') {
        Some((family, size)) if part(family) && part(size) => Ok(text.to_owned()),
        _ => Err("it is no instance type such as t3.small"),
    }
}

fn name(text: &str, most: usize) -> Result<String, &'static str> {
    let plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if !text.is_empty() && text.len() <= most && plain {
        Ok(text.to_owned())
    } else {
        Err("it is empty, too long, or has characters that AWS does not take")
    }
}

fn user_script(table: &Reader<'_>, path: String, files: &ConfigFiles, problems: &mut Problems) -> Option<UserScript> {
    let at = table.place("user_data");
    let mut refuse = |message: String, help: &str| {
        problems.push(at.error(message).help(help));
        None
    };
    if !path.starts_with("files/") || path.split('/').any(|part| part == ".." || part.is_empty()) {
        return refuse(
            format!("`machine.user_data` is `{path}`, which is not below files/"),
            "put the script below files/",
        );
    }
    match files.files.get(&path) {
        Some(FileContent::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Some(UserScript { path, content: text.to_owned() }),
            Err(_) => refuse(format!("{path} is not UTF-8 text"), "a boot script is text"),
        },
        Some(_) => refuse(format!("{path} is no regular file"), "links are not followed; put the script itself there"),
        None => refuse(format!("there is no file {path}"), "add it, or mend the path"),
    }
}

fn env(file: &mut Reader<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(table) = file.table("env", problems) else { return env };
    for (key, key_at, node) in table.entries() {
        if !is_variable(key) {
            problems.push(
                key_at
                    .error(format!("`{key}` is no name of a variable"))
                    .help("letters, digits and _, not beginning with a digit"),
            );
        }
        let Value::Text(text) = &node.value else {
            problems.push(
                node.at
                    .error(format!("`env.{key}` is {}, and must be a text", node.value.kind()))
                    .help(format!("such as {key} = \"…\"")),
            );
            continue;
        };
        if one_line(text).is_err() {
            problems.push(node.at.error(format!("`env.{key}` has a line break or another control character")));
        }
        if looks_secret(key, text) {
            let problem = node.at.problem(
                Severity::Warning,
                format!("`env.{key}` looks like a secret, and everybody can read this file"),
            );
            problems.push(problem.help("put it into the parameter store and its path into [secrets]"));
        }
        env.insert(key.clone(), text.clone());
    }
    env
}

fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn looks_secret(key: &str, value: &str) -> bool {
    let key = key.to_ascii_uppercase();
    let named = ["PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY"].iter().any(|word| key.contains(word));
    let shaped = value.starts_with("AKIA") || value.contains("-----BEGIN") || value.starts_with("ghp_");
    shaped || (named && !value.is_empty() && !value.starts_with('/'))
}

fn secrets(
    file: &mut Reader<'_>,
    env: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> BTreeMap<String, SecretRef> {
    let mut secrets = BTreeMap::new();
    let Some(table) = file.table("secrets", problems) else { return secrets };
    for (key, key_at, node) in table.entries() {
        if !is_variable(key) {
            problems.push(
                key_at
                    .error(format!("`{key}` is no name of a variable"))
                    .help("letters, digits and _, not beginning with a digit"),
            );
        }
        if env.contains_key(key) {
            problems.push(key_at.error(format!("`{key}` is in [env], too")).help("keep one of them"));
        }
        let reference = match &node.value {
            Value::Text(text) => secret(text),
            _ => None,
        };
        match reference {
            Some(reference) => drop(secrets.insert(key.clone(), reference)),
            // The value itself is not printed: it may be the secret.
            None => problems.push(
                node.at
                    .error(format!("`secrets.{key}` is no reference to a secret"))
                    .help("such as \"ssm:/web/db-password\" or \"secretsmanager:web/db\""),
            ),
        }
    }
    secrets
}

fn secret(text: &str) -> Option<SecretRef> {
    let good = |name: &str| {
        !name.is_empty()
            && name.len() <= 1011
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-:+=@!".contains(c))
    };
    let (store, name) = text.split_once(':')?;
    match store {
        "ssm" if good(name) => Some(SecretRef::Ssm(name.to_owned())),
        "secretsmanager" if good(name) => Some(SecretRef::SecretsManager(name.to_owned())),
        _ => None,
    }
}

fn network(mut table: Reader<'_>, problems: &mut Problems) -> Network {
    table.require("subnets", "subnets = [\"subnet-…\"]", problems);
    table.require("security_groups", "security_groups = [\"sg-…\"]", problems);
    let mut list = |key: &'static str, rule: fn(&str) -> Result<(), String>| {
        let empty = table.has(key);
        let mut items = table.texts(key, rule, problems);
        if items.is_empty() && empty {
            problems.push(table.place(key).error(format!("`network.{key}` names nothing")));
        }
        items.sort();
        items.dedup();
        items
    };
    let subnets = list("subnets", |text| prefixed(text, "subnet-"));
    let security_groups = list("security_groups", |text| prefixed(text, "sg-"));
    table.finish(&[], problems);
    Network { subnets, security_groups }
}

fn prefixed(text: &str, prefix: &str) -> Result<(), String> {
    let rest = text.strip_prefix(prefix).unwrap_or("");
    let good = !rest.is_empty() && rest.len() <= 40 && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if good { Ok(()) } else { Err(format!("is no id that begins with {prefix}")) }
}

fn capacity(mut table: Reader<'_>, behind_load_balancer: bool, problems: &mut Problems) -> Option<Capacity> {
    table.require("min", "min = 2", problems);
    let min = table.integer("min", 0..=10_000, problems);
    let max = table.integer("max", 0..=10_000, problems);
    if behind_load_balancer && min == Some(0) {
        problems
            .push(table.place("min").error("`capacity.min` is 0, and behind a load balancer it must be at least 1"));
    }
    if let (Some(min), Some(max)) = (min, max)
        && max < min
    {
        problems
            .push(table.place("max").error(format!("`capacity.max` is {max}, below `capacity.min`, which is {min}")));
    }
    let mut scaling: Vec<Scaling> = Vec::new();
    for item in table.list("scaling", problems).unwrap_or_default() {
        let example = "{ metric = \"cpu\", target = 60 }";
        let Some(mut entry) = item_table(item, "capacity.scaling", example, problems) else { continue };
        entry.require("metric", "metric = \"cpu\"", problems);
        entry.require("target", "target = 60", problems);
        let metric = entry.parsed("metric", metric, problems);
        let target = target(&mut entry, problems);
        entry.finish(&[], problems);
        let Some((metric, target_millis)) = metric.zip(target) else { continue };
        if scaling.iter().any(|known| known.metric == metric) {
            problems.push(item.at.error("`capacity.scaling` has this metric twice"));
        }
        scaling.push(Scaling { metric, target_millis });
    }
    table.finish(&[], problems);
    let min = min?;
    Some(Capacity { min, max: max.unwrap_or(min), scaling })
}

fn metric(text: &str) -> Result<Metric, &'static str> {
    match text {
        "cpu" => Ok(Metric::Cpu),
        "requests-per-target" => Ok(Metric::RequestsPerTarget),
        _ => Err("it must be `cpu` or `requests-per-target`"),
    }
}

fn target(entry: &mut Reader<'_>, problems: &mut Problems) -> Option<u64> {
    let node = entry.node("target")?;
    #[expect(clippy::cast_precision_loss, reason = "targets are small")]
    let number = match node.value {
        Value::Integer(number) => number as f64,
        Value::Float(number) => number,
        _ => f64::NAN,
    };
    if number > 0.0 && number <= 1_000_000.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within range")]
        return Some((number * 1000.0).round() as u64);
    }
    problems.push(node.at.error("`capacity.scaling.target` must be a number above 0").help("such as target = 60"));
    None
}

fn rollout(mut table: Reader<'_>, problems: &mut Problems) -> Option<Rollout> {
    let before = problems.len();
    let mut rollout = Rollout::default();
    if let Some(steps) = table.list("steps", problems) {
        rollout.steps = steps_of(steps, &table.place("steps"), problems);
    }
    let mut span = |key: &'static str, least: Span, into: &mut Span| {
        if let Some(span) = table.span(key, least..=LONG, problems) {
            *into = span;
        }
    };
    span("bake", Span::ZERO, &mut rollout.bake);
    span("healthy_deadline", Span::from_secs(1), &mut rollout.healthy_deadline);
    span("healthy_for", Span::ZERO, &mut rollout.healthy_for);
    span("unhealthy_for", Span::from_secs(1), &mut rollout.unhealthy_for);
    rollout.alarms = table.texts("alarms", one_line, problems);
    if let Some(on_failure) = table.parsed("on_failure", on_failure, problems) {
        rollout.on_failure = on_failure;
    }
    table.finish(&[], problems);
    (problems.len() == before).then_some(rollout)
}

fn steps_of(list: &[Node], at: &super::source::At, problems: &mut Problems) -> Vec<u32> {
    let mut steps = Vec::new();
    for item in list {
        match item.value {
            Value::Integer(step) if (1..=100).contains(&step) => steps.extend(u32::try_from(step)),
            _ => problems.push(item.at.error("a step is a whole number from 1 to 100")),
        }
    }
    if steps.len() == list.len() {
        if !steps.is_sorted_by(|a, b| a < b) {
            problems.push(at.error("`rollout.steps` must rise"));
        }
        if steps.last() != Some(&100) {
            problems.push(at.error("`rollout.steps` must end with 100").help("such as steps = [10, 50, 100]"));
        }
    }
    steps
}

fn on_failure(text: &str) -> Result<OnFailure, &'static str> {
    match text {
        "roll-back" => Ok(OnFailure::RollBack),
        "hold" => Ok(OnFailure::Hold),
        _ => Err("it must be `roll-back` or `hold`"),
    }
}

fn retention(mut table: Reader<'_>, problems: &mut Problems) -> Retention {
    let mut retention = Retention::default();
    if let Some(warm) = table.span("warm", Span::ZERO..=LONG, problems) {
        retention.warm = warm;
    }
    if let Some(records) = table.integer("records", 0..=1000, problems) {
        retention.records = records;
    }
    table.finish(&[], problems);
    retention
}

/// Source: 50 tags a resource in AWS, of which ours and a name need up to ten.
const TAGS_MAX: usize = 40;

fn tags(file: &mut Reader<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let Some(table) = file.table("tags", problems) else { return tags };
    let portable = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c));
    for (key, key_at, node) in table.entries() {
        let lower = key.to_ascii_lowercase();
        if lower.starts_with("ionroller:") || lower.starts_with("aws:") || key == "Name" {
            problems.push(key_at.error(format!("the tag `{key}` is not yours to set")));
        } else if key.is_empty() || key.len() > 128 || !portable(key) {
            problems.push(key_at.error("a tag's key has 1 to 128 letters, digits, spaces and + - = . _ : / @"));
        }
        match &node.value {
            Value::Text(text) if text.len() <= 256 && portable(text) => drop(tags.insert(key.clone(), text.clone())),
            Value::Text(_) => {
                problems.push(node.at.error("a tag's value has up to 256 letters, digits, spaces and + - = . _ : / @"))
            }
            other => problems.push(node.at.error(format!("`tags.{key}` is {}, and must be a text", other.kind()))),
        }
    }
    if tags.len() > TAGS_MAX {
        problems.push(table.at.error(format!("there are {} tags, and {TAGS_MAX} are the most", tags.len())));
    }
    tags
}
