//! `[load_balancer]` of a service file.

use crate::names::{AccountId, ListenerArn};
use crate::time::Span;

use super::reader::{self, Field, Reader};
use super::release::same_region;
use super::source::{Origin, Place};
use super::spec::{HealthCheckSpec, Image, LoadBalancer, Protocol, RuleSpec};
use super::walk::Walk;

/// The place on a listener that a service wants for itself.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub listener: ListenerArn,
    /// None: the default action.
    pub priority: Option<u32>,
    pub place: Place,
}

/// What `[load_balancer]` says. The claim is there also when the rest is broken.
pub(super) struct Traffic {
    pub load_balancer: Option<LoadBalancer>,
    pub claim: Option<Claim>,
}

const PROTOCOLS: [(&str, Protocol); 6] = [
    ("HTTP", Protocol::Http),
    ("HTTPS", Protocol::Https),
    ("TCP", Protocol::Tcp),
    ("TLS", Protocol::Tls),
    ("UDP", Protocol::Udp),
    ("TCP_UDP", Protocol::TcpUdp),
];

/// Reads the table. `image` gives the default port.
pub(super) fn load_balancer(root: &mut Reader<'_>, image: Option<&Image>, walk: &mut Walk<'_>) -> Traffic {
    let image_broken = root.has("image") && image.is_none();
    let Some(mut table) = root.table("load_balancer", "load_balancer", walk) else {
        return Traffic { load_balancer: None, claim: None };
    };
    let listener = table.required("listener", "add the ARN of the listener", walk, listener);
    let network = listener.as_ref().is_some_and(ListenerArn::is_network);
    let has_rule = table.has("rule");
    let rule = table.optional("rule", walk, rule);
    if let (true, Some(place)) = (network, table.place_of("rule")) {
        walk.error(
            place,
            "a Network Load Balancer has no rules",
            "remove `rule`, or name a listener of an Application Load Balancer",
        );
    }
    let claim = listener.clone().map(|listener| Claim {
        listener,
        priority: rule.as_ref().map(|(rule, _)| rule.priority),
        place: rule.as_ref().map(|(_, place)| *place).or(table.place_of("listener")).unwrap_or(table.place),
    });
    let port = port(&mut table, image, image_broken, walk);
    let protocol = table.optional("protocol", walk, |field, walk| reader::word(field, &PROTOCOLS, walk));
    if let Some(listener) = &listener {
        protocol_fits(&table, listener, protocol, walk);
    }
    let readable = protocol.is_some() == table.has("protocol") && listener.is_some();
    // While the listener is unknown, what either kind of load balancer takes is right.
    let network = listener.as_ref().is_none_or(ListenerArn::is_network);
    let kind = CheckKind { network, readable, traffic: protocol.unwrap_or(Protocol::Http) };
    let health_check = match table.optional("health_check", walk, |field, walk| Some(health_check(field, kind, walk))) {
        Some(read) => read,
        None => Some(HealthCheckSpec { protocol: kind.default_protocol(), ..HealthCheckSpec::default() }),
    };
    let delay = table.optional("deregistration_delay", walk, |field, walk| reader::seconds(field, 0..=3600, walk));
    let adopt = table.optional("adopt", walk, reader::boolean);
    table.finish(walk);
    // A rule that can't be read must not turn into the default action.
    let claim = claim.filter(|claim| !has_rule || claim.priority.is_some());
    let load_balancer = (|| {
        Some(LoadBalancer {
            listener: listener?,
            rule: if has_rule { Some(rule?.0) } else { None },
            port: port?,
            protocol: protocol.unwrap_or(Protocol::Http),
            health_check: health_check?,
            deregistration_delay: delay.unwrap_or(Span::from_secs(30)),
            adopt: adopt.unwrap_or(false),
        })
    })();
    Traffic { load_balancer, claim }
}

fn listener(field: Field<'_>, walk: &mut Walk<'_>) -> Option<ListenerArn> {
    let arn: ListenerArn = reader::name(field, walk)?;
    let path = arn.as_str().split_once(":listener/").map_or("", |(_, path)| path);
    if path.split('/').count() != 4 || path.split('/').any(str::is_empty) {
        let message = format!("`{}` is not the ARN of a listener", reader::shorten(arn.as_str()));
        walk.error(field.place(), message, "it ends in :listener/app/NAME/ID/ID, or net for app");
        return None;
    }
    same_region(arn.as_str(), field, walk)?;
    let owner = arn.as_str().split(':').nth(4).unwrap_or("");
    let wanted = walk.account.map(AccountId::as_str);
    if let Some(wanted) = wanted
        && wanted != owner
    {
        let message = format!("`{}` is in account {owner}, but `account` is {wanted}", field.label);
        walk.error(field.place(), message, format!("name a listener of account {wanted}"));
        return None;
    }
    Some(arn)
}

/// Characters `*` and `?` in all conditions of a rule.
/// Source: the quota "condition wildcards per rule" of Application Load Balancers, not adjustable.
const WILDCARDS_MAX: usize = 5;

