//! What AWS answers: groups, templates, target groups, listeners, rules and all their tags,
//! which another tool may have written.
//!
//! The bytes choose a reading; the planner's answer to it must be sound, the same every
//! time, and pass the independent checker action by action.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::desired::load;
use ionroller::desired::spec::{Desired, ServiceFile, ServiceSpec};
use ionroller::names::{CommitId, GroupName, ListenerArn, RuleArn, Scope, ServiceName, TargetGroupArn};
use ionroller::observed::assemble::{Listings, assemble};
use ionroller::observed::marks::{self, Identity, Mark};
use ionroller::observed::resources::{
    Activity, Condition, Conditions, Details, Group, HealthCheck, Instance, Kept, Lifecycle, Listener, Outcome, Policy,
    Rule, RuleAction, Tags, Target, TargetGroup, TargetHealth, Targets, Template,
};
use ionroller::observed::state::{Observation, Place, ServiceState};
use ionroller::plan::check::check;
use ionroller::plan::forecast::Reach;
use ionroller::plan::memory::Memory;
use ionroller::plan::model::Model;
use ionroller::plan::questions::{Next, next};
use ionroller::plan::scope::{self, ScopeInput};
use ionroller::plan::types::Plan;
use ionroller::plan::view::{Input, View};
use ionroller::render::{json, markdown, text};
use ionroller::time::{Span, Timestamp};

use super::says::{self, PLAIN, SECRET};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2";
const VERSIONS: [&str; 4] = ["1.0", "1.1", "1.2", "1.3"];

/// Plans on a reading that the bytes choose.
pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    if let Ok((desired, observed)) = reading(&mut u) {
        let memories = memories(&mut u, desired, &observed).unwrap_or_default();
        planned(desired, &observed, &memories);
    }
}

/// Everything that must hold of the plan for a reading.
pub fn planned(desired: &Desired, observed: &Observation, memories: &BTreeMap<ServiceName, Memory>) {
    let Some(config) = &desired.scope else { return };
    let (none, rewound, fallbacks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let only = BTreeSet::new();
    let input = ScopeInput {
        desired,
        scope: config,
        observed,
        memories,
        fences: &none,
        rewound: &rewound,
        fallbacks: &fallbacks,
        limit_overridden: false,
        orphans: scope::orphans(desired, observed),
        only: &only,
        now: observed.at,
    };
    let plan = scope::plan(&input, Reach::ToTheEnd);
    assert_eq!(plan, scope::plan(&input, Reach::ToTheEnd), "the same reading gives another plan");
    shown(&plan);
    let (gates, empty) = (input.gates(), ServiceState::default());
    for name in input.services() {
        checked(&input.service(name, &gates, &empty));
    }
}

/// Every action of one pass, by the checker; none on what could not be read.
fn checked(input: &Input<'_>) {
    const ACTIONS: usize = 40;
    let mut model = Model::new(input.state, input.now);
    let mut state = input.state.clone();
    for _ in 0..ACTIONS {
        let here = Input { state: &state, ..input.clone() };
        let Next::Act(action) = next(&View::new(&here)) else { return };
        let broken: Vec<String> = check(&here, &action).iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "{action:?} breaks {broken:?}\non {state:#?}");
        says::one_line(&action.because);
        action.expects.iter().for_each(|expects| says::one_line(expects));
        model.apply(&action.mutation, input.now);
        state = model.state.clone();
    }
}

/// The plan in every form in which it is shown.
fn shown(plan: &Plan) {
    let texts =
        [text::plan(plan, PLAIN), text::status(plan, None, PLAIN), markdown::plan(plan), markdown::status(plan, None)];
    let values = [json::plan_json(plan), json::status_json(plan), json::apply_json(plan)];
    for said in texts.iter().chain(&values) {
        says::no_control(said, &['\n']);
        says::no_secret(said);
    }
    for value in &values {
        let parsed: serde_json::Value = serde_json::from_str(value).expect("a plan as JSON is JSON");
        assert_eq!(parsed["services"].as_array().map(Vec::len), Some(plan.services.len()));
    }
}

