//! `[load_balancer]`.

use crate::names::ListenerArn;
use crate::time::Span;

use super::reader::{Problems, Reader};
use super::spec::{HealthCheckSpec, LoadBalancer, Protocol, Rollout, RuleSpec, ScopeConfig};

/// Source: the quota "condition values per rule" of Application Load Balancers.
const CONDITION_VALUES_MAX: usize = 5;

/// Reads it.
pub fn read(
    mut table: Reader<'_>,
    first_port: Option<u16>,
    scope: Option<&ScopeConfig>,
    rollout: Option<&Rollout>,
    problems: &mut Problems,
) -> Option<LoadBalancer> {
    table.require("listener", "listener = \"arn:aws:elasticloadbalancing:…:listener/app/…\"", problems);
    let listener = table.parsed("listener", ListenerArn::parse, problems);
    if let (Some(listener), Some(scope)) = (&listener, scope)
        && listener.region() != scope.region.as_str()
    {
        let message = format!("the listener is in {}, and the scope in {}", listener.region(), scope.region);
        problems.push(table.place("listener").error(message).help("one scope has one region"));
    }
    let rule = table.table("rule", problems).and_then(|rule| self::rule(rule, problems));
    let port = table.integer("port", 1..=65_535, problems).and_then(|port| u16::try_from(port).ok());
    if !table.has("port") && first_port.is_none() {
        problems.push(
            table
                .at
                .error("`load_balancer.port` is missing, and no port of the image can stand in")
                .help("add port = 80"),
        );
    }
    let protocol = table.parsed("protocol", protocol, problems).unwrap_or(Protocol::Http);
    let before = problems.len();
    let health_check = match table.table("health_check", problems) {
        Some(check) => health_check(check, problems),
        None => default_check(),
    };
    let sound = problems.len() == before;
    let longest = Span::from_secs(3600);
    let deregistration_delay =
        table.span("deregistration_delay", Span::ZERO..=longest, problems).unwrap_or(Span::from_secs(30));
    let adopt = table.truth("adopt", problems).unwrap_or(false);
    if let Some(rollout) = rollout.filter(|_| sound) {
        deadline_suffices(&table, rollout, &health_check, problems);
    }
    table.finish(&[], problems);
    Some(LoadBalancer {
        listener: listener?,
        rule,
        port: port.or(first_port)?,
        protocol,
        health_check,
        deregistration_delay,
        adopt,
    })
}

fn deadline_suffices(table: &Reader<'_>, rollout: &Rollout, check: &HealthCheckSpec, problems: &mut Problems) {
    let needed = check.interval * u64::from(check.healthy) + rollout.healthy_for;
    if rollout.healthy_deadline < needed {
        let message = format!(
            "`rollout.healthy_deadline` is {}, and the health check alone needs {needed} (interval × healthy + healthy_for)",
            rollout.healthy_deadline
        );
        problems.push(table.at.error(message).help("raise the deadline, or check more often"));
    }
}

fn rule(mut table: Reader<'_>, problems: &mut Problems) -> Option<RuleSpec> {
    table.require("priority", "priority = 100", problems);
    let priority = table.integer("priority", 1..=50_000, problems);
    let hosts = table.texts("hosts", condition, problems);
    let paths = table.texts("paths", path_pattern, problems);
    if !table.has("hosts") && !table.has("paths") {
        let problem = table.at.error("the rule has neither `hosts` nor `paths`, so it would take everything");
        problems.push(problem.help("add hosts = [\"web.example.com\"] or paths = [\"/*\"]"));
    }
    if hosts.iter().any(|host| host.ends_with(".ionroller.invalid")) {
        problems.push(table.place("hosts").error("hosts below ionroller.invalid are ours"));
    }
    if hosts.len() + paths.len() > CONDITION_VALUES_MAX {
        let message = format!(
            "the rule has {} hosts and paths, and {CONDITION_VALUES_MAX} are the most",
            hosts.len() + paths.len()
        );
        problems.push(table.at.error(message));
    }
    table.finish(&[], problems);
    Some(RuleSpec { priority: priority?, hosts, paths })
}

fn condition(text: &str) -> Result<(), String> {
    let good =
        !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.*?".contains(c));
    if good { Ok(()) } else { Err("is no host name; letters, digits, - . * ? are allowed".to_owned()) }
}

fn path_pattern(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.$/~\"'@:+&*?".contains(c);
    let good = text.starts_with(['/', '*']) && text.len() <= 128 && text.chars().all(allowed);
    if good { Ok(()) } else { Err("is no path pattern such as /api/*".to_owned()) }
}

fn protocol(text: &str) -> Result<Protocol, &'static str> {
    let all = [Protocol::Http, Protocol::Https, Protocol::Tcp, Protocol::Tls, Protocol::Udp, Protocol::TcpUdp];
    all.into_iter().find(|protocol| protocol.as_str() == text).ok_or("it must be HTTP, HTTPS, TCP, TLS, UDP or TCP_UDP")
}

fn default_check() -> HealthCheckSpec {
    HealthCheckSpec {
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

fn health_check(mut table: Reader<'_>, problems: &mut Problems) -> HealthCheckSpec {
    let mut check = default_check();
    if let Some(path) = table.parsed("path", |text| path_pattern(text).map(|()| text.to_owned()), problems) {
        check.path = path;
    }
    check.port = table.integer("port", 1..=65_535, problems).and_then(|port| u16::try_from(port).ok());
    check.protocol = table.parsed("protocol", protocol, problems);
    // Source: the ranges of CreateTargetGroup.
    if let Some(interval) = table.span("interval", Span::from_secs(5)..=Span::from_secs(300), problems) {
        check.interval = interval;
    }
    if let Some(timeout) = table.span("timeout", Span::from_secs(2)..=Span::from_secs(120), problems) {
        check.timeout = timeout;
    }
    if check.timeout >= check.interval {
        let message =
            format!("the health check's timeout, {}, is not below its interval, {}", check.timeout, check.interval);
        problems.push(table.place("timeout").error(message).help("set both `interval` and `timeout`"));
    }
    check.healthy = table.integer("healthy", 2..=10, problems).unwrap_or(check.healthy);
    check.unhealthy = table.integer("unhealthy", 2..=10, problems).unwrap_or(check.unhealthy);
    if let Some(matcher) = table.parsed("matcher", matcher, problems) {
        check.matcher = matcher;
    }
    table.finish(&[], problems);
    check
}

fn matcher(text: &str) -> Result<String, &'static str> {
    let code = |code: &str| code.parse::<u32>().is_ok_and(|code| (200..=499).contains(&code));
    let part = |part: &str| match part.split_once('-') {
        Some((from, to)) => code(from) && code(to) && from <= to,
        None => code(part),
    };
    if text.split(',').all(part) {
        Ok(text.to_owned())
    } else {
        Err("it must be codes from 200 to 499, such as 200-299 or 200,204")
    }
}
