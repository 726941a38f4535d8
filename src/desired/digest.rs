//! The identity of a release: SHA-256 over a canonical form of everything that shapes
//! its machines.
//!
//! The canonical form, version 1, is text. Its first line is `ionroller release 1`; then
//! one line `KEY=VALUE` for each key that is set to something else than its default,
//! sorted by the bytes of KEY. VALUE is JSON without spaces: a string, a number, or a list. KEY is the
//! dotted path in the service file. Every line ends in a line feed.
//!
//! - `machine.user_data` is the script's content, not its path.
//! - `machine.ami` of a named AMI is the pattern with the version filled in.
//! - `network.subnets` and `network.security_groups` are sorted and without repetition.
//! - `load_balancer.port` is there for every service behind a load balancer, also at its
//!   default: it is what tells such a release from the same one without.
//! - `load_balancer.health_check.port` and `.protocol` are absent when they equal those
//!   of the traffic; for TLS, UDP and TCP_UDP the protocol is absent when it is TCP.
//!
//! The boot script's template is not in it: a new ionroller must not replace machines.
//! For the same reason this form never changes; a second version would need both.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::names::Digest;

use super::spec::{
    Ami, HealthCheckSpec, Image, LoadBalancer, Machine, Network, Protocol, Ready, ReadyCheck, SecretRef, ServiceSpec,
};
use super::traffic::default_check_protocol;

type Lines = BTreeMap<String, Value>;

/// The digest of the release that a service file describes. The fields `digest` and
/// `user_data` of the spec are not read: they follow from the others.
pub fn digest(spec: &ServiceSpec) -> Digest {
    Digest::of(canonical(spec).as_bytes())
}

/// The canonical form, version 1.
fn canonical(spec: &ServiceSpec) -> String {
    let ServiceSpec {
        // The digest is unique within its service; the name is no part of it.
        name: _,
        version,
        redeploy,
        // A hold on whatever runs.
        paused: _,
        image,
        machine,
        env,
        secrets,
        network,
        // Changed in place, without new machines.
        capacity: _,
        load_balancer,
        rollout: _,
        retention: _,
        drift: _,
        tags: _,
        // Made from the rest.
        digest: _,
        user_data: _,
    } = spec;
    let mut lines = Lines::new();
    put(&mut lines, "version", json!(version.as_str()));
    put_some(&mut lines, "redeploy", redeploy.as_ref());
    if let Some(image) = image {
        put_image(&mut lines, image);
    }
    put_machine(&mut lines, machine);
    for (name, value) in env {
        put(&mut lines, &format!("env.{name}"), json!(value));
    }
    for (name, reference) in secrets {
        put(&mut lines, &format!("secrets.{name}"), json!(written(reference)));
    }
    put_network(&mut lines, network);
    if let Some(balancer) = load_balancer {
        put_load_balancer(&mut lines, balancer);
    }
    let mut text = String::from("ionroller release 1\n");
    for (key, value) in lines {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

fn put(lines: &mut Lines, key: &str, value: Value) {
    lines.insert(key.to_owned(), value);
}

fn put_some(lines: &mut Lines, key: &str, value: Option<&String>) {
    if let Some(value) = value {
        put(lines, key, json!(value));
    }
}

fn put_image(lines: &mut Lines, image: &Image) {
    let Image { repository, digest, ports, command, volumes } = image;
    put(lines, "image.repository", json!(repository));
    put_some(lines, "image.digest", digest.as_ref());
    if !ports.is_empty() {
        let pairs: Vec<_> = ports.iter().map(|port| json!([port.host, port.container])).collect();
        put(lines, "image.ports", json!(pairs));
    }
    if !command.is_empty() {
        put(lines, "image.command", json!(command));
    }
    if !volumes.is_empty() {
        let pairs: Vec<_> = volumes.iter().map(|volume| json!([volume.host, volume.container])).collect();
        put(lines, "image.volumes", json!(pairs));
    }
}

fn put_machine(lines: &mut Lines, machine: &Machine) {
    let Machine { ami, instance_type, instance_profile, key_name, root_volume_gib, user_data, ready } = machine;
    let ami = match ami {
        Ami::Id(id) => id.clone(),
        Ami::Name(pattern) => format!("name:{pattern}"),
    };
    put(lines, "machine.ami", json!(ami));
    put(lines, "machine.instance_type", json!(instance_type));
    put_some(lines, "machine.instance_profile", instance_profile.as_ref());
    put_some(lines, "machine.key_name", key_name.as_ref());
    if let Some(gib) = root_volume_gib {
        put(lines, "machine.root_volume_gib", json!(gib));
    }
    put_some(lines, "machine.user_data", user_data.as_ref().map(|script| &script.content));
    if let Some(Ready { check, timeout }) = ready {
        match check {
            ReadyCheck::Http(address) => put(lines, "machine.ready.http", json!(address)),
            ReadyCheck::Command(command) => put(lines, "machine.ready.command", json!(command)),
        }
        if *timeout != Ready::TIMEOUT {
            put(lines, "machine.ready.timeout", json!(timeout.as_secs_ceil()));
        }
    }
}

fn put_network(lines: &mut Lines, network: &Network) {
    let Network { subnets, security_groups } = network;
    let set = |items: &[String]| {
        let mut items = items.to_vec();
        items.sort();
        items.dedup();
        json!(items)
    };
    put(lines, "network.subnets", set(subnets));
    put(lines, "network.security_groups", set(security_groups));
}

fn put_load_balancer(lines: &mut Lines, balancer: &LoadBalancer) {
    let LoadBalancer {
        // A rule moves in place; another load balancer is refused elsewhere.
        listener: _,
        rule: _,
        port,
        protocol,
        health_check,
        // An attribute of the target group, changed in place.
        deregistration_delay: _,
        // How the first release begins, not what it is.
        adopt: _,
    } = balancer;
    let HealthCheckSpec {
        path,
        port: check_port,
        protocol: check_protocol,
        // Changed in place.
        interval: _,
        timeout: _,
        healthy: _,
        unhealthy: _,
        matcher,
    } = health_check;
    put(lines, "load_balancer.port", json!(port));
    if *protocol != Protocol::Http {
        put(lines, "load_balancer.protocol", json!(protocol.as_str()));
    }
    if path != "/" {
        put(lines, "load_balancer.health_check.path", json!(path));
    }
    if let Some(check_port) = check_port.filter(|check_port| check_port != port) {
        put(lines, "load_balancer.health_check.port", json!(check_port));
    }
    if let Some(check_protocol) =
        check_protocol.filter(|check_protocol| *check_protocol != default_check_protocol(*protocol))
    {
        put(lines, "load_balancer.health_check.protocol", json!(check_protocol.as_str()));
    }
    if matcher != "200" {
        put(lines, "load_balancer.health_check.matcher", json!(matcher));
    }
}

/// A reference as the service file writes it.
fn written(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Ssm(path) => format!("ssm:{path}"),
        SecretRef::SecretsManager(name) => format!("secretsmanager:{name}"),
    }
}

#[cfg(test)]
mod tests;
