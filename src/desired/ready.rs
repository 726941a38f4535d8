//! `machine.ready`: what must be good before a machine counts.

use crate::time::Span;

use super::reader::{self, Field, Reader};
use super::source::{Place, Table};
use super::spec::{Machine, Ready, ReadyCheck, Rollout};
use super::walk::{self, Walk};

/// Reads the table.
pub(super) fn read(field: Field<'_>, walk: &mut Walk<'_>) -> Option<Ready> {
    let mut table = Reader::of(field, walk)?;
    let http = table.optional("http", walk, |field, walk| {
        let rule = "an address on the machine itself, such as http://127.0.0.1:9000/health";
        reader::text_that(field, rule, walk, is_own_address)
    });
    let command = table.optional("command", walk, |field, walk| {
        let rule = "one line for bash, 1 to 1024 characters";
        reader::text_that(field, rule, walk, |text| {
            !text.trim().is_empty() && text.chars().count() <= 1024 && !text.chars().any(char::is_control)
        })
    });
    // Source: API reference of LifecycleHookSpecification, HeartbeatTimeout.
    let timeout =
        table.optional("timeout", walk, |field, walk| reader::seconds_of("launch hooks", field, 30..=7200, walk));
    let sound = table.has("timeout") == timeout.is_some();
    match (table.has("http"), table.has("command")) {
        (true, true) => walk.error(
            walk::blame(&[table.place_of("command"), table.place_of("http")]),
            "`machine.ready` has both `http` and `command`",
            "leave one of them out; a command can ask several things",
        ),
        (false, false) if !walk.partial => walk.error(
            table.place,
            "`machine.ready` doesn't say what to ask",
            "add http = \"http://127.0.0.1:PORT/PATH\" or command = \"…\"",
        ),
        _ => {}
    }
    table.finish(walk);
    let check = http.map(ReadyCheck::Http).or(command.map(ReadyCheck::Command))?;
    sound.then(|| Ready { check, timeout: timeout.unwrap_or(Ready::TIMEOUT) })
}

/// Whether an address is the machine's own: another one would say nothing about this machine, and
/// would keep all of them from service when it is away. No certificate is good for it, so it is
/// never https.
fn is_own_address(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else { return false };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(end) else { return false };
    let own = ["127.0.0.1", "localhost", "[::1]"].into_iter().find_map(|host| authority.strip_prefix(host));
    let port = own.is_some_and(|port| match port.strip_prefix(':') {
        Some(port) => port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    });
    port && text.len() <= 1024 && path.chars().all(|c| c.is_ascii_graphic() && c != '#')
}

/// What of the rest of a service must fit it.
pub(super) fn fits(table: &Table, machine: &Machine, rollout: &Rollout, walk: &mut Walk<'_>) {
    if walk.partial {
        return;
    }
    let Some(ready) = &machine.ready else { return };
    let machine_table = table.table("machine").map(|(machine, _)| machine);
    let of_machine = |key: &str| machine_table.and_then(|machine| machine.get(key)).map(|entry| entry.node.place);
    if machine.instance_profile.is_none() {
        walk.error(
            of_machine("ready").unwrap_or(Place::FILE),
            "without `machine.instance_profile` no machine can say that it is ready",
            "add one whose role allows autoscaling:CompleteLifecycleAction and \
             autoscaling:DescribeAutoScalingInstances",
        );
    }
    if ready.timeout >= rollout.healthy_deadline {
        let of = |table: Option<&Table>, key: &str| table.and_then(|table| Some(table.get(key)?.node.place));
        let ready_table = machine_table.and_then(|machine| machine.table("ready")).map(|(ready, _)| ready);
        let rollout_table = table.table("rollout").map(|(rollout, _)| rollout);
        let places = [of(ready_table, "timeout"), of(rollout_table, "healthy_deadline"), of_machine("ready")];
        walk.error(walk::blame(&places), too_late(ready.timeout, rollout.healthy_deadline), TOO_LATE);
    }
}

const TOO_LATE: &str = "lower `machine.ready.timeout`, or raise `rollout.healthy_deadline` well above it";

fn too_late(timeout: Span, deadline: Span) -> String {
    format!("a machine may take {timeout} to become ready, and a new release has {deadline} to be healthy")
}
