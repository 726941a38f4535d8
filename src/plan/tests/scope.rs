//! Several services of one scope: the gates between them, what is said beside their plans,
//! and what names a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::story::{START, Said, Story, file, hold, settle};
use crate::desired::diagnostic::Severity;
use crate::desired::spec::{Desired, Freeze, Limits, Prune, ScopeConfig, ServiceFile, ServiceSpec};
use crate::names::{AccountId, CommitId, Region, Scope, ServiceName};
use crate::observed::marks::Mark;
use crate::observed::resources::TargetHealth;
use crate::observed::state::{Observation, Slot};
use crate::plan::action::Mutation;
use crate::plan::forecast::Reach;
use crate::plan::scope::{self, ScopeInput};
use crate::plan::types::{Change, Phase, Plan, Reason, ServicePlan, WaitingOn};
use crate::time::{Span, Timestamp};

/// Services with a story each, under one scope file.
pub struct Many {
    pub config: ScopeConfig,
    pub stories: BTreeMap<ServiceName, Story>,
    pub fences: BTreeMap<ServiceName, WaitingOn>,
    pub overridden: bool,
    pub only: BTreeSet<ServiceName>,
    pub commit: u32,
    pub now: Timestamp,
}

pub fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

pub fn spec(name: &str, version: &str) -> ServiceSpec {
    ServiceSpec { name: service(name), ..file(version) }
}

pub fn settled(name: &str) -> Story {
    settle(spec(name, "1.0"))
}

impl Many {
    /// These services, at rest with 1.0.
    pub fn settled(names: &[&str]) -> Self {
        let now = START + Span::from_mins(120);
        let mut many = Self {
            config: ScopeConfig {
                scope: Scope::parse("prod").unwrap(),
                region: Region::parse("eu-west-1").unwrap(),
                account: Some(AccountId::parse("123456789012").unwrap()),
                role_arn: None,
                external_id: None,
                limits: Limits::default(),
                prune: Prune::default(),
                freezes: Vec::new(),
            },
            stories: BTreeMap::new(),
            fences: BTreeMap::new(),
            overridden: false,
            only: BTreeSet::new(),
            commit: 1,
            now,
        };
        for name in names {
            let mut story = settled(name);
            story.now = now;
            many.stories.insert(service(name), story);
        }
        many
    }

    pub fn story(&mut self, name: &str) -> &mut Story {
        self.stories.get_mut(&service(name)).unwrap()
    }

    /// The file of one service says this version now.
    pub fn wants(&mut self, name: &str, version: &str) -> &mut Self {
        let spec = spec(name, version);
        self.story(name).commit(spec);
        self
    }

    fn freeze(&mut self, services: &[&str]) {
        let services = services.iter().map(|name| service(name)).collect();
        let (from, until) = (self.now, self.now + Span::from_mins(60));
        self.config.freezes.push(Freeze { name: "black friday".to_owned(), from, until, services });
    }

    pub fn plan(&self) -> Plan {
        let mut services = BTreeMap::new();
        let mut fallbacks = BTreeMap::new();
        let mut observed = BTreeMap::new();
        let mut memories = BTreeMap::new();
        for (name, story) in &self.stories {
            match &story.said {
                Said::File(spec) => drop(services.insert(name.clone(), ServiceFile::Valid(spec.clone()))),
                Said::Broken => drop(services.insert(name.clone(), ServiceFile::Broken)),
                Said::Nothing => {}
            }
            fallbacks.extend(story.fallback.clone().map(|spec| (name.clone(), spec)));
            observed.insert(name.clone(), story.model.state.clone());
            memories.insert(name.clone(), story.memory.clone());
        }
        let desired = Desired {
            commit: Some(CommitId::parse(&format!("{:040x}", self.commit)).unwrap()),
            scope: Some(self.config.clone()),
            services,
            contested: BTreeMap::new(),
            diagnostics: Vec::new(),
            places: BTreeMap::new(),
        };
        let observed = Observation { at: self.now, services: observed, unreadable: Vec::new() };
        scope::plan(
            &ScopeInput {
                orphans: scope::orphans(&desired, &observed),
                only: &self.only,
                desired: &desired,
                scope: &self.config,
                observed: &observed,
                memories: &memories,
                fences: &self.fences,
                rewound: &BTreeMap::new(),
                fallbacks: &fallbacks,
                limit_overridden: self.overridden,
                now: self.now,
            },
            Reach::ToTheEnd,
        )
    }

