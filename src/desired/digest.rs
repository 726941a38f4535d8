//! The identity of a release: everything that shapes its machines, in a canonical form.
//!
//! Version 1 of the form is fixed for ever: golden digests are tests. Keys that are absent or
//! at their default are left out, so that a key added later changes no digest by itself.

use std::fmt::Write as _;

use crate::names::Digest;

use super::spec::{Ami, Protocol, SecretRef, ServiceSpec};

/// The digest of a release. It does not cover capacity, scaling, tags, timings, rules,
/// rollout, retention or the boot script's template.
pub fn of(spec: &ServiceSpec) -> Digest {
    Digest::of(canonical(spec).as_bytes())
}

/// One line a key, as `key=` and the value as a JSON text, in a fixed order.
fn canonical(spec: &ServiceSpec) -> String {
    let mut form = Form(String::from("ionroller release 1\n"));
    form.line("version", spec.version.as_str());
    form.optional("redeploy", spec.redeploy.as_deref());
    if let Some(image) = &spec.image {
        form.line("image.repository", &image.repository);
        form.optional("image.digest", image.digest.as_deref());
        for port in &image.ports {
            form.line("image.ports", &format!("{}:{}", port.host, port.container));
        }
        for word in &image.command {
            form.line("image.command", word);
        }
        for volume in &image.volumes {
            form.line("image.volumes", &format!("{}:{}", volume.host, volume.container));
        }
    }
    let machine = &spec.machine;
    match &machine.ami {
        Ami::Id(id) => form.line("machine.ami", id),
        Ami::Name(name) => form.line("machine.ami", &format!("name:{name}")),
    }
    form.line("machine.instance_type", &machine.instance_type);
    form.optional("machine.instance_profile", machine.instance_profile.as_deref());
    form.optional("machine.key_name", machine.key_name.as_deref());
    form.optional("machine.root_volume_gib", machine.root_volume_gib.map(|gib| gib.to_string()).as_deref());
    form.optional("machine.user_data", machine.user_data.as_ref().map(|script| script.content.as_str()));
    for (key, value) in &spec.env {
        form.line(&format!("env.{key}"), value);
    }
    for (key, reference) in &spec.secrets {
        let reference = match reference {
            SecretRef::Ssm(path) => format!("ssm:{path}"),
            SecretRef::SecretsManager(name) => format!("secretsmanager:{name}"),
        };
        form.line(&format!("secrets.{key}"), &reference);
    }
    for subnet in &spec.network.subnets {
        form.line("network.subnets", subnet);
    }
    for group in &spec.network.security_groups {
        form.line("network.security_groups", group);
    }
    traffic(&mut form, spec);
    form.0
}

fn traffic(form: &mut Form, spec: &ServiceSpec) {
    let Some(lb) = &spec.load_balancer else { return };
    let default_port = spec.image.as_ref().and_then(|image| image.ports.first()).map(|port| port.host);
    if default_port != Some(lb.port) {
        form.line("load_balancer.port", &lb.port.to_string());
    }
    if lb.protocol != Protocol::Http {
        form.line("load_balancer.protocol", lb.protocol.as_str());
    }
    let check = &lb.health_check;
    if check.path != "/" {
        form.line("load_balancer.health_check.path", &check.path);
    }
    form.optional(
        "load_balancer.health_check.port",
        check.port.filter(|port| *port != lb.port).map(|port| port.to_string()).as_deref(),
    );
    form.optional(
        "load_balancer.health_check.protocol",
        check.protocol.filter(|p| *p != lb.protocol).map(Protocol::as_str),
    );
    if check.matcher != "200" {
        form.line("load_balancer.health_check.matcher", &check.matcher);
    }
}

struct Form(String);

impl Form {
    fn line(&mut self, key: &str, value: &str) {
        // JSON text: no value can look like another line.
        let _ = writeln!(self.0, "{key}={}", serde_json::Value::from(value));
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }
}