/// A service behind a rule, one behind a default action and a worker, with a secret in
/// their environment, in each of the versions; without `web` in the last.
fn files() -> &'static [Desired] {
    static FILES: OnceLock<Vec<Desired>> = OnceLock::new();
    FILES.get_or_init(|| VERSIONS.iter().map(|version| file(version)).collect())
}

fn file(version: &str) -> Desired {
    let service = |balancer: &str| {
        format!(
            "version = '{version}'\nmachine = {{ ami = 'ami-0abcdef1234567890', instance_type = 't3.small' }}\nenv = {{ A = '{SECRET}' }}\n\
             network = {{ subnets = ['subnet-a'], security_groups = ['sg-a'] }}\ncapacity = {{ min = 2, max = 4 }}\n\
             rollout = {{ steps = [10, 100] }}\nimage = {{ repository = 'r.example.com/a', ports = [{{ host = 80, container = 80 }}] }}\n{balancer}"
        )
    };
    let ruled = format!("load_balancer = {{ listener = '{BALANCER}', rule = {{ priority = 120, paths = ['/*'] }} }}\n");
    let default = format!("load_balancer = {{ listener = '{BALANCER}', adopt = true }}\n");
    let mut files = ConfigFiles::default();
    let mut add = |path: &str, text: String| files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
    add(
        "ionroller.toml",
        "scope = 'prod'\nregion = 'eu-west-1'\naccount = '123456789012'\nprune = { enabled = true }\n".to_owned(),
    );
    add("services/edge.toml", service(&default));
    add("services/worker.toml", service(""));
    if version != VERSIONS[3] {
        add("services/web.toml", service(&ruled));
    }
    let desired = load(&files, Some(CommitId::parse(&"c".repeat(40)).unwrap()));
    assert!(
        desired.scope.is_some() && desired.services.values().all(|file| *file != ServiceFile::Broken),
        "{:?}",
        desired.diagnostics
    );
    desired
}

fn specs(name: &str) -> Vec<&'static ServiceSpec> {
    let specs = files().iter().filter_map(|desired| {
        desired.services.values().find_map(|file| match file {
            ServiceFile::Valid(spec) if spec.name.as_str() == name => Some(&**spec),
            _ => None,
        })
    });
    specs.collect()
}

/// One of the files, and a reading.
fn reading(u: &mut Unstructured<'_>) -> Result<(&'static Desired, Observation)> {
    let desired = u.choose(files())?;
    let listener = ListenerArn::parse(BALANCER).unwrap();
    let mut listings = Listings {
        at: NOW,
        groups: Vec::new(),
        templates: Vec::new(),
        target_groups: Vec::new(),
        listeners: BTreeMap::new(),
        rules: BTreeMap::new(),
        elb_tags: BTreeMap::new(),
    };
    for service in ["web", "edge", "worker"] {
        for spec in specs(service) {
            if u.ratio(2, 3)? {
                release(u, spec, &mut listings)?;
            }
        }
    }
    let mut actions = BTreeSet::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let rule = rule(u, &listener, &mut listings, actions.len())?;
        actions.insert(rule.arn.clone());
        listings.rules.entry(listener.clone()).or_insert(Ok(Vec::new())).as_mut().unwrap().push(rule);
    }
    listings.rules.entry(listener.clone()).or_insert(Ok(Vec::new()));
    let default_action = action(u, &listings)?;
    let found = Listener { arn: listener.clone(), protocol: "HTTP".to_owned(), default_action };
    listings.listeners.insert(listener.clone(), Ok(Some(found)));
    match u.int_in_range(0..=30)? {
        0 => drop(listings.listeners.insert(listener, Err("throttled".to_owned()))),
        1 => drop(listings.listeners.insert(listener, Ok(None))),
        2 => drop(listings.rules.insert(listener, Err("throttled".to_owned()))),
        3 => drop(listings.rules.remove(&listener)),
        _ => {}
    }
    let places = desired.services.iter().filter_map(|(name, file)| {
        let ServiceFile::Valid(spec) = file else { return None };
        let balancer = spec.load_balancer.as_ref()?;
        let priority = balancer.rule.as_ref().map(|rule| rule.priority);
        Some((name.clone(), Place { listener: balancer.listener.clone(), priority }))
    });
    let places: BTreeMap<ServiceName, Place> = places.collect();
    let mut observed = assemble(&Scope::parse("prod").unwrap(), None, &places, &listings);
    assert_eq!(observed, assemble(&Scope::parse("prod").unwrap(), None, &places, &listings));
    observed.unreadable.iter().for_each(|what| says::one_line(what));
    for state in observed.services.values_mut() {
        second_stage(u, state)?;
    }
    Ok((desired, observed))
}