    pub fn of(&self, name: &str) -> ServicePlan {
        self.plan().services.into_iter().find(|plan| plan.name == service(name)).unwrap()
    }

    /// What one service waits for; none when it acts or rests.
    pub fn waits(&self, name: &str) -> Option<Reason> {
        self.of(name).waiting_on.map(|wait| wait.reason)
    }

    /// What is said besides the plans, as `severity message`.
    pub fn says(&self) -> Vec<(Severity, String)> {
        self.plan().diagnostics.into_iter().map(|said| (said.severity, said.message)).collect()
    }
}

/// "too many releases at once | blocked | steady | limit | warning"
#[test]
fn more_releases_at_once_than_the_limit_are_blocked_until_the_override() {
    let mut many = Many::settled(&["a", "b", "c"]);
    many.config.limits.max_releases_per_change = 2;
    many.wants("a", "1.1").wants("b", "1.1").wants("c", "1.1");
    for name in ["a", "b", "c"] {
        let plan = many.of(name);
        assert_eq!((plan.change, plan.phase), (Change::Blocked, Phase::Blocked));
        assert_eq!((plan.waiting_on.unwrap().reason, plan.actions.len()), (Reason::Limit, 0));
    }
    let says = many.says();
    assert_eq!(says.len(), 3);
    assert!(says.iter().all(|(severity, text)| *severity == Severity::Warning && text.contains("Ionroller-Override")));
    many.overridden = true;
    for name in ["a", "b", "c"] {
        assert_eq!((many.of(name).change, many.waits(name)), (Change::Release, None), "{name}");
    }
    many.overridden = false;
    // One file put back is enough, too.
    many.wants("c", "1.0");
    assert_eq!(
        (many.of("a").change, many.of("b").change, many.of("c").change),
        (Change::Release, Change::Release, Change::None)
    );
}

/// "creates, rollbacks and started rollouts don't count"
#[test]
fn creates_rollbacks_and_started_rollouts_do_not_count_for_the_limit() {
    let mut many = Many::settled(&["back", "more", "started"]);
    many.config.limits.max_releases_per_change = 1;
    let mut first = Story::new(spec("new", "1.0"));
    first.now = many.now;
    many.stories.insert(service("new"), first);
    let mut back = settled("back");
    back.commit(spec("back", "1.1")).run();
    back.commit(spec("back", "1.0")).now = many.now;
    many.stories.insert(service("back"), back);
    many.wants("started", "1.1").story("started").pass();
    many.wants("more", "1.1");
    let changes: Vec<Change> = many.plan().services.iter().map(|plan| plan.change).collect();
    assert_eq!(changes, [Change::Rollback, Change::Release, Change::Create, Change::Release]);
}

