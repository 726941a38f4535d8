//! One service file, its defaults merged in → [`ServiceSpec`].

use std::collections::BTreeMap;

use crate::names::{Digest, ServiceName, Version};
use crate::time::Span;

use super::boot;
use super::reader::{self, Field, Reader};
use super::release;
use super::source::{Place, Table, Value};
use super::spec::{Capacity, HealthCheckSpec, Metric, OnFailure, Retention, Rollout, Scaling, ServiceSpec};
use super::traffic::{self, Claim};
use super::unsupported;
use super::walk::{self, Walk};
use super::{digest, drift, ready};

/// What one service file says.
pub(super) struct ServiceRead {
    /// None when it lacks something; problems may make it broken all the same.
    pub spec: Option<ServiceSpec>,
    /// Its place on a listener, to be compared with the others.
    pub claim: Option<Claim>,
}

/// EC2 refuses more, before base64.
pub const USER_DATA_BYTES_MAX: usize = 16_384;

/// Three resources carry ten tags of ours next to the user's, and AWS takes 50.
pub const TAGS_MAX: usize = 40;

/// Reads the merged tables of a service.
pub(super) fn read(name: &ServiceName, table: &Table, walk: &mut Walk<'_>) -> ServiceRead {
    let mut root = Reader::new("", table, Place::START);
    let version: Option<Version> =
        root.required("version", "add the release's version at the top of the file", walk, reader::name);
    let redeploy = root.optional("redeploy", walk, reader::sentence);
    let paused = root.optional("paused", walk, reader::sentence);
    let image = release::image(&mut root, version.as_ref(), walk);
    let machine = release::machine(&mut root, version.as_ref(), walk);
    let env = release::env(&mut root, walk);
    let secrets = release::secrets(&mut root, walk);
    both_env_and_secret(table, walk);
    if !root.has("image") && !walk.partial {
        settable_by_bash(table, walk);
    }
    let network = release::network(&mut root, walk);
    let capacity = capacity(&mut root, walk);
    let traffic = traffic::load_balancer(&mut root, image.as_ref(), walk);
    let rollout = rollout(&mut root, walk);
    let retention = retention(&mut root, walk);
    let drift = drift::read(&mut root, walk);
    let tags = tags(&mut root, walk);
    if let Some(rollout) = &rollout {
        // While the load balancer is broken, its checks are not known.
        match (&traffic.load_balancer, root.has("load_balancer")) {
            (Some(balancer), _) => deadline(table, rollout, Some(&balancer.health_check), walk),
            (None, false) => deadline(table, rollout, None, walk),
            (None, true) => {}
        }
    }
    if let (Some(machine), Some(rollout)) = (&machine, &rollout) {
        ready::fits(table, machine, rollout, walk);
    }
    root.finish(walk);
    if !walk.partial {
        walk.add(unsupported::service(table));
    }

    let spec = (|| {
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
            load_balancer: traffic.load_balancer,
            rollout: rollout?,
            retention: retention?,
            drift,
            tags,
            digest: Digest::of(b""),
            user_data: String::new(),
        };
        spec.digest = digest::digest(&spec);
        spec.user_data = boot::boot_script(&spec);
        Some(spec)
    })();
    if let Some(spec) = &spec {
        boot_script_fits(table, spec, walk);
    }
    ServiceRead { spec, claim: traffic.claim }
}

fn boot_script_fits(table: &Table, spec: &ServiceSpec, walk: &mut Walk<'_>) {
    let script_bytes = spec.user_data.len();
    let user_script = spec.machine.user_data.as_ref();
    if script_bytes > USER_DATA_BYTES_MAX {
        let machine = table.table("machine").map(|(machine, _)| machine);
        let user_data = machine.and_then(|machine| machine.get("user_data"));
        let theirs = user_script.map_or(0, |script| script.content.len());
        let help = match user_script {
            Some(script) => format!(
                "ionroller's part takes {}, {} has {theirs}: shorten it, or have it fetch the rest from S3",
                script_bytes - theirs,
                script.path
            ),
            None => "shorten [env], [secrets] or image.command, or fetch what is long from S3 at start".to_owned(),
        };
        walk.error(
            user_data.map_or(Place::START, |entry| entry.node.place),
            format!("the boot script has {script_bytes} bytes, but AWS takes at most {USER_DATA_BYTES_MAX}"),
            help,
        );
    }
}