/// What is left in AWS of one release.
fn release(u: &mut Unstructured<'_>, spec: &ServiceSpec, listings: &mut Listings) -> Result<()> {
    let identity = Identity {
        scope: Scope::parse("prod").unwrap(),
        service: spec.name.clone(),
        version: spec.version.clone(),
        digest: spec.digest.clone(),
        commit: "c".repeat(40),
    };
    let name = GroupName::of(&identity.scope, &identity.service, &identity.digest);
    if u.ratio(9, 10)? {
        let tags = tags(u, &identity, &[Mark::Stable, Mark::Rejected, Mark::Retry, Mark::Hold, Mark::Fence])?;
        listings.templates.push(Template {
            id: format!("lt-{name}"),
            name: odd_name(u, &name)?,
            created: time(u)?,
            tags,
        });
    }
    let arn = target_group_arn(name.as_str());
    if spec.load_balancer.is_some() && u.ratio(9, 10)? {
        listings.target_groups.push(target_group(u, arn.clone(), name.to_string())?);
        if u.ratio(4, 5)? {
            let tags = tags(u, &identity, &[])?;
            listings.elb_tags.insert(arn.to_string(), tags);
        }
    }
    let groups = *u.choose(&[0, 1, 1, 1, 1, 2])?;
    for number in 0..groups {
        let tags = tags(u, &identity, &[Mark::Step, Mark::Retired, Mark::Fence, Mark::Settings, Mark::Listener])?;
        let own = if number == 0 { odd_name(u, &name)? } else { format!("{name}-2") };
        let sizes = [size(u)?, size(u)?, size(u)?];
        listings.groups.push(Group {
            name: own,
            // AWS keeps them in order.
            min: sizes[0].min(sizes[1]).min(sizes[2]),
            max: sizes[0].max(sizes[1]).max(sizes[2]),
            desired: sizes[0].max(sizes[1].min(sizes[2])).min(sizes[1].max(sizes[2])),
            instances: instances(u)?,
            deleting: u.ratio(1, 10)?,
            suspended: if u.ratio(1, 10)? { vec!["Launch".to_owned()] } else { Vec::new() },
            tags,
            template: Some((name.to_string(), (*u.choose(&["1", "1", "1", "$Latest"])?).to_owned())),
            target_groups: if spec.load_balancer.is_some() { vec![arn.clone()] } else { Vec::new() },
            shape: None,
            created: time(u)?,
        });
    }
    Ok(())
}

fn target_group_arn(name: &str) -> TargetGroupArn {
    TargetGroupArn::parse(&format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/1")).unwrap()
}

fn target_group(u: &mut Unstructured<'_>, arn: TargetGroupArn, name: String) -> Result<TargetGroup> {
    let health_check = HealthCheck {
        protocol: "HTTP".to_owned(),
        port: "traffic-port".to_owned(),
        path: if u.ratio(9, 10)? { Some("/".to_owned()) } else { None },
        matcher: Some("200".to_owned()),
        interval_secs: *u.choose(&[10, 10, 0, u32::MAX])?,
        timeout_secs: 5,
        healthy: *u.choose(&[2, 2, 0, u32::MAX])?,
        unhealthy: 3,
    };
    Ok(TargetGroup { arn, name, port: 80, protocol: "HTTP".to_owned(), health_check, in_use: u.arbitrary()? })
}

/// Mostly the release's own name.
fn odd_name(u: &mut Unstructured<'_>, name: &GroupName) -> Result<String> {
    Ok(match u.int_in_range(0..=20)? {
        0 => format!("{name}-2"),
        1 => format!("{name}-99999999999999999999"),
        2 => u.arbitrary::<&str>()?.to_owned(),
        _ => name.to_string(),
    })
}

/// As AWS gives sizes: up to the largest number of an `i32`.
fn size(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(*u.choose(&[0, 1, 2, 2, 2, 3, 4, 5, 100, 10_000, 2_147_483_647])?)
}

fn instances(u: &mut Unstructured<'_>) -> Result<Vec<Instance>> {
    let one = |u: &mut Unstructured<'_>, number: usize| {
        let lives =
            [Lifecycle::InService, Lifecycle::InService, Lifecycle::InService, Lifecycle::Pending, Lifecycle::Leaving];
        Ok(Instance { id: format!("i-{number}"), lifecycle: *u.choose(&lives)?, healthy: u.ratio(9, 10)? })
    };
    (0..u.int_in_range(0..=5)?).map(|number| one(u, number)).collect()
}