/// "max_concurrent_rollouts: the others wait (reason `slot`); rollbacks are exempt"
/// "gates the START of create, release and remove; never an end, an update, a rollback"
#[test]
fn a_freeze_gates_starts_only() {
    let mut many = Many::settled(&["back", "gone", "release", "started", "update"]);
    // A place and a release of its own: it is no rename.
    let mut create = spec("create", "0.1");
    create.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().priority = 20;
    let mut first = Story::new(create);
    first.now = many.now;
    many.stories.insert(service("create"), first);
    let mut back = settled("back");
    back.commit(spec("back", "1.1")).run();
    back.commit(spec("back", "1.0")).now = many.now;
    many.stories.insert(service("back"), back);
    many.config.prune.enabled = true;
    many.story("gone").commit_removal();
    many.wants("release", "1.1");
    many.wants("started", "1.1").story("started").pass();
    let mut bigger = spec("update", "1.0");
    bigger.capacity.max = 9;
    many.story("update").commit(bigger);
    many.freeze(&[]);
    for (name, change) in [("create", Change::Create), ("release", Change::Release), ("gone", Change::Remove)] {
        let plan = many.of(name);
        assert_eq!((plan.change, plan.phase, plan.actions.len()), (change, Phase::Pending, 0), "{name}");
        let wait = plan.waiting_on.unwrap();
        assert_eq!((wait.reason, wait.until), (Reason::Freeze, Some(many.now + Span::from_mins(60))), "{name}");
    }
    assert_eq!(many.says(), []);
    assert!(!many.of("back").actions.is_empty() && !many.of("update").actions.is_empty());
    assert_eq!(many.waits("started"), Some(Reason::Health));
    // Its last moment is none of it.
    many.now = many.now + Span::from_mins(60);
    for name in ["create", "release"] {
        assert!(!many.of(name).actions.is_empty(), "{name}");
    }
}

/// "services: default: all"
#[test]
fn a_freeze_may_name_services() {
    let mut many = Many::settled(&["cart", "checkout"]);
    many.freeze(&["checkout"]);
    many.wants("cart", "1.1").wants("checkout", "1.1");
    assert_eq!((many.waits("cart"), many.waits("checkout")), (None, Some(Reason::Freeze)));
}

/// What a freeze holds back takes no slot, and the forecast begins when it ends.
#[test]
fn what_is_frozen_takes_no_slot_and_is_foreseen() {
    let mut many = Many::settled(&["cart", "checkout"]);
    many.config.limits.max_concurrent_rollouts = 1;
    many.freeze(&["cart"]);
    many.wants("cart", "1.1").wants("checkout", "1.1");
    assert_eq!(many.waits("checkout"), None);
    let first = many.of("cart").forecast.into_iter().next().unwrap();
    assert_eq!((first.after_secs, first.event.as_str()), (3600, "2 instances of 1.1, as many as live has"));
}

/// "with more orphans than this at once, none is removed"
#[test]
fn more_orphans_than_the_limit_keep_running() {
    let mut many = Many::settled(&["a", "b", "c"]);
    many.config.prune = Prune { enabled: true, max_services: 1 };
    many.story("a").commit_removal();
    many.story("b").commit_removal();
    for name in ["a", "b"] {
        let plan = many.of(name);
        assert_eq!((plan.change, plan.phase), (Change::Blocked, Phase::Blocked));
        assert_eq!((plan.waiting_on.unwrap().reason, plan.actions.len()), (Reason::Limit, 0));
    }
    assert!(many.says().iter().all(|(severity, _)| *severity == Severity::Warning) && many.says().len() == 2);
    many.config.prune.max_services = 2;
    for name in ["a", "b"] {
        assert_eq!(many.of(name).change, Change::Remove);
        assert!(!many.of(name).actions.is_empty());
    }
    // One put back: the other goes.
    many.config.prune.max_services = 1;
    many.wants("b", "1.0");
    assert!(!many.of("a").actions.is_empty());
    assert_eq!(many.of("b").change, Change::None);
}

/// A rename is no rename in AWS: the old service stays as it is, and the new one starts
/// from nothing, if its place is free at all.
#[test]
fn a_rename_is_said_aloud() {
    let mut many = Many::settled(&["a", "other"]);
    many.story("a").commit_removal();
    many.stories.insert(service("b"), Story::new(spec("b", "2.0")));
    let renames = |many: &Many| {
        let said = many.plan().diagnostics;
        said.into_iter().filter(|said| said.message.contains("under another name")).collect::<Vec<_>>()
    };
    let said = renames(&many);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].message.contains("b looks like a"), "by its place: {said:?}");
    assert_eq!((said[0].severity, said[0].file.as_deref()), (Severity::Warning, Some("services/b.toml")));
    many.config.prune.enabled = true;
    assert!(renames(&many)[0].help.as_deref().unwrap().contains("a is taken away"));
    // By its release, wherever it wants to be; and no other service is one.
    let mut moved = spec("b", "1.0");
    moved.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().priority = 77;
    many.stories.insert(service("b"), Story::new(moved.clone()));
    assert_eq!(renames(&many).len(), 1);
    moved.digest = crate::names::Digest::of(b"2.0");
    many.stories.insert(service("b"), Story::new(moved));
    assert_eq!(renames(&many), []);
}