fn both_env_and_secret(table: &Table, walk: &mut Walk<'_>) {
    let (Some((env, _)), Some((secrets, _))) = (table.table("env"), table.table("secrets")) else { return };
    let env: BTreeMap<&str, Place> = env.entries.iter().map(|entry| (entry.key.as_str(), entry.place)).collect();
    for secret in &secrets.entries {
        if let Some(variable) = env.get(secret.key.as_str()) {
            let place = walk::blame(&[Some(secret.place), Some(*variable)]);
            walk.error(
                place,
                format!("`{}` stands both in [env] and in [secrets]", reader::shorten(&secret.key)),
                "remove one of them",
            );
        }
    }
}

/// Without a container the boot script's bash sets the variables for the user's script.
fn settable_by_bash(table: &Table, walk: &mut Walk<'_>) {
    const READ_ONLY: [&str; 6] = ["BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"];
    for (table, _) in ["env", "secrets"].iter().filter_map(|name| table.table(name)) {
        for entry in READ_ONLY.iter().filter_map(|name| table.get(name)) {
            let message = format!("`{}` is a variable that bash doesn't let anyone set", entry.key);
            walk.error(entry.place, message, "give the variable another name");
        }
    }
}

fn capacity(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Option<Capacity> {
    let requests = requests(root);
    let balanced = requests != Requests::None;
    let mut table = release::required_table(root, "capacity", "add [capacity] with min", walk)?;
    let min = table.required("min", "add the number of machines that always run", walk, |field, walk| {
        reader::integer(field, 0..=10_000, walk)
    });
    let max = table.optional("max", walk, |field, walk| reader::integer(field, 0..=10_000, walk));
    if let (Some(min), Some(max)) = (min, max)
        && max < min
    {
        let place = walk::blame(&[table.place_of("max"), table.place_of("min")]);
        walk.error(
            place,
            format!("`capacity.max` of {max} is less than `capacity.min` of {min}"),
            "raise max or lower min",
        );
    }
    let fixed = min.is_some() && max.or(min) == min && (max.is_some() || !table.has("max"));
    if let (true, Some(min), Some(place)) = (fixed && !walk.partial, min, table.place_of("scaling")) {
        walk.warning(
            place,
            format!("`capacity.scaling` has no room: min and max are both {min}"),
            "set `capacity.max` above min",
        );
    }
    if let (Some(0), true, Some(place)) = (min, balanced && !walk.partial, table.place_of("min")) {
        walk.error(place, "`capacity.min` is 0 behind a load balancer", "at least 1 machine must serve");
    }
    let scaling = table.optional("scaling", walk, |field, walk| {
        let scaling = reader::list(field, walk, |field, walk| scaling(field, requests, walk))?;
        let metrics: Vec<Metric> = scaling.iter().map(|policy| policy.metric).collect();
        reader::no_repetition(field, &metrics, walk, |metric| format!("metric `{}`", metric_name(*metric)));
        Some(scaling)
    });
    table.finish(walk);
    let min = min?;
    Some(Capacity { min, max: max.unwrap_or(min), scaling: scaling.unwrap_or_default() })
}

const METRICS: [(&str, Metric); 2] = [("cpu", Metric::Cpu), ("requests-per-target", Metric::RequestsPerTarget)];

fn metric_name(metric: Metric) -> &'static str {
    METRICS.iter().find(|(_, other)| *other == metric).map_or("", |(name, _)| name)
}

/// What counts requests for scaling.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Requests {
    /// A worker.
    None,
    /// A Network Load Balancer sees connections only.
    Connections,
    /// An Application Load Balancer.
    Counted,
}

fn requests(root: &Reader<'_>) -> Requests {
    match root.peek("load_balancer") {
        None => Requests::None,
        Some(Value::Table(balancer)) => match balancer.get("listener").map(|entry| &entry.node.value) {
            Some(Value::Text(arn)) if arn.contains(":listener/net/") => Requests::Connections,
            _ => Requests::Counted,
        },
        Some(_) => Requests::Counted,
    }
}