/// A time in the past, mostly.
fn time(u: &mut Unstructured<'_>) -> Result<Timestamp> {
    Ok(match u.int_in_range(0..=20)? {
        0 => Timestamp::from_millis(i64::MAX),
        1 => Timestamp::from_millis(i64::MIN),
        2 => NOW + Span::from_mins(u.int_in_range(0..=200)?),
        _ => NOW - Span::from_mins(u.int_in_range(0..=200)?),
    })
}

/// The tags of a release's resource, spoilt here and there.
fn tags(u: &mut Unstructured<'_>, identity: &Identity, own: &[Mark]) -> Result<Tags> {
    let mut tags = identity.tags();
    for mark in own {
        if u.ratio(1, 2)? {
            tags.insert(mark.key().to_owned(), mark_value(u, *mark)?);
        }
    }
    if u.ratio(1, 10)? {
        let keys =
            [marks::SCOPE, marks::SERVICE, marks::VERSION, marks::DIGEST, marks::COMMIT, "ionroller:odd", "Name", ""];
        let key = (*u.choose(&keys)?).to_owned();
        let value = odd(u)?;
        tags.insert(key, value);
    }
    if u.ratio(1, 20)? {
        let keys = [marks::SCOPE, marks::SERVICE, marks::VERSION, marks::DIGEST, marks::COMMIT];
        tags.remove(*u.choose(&keys)?);
    }
    Ok(tags)
}

fn mark_value(u: &mut Unstructured<'_>, mark: Mark) -> Result<String> {
    if u.ratio(1, 8)? {
        return odd(u);
    }
    let at = time(u)?;
    Ok(match mark {
        Mark::Step => format!("{}@{at}", u.choose(&[0_u32, 5, 10, 50, 99, 100, 101, u32::MAX])?),
        Mark::Stable | Mark::Retired | Mark::Operator => at.to_string(),
        Mark::Rejected => format!("{at} {} 0 of 2 healthy", u.choose(&["deadline", "unhealthy", "launch", ""])?),
        Mark::Retry => format!("{}@{at}", u.choose(&[0_u32, 1, 3, 100, u32::MAX])?),
        Mark::Hold => format!("{at} ann incident"),
        Mark::Fence => u.choose(&["c", "f"])?.repeat(40),
        Mark::Settings => "0123456789".to_owned(),
        Mark::Listener => BALANCER.to_owned(),
    })
}

/// What nobody of ours would write.
fn odd(u: &mut Unstructured<'_>) -> Result<String> {
    let known = [
        "",
        " ",
        "@",
        "0@",
        "@2027-01-15T08:00:00Z",
        "5@2027-01-15T08:00:00Z@",
        "-1@2027-01-15T08:00:00Z",
        "4294967296@2027-01-15T08:00:00Z",
        "9999-12-31T23:59:60Z",
        "-009999-01-01T00:00:00Z",
        "2027-01-15T08:00:00+25:00",
        "2027-01-15",
        "\u{202e}",
        "é",
        "  ann ",
        "\u{2028}",
    ];
    if u.arbitrary()? {
        Ok((*u.choose(&known)?).to_owned())
    } else {
        Ok(u.arbitrary::<&str>()?.chars().take(256).collect())
    }
}