/// A removal that is done is no orphan any more; one that has begun is seen to its end.
#[test]
fn a_removal_that_has_begun_is_seen_to_its_end() {
    let mut many = Many::settled(&["a", "b"]);
    many.config.prune = Prune { enabled: true, max_services: 1 };
    let story = many.story("a");
    story.orphan = crate::plan::removal::Orphan::Removed;
    story.commit_removal().changes(3);
    assert!(story.model.state.rules.is_empty());
    many.story("b").commit_removal();
    assert!(!many.of("a").actions.is_empty());
    assert_eq!(many.waits("b"), Some(Reason::Limit));
    many.story("a").converged();
    assert!(!many.of("b").actions.is_empty());
    assert_eq!(many.of("a").change, Change::None);
}

/// "missing file, prune off | none | steady | – | warning: orphaned"
#[test]
fn an_orphan_is_said_and_keeps_running() {
    let mut many = Many::settled(&["a", "b"]);
    many.story("a").commit_removal();
    let plan = many.of("a");
    assert_eq!((plan.change, plan.phase, plan.waiting_on, plan.actions.len()), (Change::None, Phase::Steady, None, 0));
    let says = many.says();
    assert_eq!(says.len(), 1);
    assert!(says[0].0 == Severity::Warning && says[0].1.contains("orphaned"), "{says:?}");
}

/// "rejected digest desired | blocked | steady | rejected | warning"
#[test]
fn a_rejected_digest_is_a_warning() {
    let mut many = Many::settled(&["a"]);
    many.story("a").sick.push("1.1".to_owned());
    many.wants("a", "1.1").story("a").run();
    many.story("a").sick.clear();
    let plan = many.of("a");
    assert_eq!(
        (plan.change, plan.phase, plan.waiting_on.unwrap().reason),
        (Change::Blocked, Phase::Rejected, Reason::Rejected)
    );
    assert_eq!(many.says()[0].0, Severity::Warning);
}

/// "commit doesn't descend | blocked | of what stands | fence | warning"
#[test]
fn a_commit_that_does_not_descend_is_a_warning() {
    let mut many = Many::settled(&["a"]);
    many.wants("a", "1.1").story("a").until_weight("1.1", 10).pass();
    many.now = many.stories[&service("a")].now;
    many.fences.insert(service("a"), crate::plan::service::fenced_by(&"f".repeat(40), true));
    let plan = many.of("a");
    assert_eq!(
        (plan.change, plan.phase, plan.waiting_on.unwrap().reason),
        (Change::Blocked, Phase::Baking, Reason::Fence)
    );
    assert_eq!(many.says()[0].0, Severity::Warning);
}

/// "foreign action, other load balancer, preflight | blocked | steady | preflight | error"
#[test]
fn what_stands_in_the_way_is_an_error() {
    for way in ["foreign", "other load balancer", "no listener"] {
        let mut many = Many::settled(&["a"]);
        let mut wanted = spec("a", "1.1");
        match way {
            "foreign" => many.story("a").model.state.slot = Some(Slot::Foreign("a rule of another owner".to_owned())),
            "no listener" => many.story("a").model.state.slot = Some(Slot::NoListener),
            _ => {
                let other = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/other/60dc/f2f8";
                wanted.load_balancer.as_mut().unwrap().listener = crate::names::ListenerArn::parse(other).unwrap();
            }
        }
        many.story("a").commit(wanted);
        let plan = many.of("a");
        assert_eq!((plan.change, plan.phase), (Change::Blocked, Phase::Blocked), "{way}");
        assert_eq!((plan.waiting_on.unwrap().reason, plan.actions.len()), (Reason::Preflight, 0), "{way}");
        assert_eq!(many.says()[0].0, Severity::Error, "{way}");
    }
}