fn scaling(field: Field<'_>, requests: Requests, walk: &mut Walk<'_>) -> Option<Scaling> {
    let mut table = Reader::of(field, walk)?;
    let metric = table.required("metric", "add metric = \"cpu\" or \"requests-per-target\"", walk, |field, walk| {
        reader::word(field, &METRICS, walk)
    });
    let target_millis = table.required("target", "add the value to keep the metric at", walk, thousandths);
    if let (Some(Metric::RequestsPerTarget), false, Some(place)) = (metric, walk.partial, table.place_of("metric")) {
        let problem = match requests {
            Requests::None => Some("a service without [load_balancer] gets no requests to scale by"),
            Requests::Connections => Some("a Network Load Balancer counts no requests to scale by"),
            Requests::Counted => None,
        };
        if let Some(problem) = problem {
            walk.error(place, problem, "write metric = \"cpu\"");
        }
    }
    if let (Some(Metric::Cpu), Some(100_001..), Some(place)) = (metric, target_millis, table.place_of("target")) {
        walk.error(place, "a group's CPU can't be above 100 percent", "write a target from 1 to 100");
    }
    table.finish(walk);
    Some(Scaling { metric: metric?, target_millis: target_millis? })
}

/// A positive number with at most three decimals, times 1,000.
fn thousandths(field: Field<'_>, walk: &mut Walk<'_>) -> Option<u64> {
    let millis = match &field.node.value {
        Value::Integer(integer) => u64::try_from(*integer).ok().and_then(|number| number.checked_mul(1000)),
        Value::Float(literal) => literal.split_once('.').and_then(|(whole, fraction)| {
            let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
            if fraction.len() > 3 || !digits(whole) || !digits(fraction) {
                return None;
            }
            format!("{whole}{fraction:0<3}").parse().ok()
        }),
        _ => None,
    };
    // A billion requests for each machine and minute is no target but a mistake.
    let millis = millis.filter(|millis| (1..=1_000_000_000_000).contains(millis));
    if millis.is_none() {
        let help = "write a number above zero with at most three decimals, such as 60 or 62.5";
        walk.error(field.place(), format!("`{}` is not a target", field.label), help);
    }
    millis
}