/// A rule and its tags.
fn rule(u: &mut Unstructured<'_>, listener: &ListenerArn, listings: &mut Listings, number: usize) -> Result<Rule> {
    let arn = RuleArn::parse(&format!("{}/{number}", BALANCER.replacen(":listener/", ":listener-rule/", 1))).unwrap();
    match u.int_in_range(0..=6)? {
        0 => {}
        1 => drop(listings.elb_tags.insert(arn.to_string(), Tags::new())),
        2 => {
            let tags = [(marks::SCOPE.to_owned(), odd(u)?), (marks::SERVICE.to_owned(), odd(u)?)];
            listings.elb_tags.insert(arn.to_string(), tags.into_iter().collect());
        }
        _ => {
            let service = *u.choose(&["web", "web", "web", "edge", "worker", "other"])?;
            let tags = [(marks::SCOPE.to_owned(), "prod".to_owned()), (marks::SERVICE.to_owned(), service.to_owned())];
            listings.elb_tags.insert(arn.to_string(), tags.into_iter().collect());
        }
    }
    let host = *u.choose(&["", "web.example.com", "x.ionroller.invalid"])?;
    let conditions = Conditions {
        hosts: if host.is_empty() { Vec::new() } else { vec![host.to_owned()] },
        paths: if u.ratio(3, 4)? { vec!["/*".to_owned()] } else { Vec::new() },
        more: if u.ratio(1, 12)? { vec![Condition::SourceIps(vec!["10.0.0.0/8".to_owned()])] } else { Vec::new() },
    };
    // On a listener every priority is there once.
    let priority = [120, 121 + u32::try_from(number).unwrap_or(0)][usize::from(number > 0 || u.ratio(1, 5)?)];
    Ok(Rule { arn, listener: listener.clone(), priority: Some(priority), conditions, action: action(u, listings)? })
}

fn action(u: &mut Unstructured<'_>, listings: &Listings) -> Result<RuleAction> {
    let other = ["fixed-response", "redirect", "authenticate-oidc, then redirect"];
    if u.ratio(1, 5)? {
        return Ok(RuleAction::Other((*u.choose(&other)?).to_owned()));
    }
    let mut weights: Vec<(TargetGroupArn, u32)> = Vec::new();
    for _ in 0..u.int_in_range(1..=5)? {
        let arn = match listings.target_groups.as_slice() {
            [] => target_group_arn("foreign"),
            _ if u.ratio(1, 8)? => target_group_arn("foreign"),
            known => u.choose(known)?.arn.clone(),
        };
        if weights.iter().all(|(other, _)| *other != arn) {
            weights.push((arn, *u.choose(&[0, 0, 1, 5, 10, 50, 90, 100, 999, 2_147_483_647])?));
        }
    }
    let kept = if u.ratio(1, 8)? { Kept { stickiness_secs: Some(60), ..Kept::default() } } else { Kept::default() };
    Ok(RuleAction::forward(weights, kept))
}

/// What is read of services in a rollout.
fn second_stage(u: &mut Unstructured<'_>, state: &mut ServiceState) -> Result<()> {
    let healths = [
        TargetHealth::Healthy,
        TargetHealth::Healthy,
        TargetHealth::Healthy,
        TargetHealth::Unhealthy,
        TargetHealth::Initial,
        TargetHealth::Draining,
        TargetHealth::Unused,
        TargetHealth::Unavailable,
    ];
    let targets = |u: &mut Unstructured<'_>, count: usize| -> Result<Targets> {
        let one = |u: &mut Unstructured<'_>, number: usize| {
            let target = Target { health: *u.choose(&healths)?, words: words(u)? };
            Ok((format!("i-{number}"), target))
        };
        (0..count).map(|number| one(u, number)).collect()
    };
    for group in state.groups.values_mut() {
        let count = group.group.as_ref().map_or(0, |group| group.instances.len());
        if group.target_group.is_some() && u.ratio(9, 10)? {
            let mut targets = targets(u, count)?;
            // AWS checks the machines of a target group only where some rule names it.
            if group.weight.is_none() && group.target_group.as_ref().is_some_and(|target_group| !target_group.in_use) {
                targets.values_mut().for_each(|target| *target = TargetHealth::Unused.into());
            }
            group.targets = Some(targets);
        }
        if u.ratio(9, 10)? {
            let policy = Policy {
                name: "ionroller-cpu".into(),
                metric: odd(u)?,
                resource_label: None,
                target_millis: u.arbitrary()?,
            };
            let policies = if u.ratio(1, 4)? { vec![policy] } else { Vec::new() };
            let delay = *u.choose(&[Some(Span::from_secs(30)), Some(Span::from_millis(u64::MAX)), None])?;
            group.details = Some(Details { policies, deregistration_delay: delay });
            group.activities = Some(activities(u)?);
        }
    }
    for (arn, _) in state.foreign_targets() {
        let targets = targets(u, 3)?;
        state.foreign.insert(arn, targets);
    }
    Ok(())
}