/// "hold, paused | as without it | of what stands | hold, paused | –"
#[test]
fn a_hold_is_no_diagnostic_and_no_change_of_its_own() {
    let mut many = Many::settled(&["held", "paused"]);
    hold(many.story("held"), "1.0");
    many.wants("held", "1.1");
    let stop = ServiceSpec { paused: Some("incident".to_owned()), ..spec("paused", "1.0") };
    many.story("paused").commit(stop);
    let (held, paused) = (many.of("held"), many.of("paused"));
    assert_eq!(
        (held.change, held.phase, held.waiting_on.unwrap().reason),
        (Change::Release, Phase::Held, Reason::Hold)
    );
    assert_eq!(
        (paused.change, paused.phase, paused.waiting_on.unwrap().reason),
        (Change::None, Phase::Held, Reason::Paused)
    );
    assert_eq!(held.held.unwrap().who, "ann");
    assert_eq!(many.says(), []);
}

/// "no weight may move | as it is | halted | gate | error"
#[test]
fn a_service_that_nothing_helps_is_an_error() {
    let mut many = Many::settled(&["a"]);
    many.wants("a", "1.1").story("a").until_weight("1.1", 10).pass();
    let story = many.story("a");
    story.sick.extend(["1.0".to_owned(), "1.1".to_owned()]);
    story.run();
    // The scope looks at what AWS shows, so it shows it.
    for group in story.model.state.groups.values_mut() {
        group
            .targets
            .iter_mut()
            .flat_map(|t| t.values_mut())
            .for_each(|target| *target = TargetHealth::Unhealthy.into());
    }
    many.now = many.stories[&service("a")].now;
    let plan = many.of("a");
    assert_eq!(
        (plan.change, plan.phase, plan.waiting_on.unwrap().reason),
        (Change::Release, Phase::Halted, Reason::Gate)
    );
    assert_eq!(many.says()[0].0, Severity::Error);
}

/// "broken file | blocked | of what stands | invalid", and "blocks its own service alone"
#[test]
fn a_broken_file_blocks_its_own_service_alone() {
    let mut many = Many::settled(&["a", "b"]);
    many.wants("b", "1.1");
    let before = many.of("b");
    many.wants("a", "1.1").story("a").until_weight("1.1", 10).pass();
    many.story("a").commit_broken();
    let plan = many.of("a");
    assert_eq!(
        (plan.change, plan.phase, plan.waiting_on.unwrap().reason),
        (Change::Blocked, Phase::Baking, Reason::Invalid)
    );
    assert_eq!(many.of("b"), before);
}

/// "a fault in one service's file, resources or calls changes nothing for another"
#[test]
fn an_incomplete_reading_stops_its_own_service_alone() {
    let mut many = Many::settled(&["a", "b"]);
    many.wants("a", "1.1").wants("b", "1.1");
    let before = many.of("b");
    assert!(many.plan().complete);
    many.story("a").model.state.incomplete = Some("target health failed".to_owned());
    assert!(!many.plan().complete);
    assert_eq!((many.of("a").actions.len(), many.waits("a")), (0, Some(Reason::Unknown)));
    assert_eq!(many.of("b"), before);
}

/// "same inputs, same plan, byte for byte"
#[test]
fn the_same_inputs_give_the_same_plan() {
    let mut many = Many::settled(&["a", "b"]);
    many.wants("a", "1.1").story("b").commit_removal();
    assert_eq!(many.plan(), many.plan());
    assert_eq!(format!("{:?}", many.plan()), format!("{:?}", many.plan()));
}