/// The rule and the place of its priority.
fn rule(field: Field<'_>, walk: &mut Walk<'_>) -> Option<(RuleSpec, Place)> {
    let mut table = Reader::of(field, walk)?;
    let priority =
        table.required("priority", "add a priority that no other rule of the listener has", walk, |field, walk| {
            reader::integer(field, 1..=50_000, walk)
        });
    let hosts = table.optional("hosts", walk, |field, walk| {
        let rule = "a host name without port: at most 128 letters, digits and . - _, with * and ? as wildcards, \
                    at least one . and only letters after the last";
        conditions(field, rule, walk, host)
    });
    let paths = table.optional("paths", walk, |field, walk| {
        let rule = "a path such as /api/*, at most 128 characters, with * and ? as wildcards and without a query";
        conditions(field, rule, walk, path)
    });
    let count = hosts.as_ref().map_or(0, Vec::len) + paths.as_ref().map_or(0, Vec::len);
    let readable = hosts.is_some() == table.has("hosts") && paths.is_some() == table.has("paths");
    if count == 0 && readable && !walk.partial {
        walk.error(
            field.place(),
            format!("`{}` matches nothing in particular", field.label),
            "add hosts, or paths = [\"/*\"] for every request",
        );
    }
    if count > 5 {
        walk.error(
            field.place(),
            format!("`{}` has {count} values in hosts and paths", field.label),
            "load balancers take at most 5 in a rule",
        );
    }
    let patterns = hosts.iter().chain(&paths).flatten();
    let wildcards: usize = patterns.map(|pattern| pattern.matches(['*', '?']).count()).sum();
    if wildcards > WILDCARDS_MAX {
        let message = format!("`{}` has {wildcards} wildcards in hosts and paths", field.label);
        let help = format!("load balancers take at most {WILDCARDS_MAX} in a rule");
        // Accounts from before 2020 may have one more.
        match wildcards == WILDCARDS_MAX + 1 {
            true => walk.warning(field.place(), message, format!("{help}, or one more in old accounts")),
            false => walk.error(field.place(), message, help),
        }
    }
    let place = table.place_of("priority").unwrap_or(table.place);
    table.finish(walk);
    Some((RuleSpec { priority: priority?, hosts: hosts.unwrap_or_default(), paths: paths.unwrap_or_default() }, place))
}

/// What load balancers take as a host: `localhost`, `*` and `10.0.0.1` are refused, and only
/// when the rule is made, after all machines run.
fn host(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_*?".contains(c))
        && text
            .rsplit_once('.')
            .is_some_and(|(_, last)| !last.is_empty() && last.chars().all(|c| c.is_ascii_alphabetic()))
}

fn path(text: &str) -> bool {
    text.starts_with(['/', '*']) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.$/~\"'@:+&*?".contains(c))
}

fn conditions(field: Field<'_>, rule: &str, walk: &mut Walk<'_>, allowed: fn(&str) -> bool) -> Option<Vec<String>> {
    let values = reader::list(field, walk, |field, walk| {
        reader::text_that(field, rule, walk, |text| (1..=128).contains(&text.len()) && allowed(text))
    })?;
    reader::no_repetition(field, &values, walk, |value| format!("`{value}`"));
    Some(values)
}

fn port(table: &mut Reader<'_>, image: Option<&Image>, image_broken: bool, walk: &mut Walk<'_>) -> Option<u16> {
    if table.has("port") {
        let port = table.optional("port", walk, reader::port)?;
        if let (Some(image), Some(place)) = (image, table.place_of("port"))
            && !image.ports.iter().any(|published| published.host == port)
        {
            let message = format!("the image doesn't publish port {port}");
            walk.warning(place, message, "add it to image.ports as the host port, unless the boot script sees to it");
        }
        return Some(port);
    }
    let first = image.and_then(|image| image.ports.first()).map(|port| port.host);
    if first.is_none() && !image_broken && !walk.partial {
        let help = match image {
            Some(_) => "add port, or publish one with image.ports",
            None => "add the port that the machines listen on",
        };
        walk.error(table.place, "`load_balancer.port` is missing", help);
    }
    table.optional("port", walk, reader::port).or(first)
}

fn protocol_fits(table: &Reader<'_>, listener: &ListenerArn, protocol: Option<Protocol>, walk: &mut Walk<'_>) {
    let Some(protocol) = protocol else {
        if listener.is_network() && !table.has("protocol") && !walk.partial {
            let help = "add protocol = \"TCP\", \"TLS\", \"UDP\" or \"TCP_UDP\": a Network Load Balancer doesn't have HTTP, the default";
            walk.error(table.place, "`load_balancer.protocol` is missing", help);
        }
        return;
    };
    let http = matches!(protocol, Protocol::Http | Protocol::Https);
    if http != listener.is_network() {
        return;
    }
    let place = table.place_of("protocol").unwrap_or(table.place);
    if http {
        let message = format!("a Network Load Balancer has no protocol {}", protocol.as_str());
        walk.error(place, message, "write protocol = \"TCP\", \"TLS\", \"UDP\" or \"TCP_UDP\"");
    } else {
        let message = format!("an Application Load Balancer has no protocol {}", protocol.as_str());
        walk.error(place, message, "write protocol = \"HTTP\" or \"HTTPS\", or leave it out");
    }
}