/// What a load balancer says of a target.
fn words(u: &mut Unstructured<'_>) -> Result<String> {
    let known = [
        "",
        "",
        "Elb.InitialHealthChecking: Initial health checks in progress",
        "Target.ResponseCodeMismatch: Health checks failed with these codes: [502]",
        "Target.Timeout: Request timed out",
        "Target.NotInUse: Target is in an Availability Zone that is not enabled for the load balancer",
    ];
    if u.ratio(1, 12)? { odd(u) } else { Ok((*u.choose(&known)?).to_owned()) }
}

fn activities(u: &mut Unstructured<'_>) -> Result<Vec<Activity>> {
    let messages = [
        "Launching a new EC2 instance: i-1",
        "We currently do not have sufficient t3.small capacity in the Availability Zone you requested.",
        "The image id '[ami-1]' does not exist",
        "You have exceeded your vCPU limit",
        "Your account is currently blocked. Launching EC2 instance failed.",
        "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state",
        "Terminating EC2 instance: i-1",
    ];
    let causes = [
        "",
        "At 2027-01-15T08:00:00Z an instance was taken out of service in response to an ELB system health check failure.",
        "At 2027-01-15T08:00:00Z an instance was taken out of service in response to an EC2 health check indicating it \
         has been terminated or stopped.",
    ];
    let one = |u: &mut Unstructured<'_>| {
        let message = if u.ratio(4, 5)? { (*u.choose(&messages)?).to_owned() } else { odd(u)? };
        let outcome = *u.choose(&[Outcome::Running, Outcome::Successful, Outcome::Failed, Outcome::Failed])?;
        Ok(Activity {
            started: time(u)?,
            ended: if u.ratio(3, 4)? { Some(time(u)?) } else { None },
            cause: if u.ratio(9, 10)? { (*u.choose(&causes)?).to_owned() } else { odd(u)? },
            instance: if u.ratio(3, 4)? { Some(format!("i-{}", u.int_in_range(0..=5)?)) } else { None },
            outcome,
            message,
            launch: u.ratio(3, 4)?,
        })
    };
    (0..u.int_in_range(0..=4)?).map(|_| one(u)).collect()
}

/// What earlier readings of the same have shown.
fn memories(
    u: &mut Unstructured<'_>,
    desired: &Desired,
    observed: &Observation,
) -> Result<BTreeMap<ServiceName, Memory>> {
    let Some(config) = &desired.scope else { return Ok(BTreeMap::new()) };
    let (none, rewound, fallbacks, only) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut memories = BTreeMap::new();
    for ago in 0..u.int_in_range(0..=3_u64)? {
        let now = observed.at - Span::from_mins(40 - 10 * ago);
        let input = ScopeInput {
            desired,
            scope: config,
            observed,
            memories: &memories,
            fences: &none,
            rewound: &rewound,
            fallbacks: &fallbacks,
            limit_overridden: false,
            orphans: 0,
            only: &only,
            now,
        };
        let (gates, empty) = (BTreeMap::new(), ServiceState::default());
        let noted = input.services().into_iter().map(|name| {
            let input = input.service(name, &gates, &empty);
            (name.clone(), input.memory.note(&input))
        });
        memories = noted.collect();
    }
    Ok(memories)
}