/// "not over health, desired capacity, times or commit"
#[test]
fn a_plans_id_is_not_over_what_moves_by_itself() {
    let mut many = Many::settled(&["a"]);
    many.wants("a", "1.1").story("a").until_weight("1.1", 10).pass();
    let id = many.plan().id;
    many.commit += 1;
    many.now = many.now + Span::from_mins(3);
    assert_eq!(many.plan().id, id, "commit and time");
    let group = many.story("a").group_mut("1.0");
    group.group.as_mut().unwrap().desired = 4;
    group.targets.iter_mut().flat_map(|t| t.values_mut()).for_each(|target| *target = TargetHealth::Unhealthy.into());
    assert_eq!(many.plan().id, id, "health and desired capacity");
    let later = crate::observed::marks::Step { percent: 10, at: many.now }.to_string();
    let on = many.story("a").carrier("1.1");
    many.story("a").meanwhile(&Mutation::SetMark { on, mark: Mark::Step, value: later });
    assert_eq!(many.plan().id, id, "the time in a mark");
}

/// "over release digests, settings, existing groups, weights, marks, min and max"
#[test]
fn a_plans_id_is_over_what_it_decides_by() {
    type Edit = (&'static str, fn(&mut Many));
    let edits: [Edit; 16] = [
        ("digest", |many| _ = many.wants("a", "1.2")),
        ("capacity", |many| {
            let mut bigger = spec("a", "1.1");
            bigger.capacity.max = 9;
            many.story("a").commit(bigger);
        }),
        ("steps", |many| {
            let mut other = spec("a", "1.1");
            other.rollout.steps = vec![10, 50, 100];
            many.story("a").commit(other);
        }),
        ("retention", |many| {
            let mut other = spec("a", "1.1");
            other.retention.records = 9;
            many.story("a").commit(other);
        }),
        ("tags", |many| {
            let mut other = spec("a", "1.1");
            other.tags.insert("team".to_owned(), "payments".to_owned());
            many.story("a").commit(other);
        }),
        ("paused", |many| {
            let other = ServiceSpec { paused: Some("incident".to_owned()), ..spec("a", "1.1") };
            many.story("a").commit(other);
        }),
        ("broken", |many| _ = many.story("a").commit_broken()),
        ("gone", |many| _ = many.story("a").commit_removal()),
        ("prune", |many| many.config.prune.enabled = true),
        ("limits", |many| many.config.limits.max_concurrent_rollouts = 1),
        ("freezes", |many| many.freeze(&[])),
        ("a group", |many| many.story("a").group_mut("1.1").group = None),
        ("a weight", |many| many.story("a").group_mut("1.1").weight = Some(11)),
        ("min", |many| many.story("a").group_mut("1.0").group.as_mut().unwrap().min = 1),
        ("max", |many| many.story("a").group_mut("1.0").group.as_mut().unwrap().max = 9),
        ("another service", |many| {
            let story = settled("b");
            many.stories.insert(service("b"), story);
        }),
    ];
    let begin = || {
        let mut many = Many::settled(&["a"]);
        many.wants("a", "1.1").story("a").until_weight("1.1", 10).pass();
        many
    };
    let mut ids = vec![begin().plan().id];
    for (name, edit) in edits {
        let mut many = begin();
        edit(&mut many);
        let id = many.plan().id;
        assert!(!ids.contains(&id), "{name} is not in the id");
        ids.push(id);
    }
    let marks = [
        (Mark::Step, "0@2027-01-15T08:00:00Z"),
        (Mark::Stable, "2027-01-15T08:00:00Z"),
        (Mark::Retired, "2027-01-15T08:00:00Z"),
        (Mark::Rejected, "2027-01-15T08:00:00Z deadline late"),
        (Mark::Retry, "2@2027-01-15T08:00:00Z"),
        (Mark::Hold, "2027-01-15T08:00:00Z ann wait"),
        (Mark::Settings, "abc"),
        (Mark::Listener, "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/other/60dc/f2f8"),
    ];
    for (mark, value) in marks {
        let mut many = begin();
        let story = many.story("a");
        let on_template = matches!(mark, Mark::Stable | Mark::Rejected | Mark::Retry | Mark::Hold);
        let on = if on_template { story.template("1.1") } else { story.carrier("1.1") };
        story.meanwhile(&Mutation::SetMark { on, mark, value: value.to_owned() });
        let id = many.plan().id;
        assert!(!ids.contains(&id), "{mark:?} is not in the id");
        ids.push(id);
    }
}