impl Default for HealthCheckSpec {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            port: None,
            protocol: None,
            interval: Span::from_secs(10),
            timeout: Span::from_secs(5),
            healthy: 2,
            unhealthy: 3,
            matcher: "200".to_owned(),
        }
    }
}

/// What a health check may say depends on these.
#[derive(Clone, Copy)]
struct CheckKind {
    network: bool,
    /// Whether listener and protocol could be read.
    readable: bool,
    traffic: Protocol,
}

impl CheckKind {
    /// Where nothing is said: none, that of the traffic, where load balancers can check in it.
    fn default_protocol(self) -> Option<Protocol> {
        let default = default_check_protocol(self.traffic);
        (default != self.traffic).then_some(default)
    }
}

/// The protocol of health checks where the file names none.
pub(super) fn default_check_protocol(traffic: Protocol) -> Protocol {
    match traffic {
        Protocol::Http | Protocol::Https | Protocol::Tcp => traffic,
        Protocol::Tls | Protocol::Udp | Protocol::TcpUdp => Protocol::Tcp,
    }
}

/// A TCP check only opens a connection. What the defaults say for others is left out.
fn tcp_asks_nothing(table: &Reader<'_>, walk: &mut Walk<'_>) {
    for key in ["path", "matcher"] {
        if let Some(place) = table.place_of(key).filter(|place| place.origin == Origin::Own) {
            let message = format!("a TCP health check has no `{key}`");
            walk.error(place, message, "remove it, or add protocol = \"HTTP\" to the health check");
        }
    }
}

fn health_check(field: Field<'_>, kind: CheckKind, walk: &mut Walk<'_>) -> Option<HealthCheckSpec> {
    let network = kind.network;
    let default = HealthCheckSpec::default();
    let mut table = Reader::of(field, walk)?;
    let path = table.optional("path", walk, |field, walk| {
        reader::text_that(field, "a path that begins with /, at most 1,024 characters without spaces", walk, |text| {
            text.starts_with('/') && text.len() <= 1024 && text.chars().all(|c| c.is_ascii_graphic())
        })
    });
    let port = table.optional("port", walk, reader::port);
    let protocol = table.optional("protocol", walk, |field, walk| {
        let words =
            if network { &[PROTOCOLS[0], PROTOCOLS[1], PROTOCOLS[2]][..] } else { &[PROTOCOLS[0], PROTOCOLS[1]][..] };
        reader::word(field, words, walk)
    });
    let interval = table.optional("interval", walk, |field, walk| reader::seconds(field, 5..=300, walk));
    let timeout = table.optional("timeout", walk, |field, walk| reader::seconds(field, 2..=120, walk));
    let healthy = table.optional("healthy", walk, |field, walk| reader::integer(field, 2..=10, walk));
    let unhealthy = table.optional("unhealthy", walk, |field, walk| reader::integer(field, 2..=10, walk));
    let matcher = table.optional("matcher", walk, |field, walk| {
        let last = if network { 599 } else { 499 };
        let rule = format!("status codes from 200 to {last}, such as \"200\", \"200-299\" or \"200,204\"");
        reader::text_that(field, &rule, walk, |text| status_codes(text, last))
    });
    let protocol = if table.has("protocol") { protocol } else { kind.default_protocol() };
    let tcp = protocol.unwrap_or(kind.traffic) == Protocol::Tcp;
    if tcp && kind.readable {
        tcp_asks_nothing(&table, walk);
    }
    let check = HealthCheckSpec {
        path: path.filter(|_| !tcp).unwrap_or(default.path),
        port,
        protocol,
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.unwrap_or(default.timeout),
        healthy: healthy.unwrap_or(default.healthy),
        unhealthy: unhealthy.unwrap_or(default.unhealthy),
        matcher: matcher.filter(|_| !tcp).unwrap_or(default.matcher),
    };
    let sound = interval.is_some() == table.has("interval") && timeout.is_some() == table.has("timeout");
    if sound && check.timeout >= check.interval && !walk.partial {
        let place = super::walk::blame(&[table.place_of("timeout"), table.place_of("interval")]);
        let message = format!(
            "the health check's timeout of {} is not shorter than its interval of {}",
            check.timeout, check.interval
        );
        walk.error(place, message, "shorten timeout or lengthen interval");
    }
    table.finish(walk);
    Some(check)
}

fn status_codes(text: &str, last: u32) -> bool {
    let code = |text: &str| text.len() == 3 && text.parse().is_ok_and(|code: u32| (200..=last).contains(&code));
    text.split(',').all(|part| match part.split_once('-') {
        Some((from, to)) => code(from) && code(to) && from <= to,
        None => code(part),
    })
}