fn rollout(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Option<Rollout> {
    let default = Rollout::default();
    let Some(mut table) = root.table("rollout", "rollout", walk) else { return Some(default) };
    let steps = table.optional("steps", walk, steps);
    let bake = table.optional("bake", walk, reader::span);
    let healthy_deadline = table.optional("healthy_deadline", walk, reader::span_above_zero);
    let healthy_for = table.optional("healthy_for", walk, reader::span);
    let unhealthy_for = table.optional("unhealthy_for", walk, reader::span_above_zero);
    let alarms = table.optional("alarms", walk, |field, walk| {
        let alarms = reader::list(field, walk, |field, walk| {
            reader::text_that(field, "the name of a CloudWatch alarm, at most 255 characters", walk, |text| {
                (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control)
            })
        })?;
        reader::no_repetition(field, &alarms, walk, |alarm| format!("`{alarm}`"));
        Some(alarms)
    });
    let on_failure = table.optional("on_failure", walk, |field, walk| {
        reader::word(field, &[("roll-back", OnFailure::RollBack), ("hold", OnFailure::Hold)], walk)
    });
    let read = |key: &str, read: bool| read == table.has(key);
    let sound = read("healthy_deadline", healthy_deadline.is_some()) && read("healthy_for", healthy_for.is_some());
    table.finish(walk);
    sound.then(|| Rollout {
        steps: steps.unwrap_or(default.steps),
        bake: bake.unwrap_or(default.bake),
        healthy_deadline: healthy_deadline.unwrap_or(default.healthy_deadline),
        healthy_for: healthy_for.unwrap_or(default.healthy_for),
        unhealthy_for: unhealthy_for.unwrap_or(default.unhealthy_for),
        alarms: alarms.unwrap_or_default(),
        on_failure: on_failure.unwrap_or(default.on_failure),
    })
}

fn steps(field: Field<'_>, walk: &mut Walk<'_>) -> Option<Vec<u32>> {
    let steps = reader::list(field, walk, |field, walk| reader::integer(field, 1..=100, walk))?;
    let Value::List(nodes) = &field.node.value else { return None };
    let falls = steps.windows(2).position(|pair| pair[1] <= pair[0]);
    if let Some(node) = falls.and_then(|index| nodes.get(index + 1)) {
        walk.error(
            node.place,
            match falls.and_then(|index| Some((steps.get(index)?, steps.get(index + 1)?))) {
                Some((before, after)) => format!("`rollout.steps` don't rise: {after} follows {before}"),
                None => "`rollout.steps` don't rise".to_owned(),
            },
            "write percents in rising order, such as [5, 25, 50, 100]",
        );
        return None;
    }
    if steps.last() != Some(&100) {
        walk.error(
            field.place(),
            "`rollout.steps` don't end at 100",
            "add 100 as the last step: then the new release has all traffic",
        );
        return None;
    }
    Some(steps)
}

/// A release that could never be healthy in time would always be rolled back.
fn deadline(table: &Table, rollout: &Rollout, check: Option<&HealthCheckSpec>, walk: &mut Walk<'_>) {
    let checks = check.map_or(Span::ZERO, |check| check.interval * u64::from(check.healthy));
    let least = checks + rollout.healthy_for;
    if rollout.healthy_deadline >= least || walk.partial {
        return;
    }
    let place =
        |table: Option<(&Table, Place)>, key: &str| table.and_then(|(table, _)| Some(table.get(key)?.node.place));
    let rollout_table = table.table("rollout");
    let check_table = table.table("load_balancer").and_then(|(balancer, _)| balancer.table("health_check"));
    let places = [
        place(rollout_table, "healthy_deadline"),
        place(rollout_table, "healthy_for"),
        place(check_table, "interval"),
        place(check_table, "healthy"),
    ];
    walk.error(
        walk::blame(&places),
        format!("a new release can't be healthy within {}", rollout.healthy_deadline),
        match check {
            Some(check) => format!(
                "{} checks, {} apart, and `healthy_for` of {} take {least}: raise `rollout.healthy_deadline` well above that",
                check.healthy, check.interval, rollout.healthy_for
            ),
            None => "raise `rollout.healthy_deadline` well above `healthy_for`".to_owned(),
        },
    );
}

fn retention(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Option<Retention> {
    let default = Retention::default();
    let Some(mut table) = root.table("retention", "retention", walk) else { return Some(default) };
    let warm = table.optional("warm", walk, reader::span);
    let records = table.optional("records", walk, |field, walk| reader::integer(field, 0..=100, walk));
    table.finish(walk);
    Some(Retention { warm: warm.unwrap_or(default.warm), records: records.unwrap_or(default.records) })
}

fn tags(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> BTreeMap<String, String> {
    let pairs = root.map("tags", walk, |entry, walk| {
        release::misplaced(entry, walk);
        let label = format!("tags.{}", reader::shorten(&entry.key));
        let value = reader::text_that(
            Field { label: &label, node: &entry.node },
            "at most 256 characters out of letters, digits, space and + - = . _ : / @",
            walk,
            |text| text.len() <= 256 && text.chars().all(portable),
        );
        let key = entry.key.as_str();
        let lower = key.to_ascii_lowercase();
        if lower.starts_with("ionroller:") || lower.starts_with("aws:") {
            let (prefix, _) = lower.split_once(':').unwrap_or((&lower, ""));
            walk.error(
                entry.place,
                format!("the tag `{}` is reserved", reader::shorten(key)),
                format!("choose a key that doesn't begin with {prefix}:"),
            );
            return None;
        }
        if key.is_empty() || key.len() > 128 || !key.chars().all(portable) {
            walk.error(
                entry.place,
                format!("`{}` is not a valid key of a tag", reader::shorten(key)),
                "it must be 1 to 128 characters out of letters, digits, space and + - = . _ : / @",
            );
            return None;
        }
        Some((key.to_owned(), value?))
    });
    if pairs.len() > TAGS_MAX {
        let place = root.place_of("tags").unwrap_or(Place::FILE);
        walk.error(
            place,
            format!("{} tags", pairs.len()),
            format!("AWS takes 50 on a resource and ionroller needs some: at most {TAGS_MAX}"),
        );
    }
    pairs.into_iter().collect()
}

/// The characters that every AWS service takes in tags.
fn portable(c: char) -> bool {
    c.is_ascii_alphanumeric() || " +-=._:/@".contains(c)
}
