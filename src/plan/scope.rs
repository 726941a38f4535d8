//! The plan of a scope: every service, and the gates that services share.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::drift::Policy;
use crate::desired::spec::{Desired, ScopeConfig, ServiceFile, ServiceSpec};
use crate::mutant::Mutant;
use crate::names::{Digest, ServiceName};
use crate::observed::state::{GroupState, Observation, ServiceState};
use crate::time::Timestamp;

use super::forecast::Reach;
use super::memory::Memory;
use super::removal::Orphan;
use super::types::{Change, Phase, Plan, Reason, ServicePlan, WaitingOn};
use super::view::{File, Input, View};
use super::{prerequisites, rollout, service};

/// Everything that the plan of a scope rests on.
#[derive(Debug, Clone, Copy)]
pub struct ScopeInput<'a> {
    /// What the commit says.
    pub desired: &'a Desired,
    /// The scope's own file.
    pub scope: &'a ScopeConfig,
    /// What AWS showed.
    pub observed: &'a Observation,
    /// What earlier readings showed, by service.
    pub memories: &'a BTreeMap<ServiceName, Memory>,
    /// Services for which the commit may not act, and why.
    pub fences: &'a BTreeMap<ServiceName, WaitingOn>,
    /// Claims of marks that the commit may overrule, by service.
    pub rewound: &'a BTreeMap<ServiceName, Vec<String>>,
    /// Files as of the `fence` commit, for services whose file is broken or missing.
    pub fallbacks: &'a BTreeMap<ServiceName, ServiceSpec>,
    /// Some commit said that more releases at once than the limit are meant.
    pub limit_overridden: bool,
    /// How many services of the whole scope stand without a file, see [`orphans`]; what was
    /// read may be only a part of it.
    pub orphans: usize,
    /// Only these services are planned; empty: all. The others count where services share.
    pub only: &'a BTreeSet<ServiceName>,
    /// The time of the reading.
    pub now: Timestamp,
}

/// How many services have something running and no file, in a reading of a whole scope.
pub fn orphans(desired: &Desired, observed: &Observation) -> usize {
    orphaned(desired, observed).count()
}

fn orphaned<'a>(
    desired: &'a Desired,
    observed: &'a Observation,
) -> impl Iterator<Item = (&'a ServiceName, &'a ServiceState)> {
    let services = observed.services.iter();
    services.filter(|(name, state)| !desired.services.contains_key(*name) && stands(state))
}

/// Whether anything of a service is there but records.
fn stands(state: &ServiceState) -> bool {
    let mut groups = state.groups.values();
    !state.rules.is_empty() || groups.any(|group| group.group.is_some() || group.target_group.is_some())
}

static NOTHING: Memory = Memory::empty();

impl<'a> ScopeInput<'a> {
    /// The services that have a file or resources.
    pub fn services(&self) -> BTreeSet<&'a ServiceName> {
        self.desired.services.keys().chain(self.observed.services.keys()).collect()
    }

    fn selects(&self, name: &ServiceName) -> bool {
        self.only.is_empty() || self.only.contains(name)
    }

    /// The input of one service, gates included.
    pub fn service(
        &self,
        name: &'a ServiceName,
        gates: &BTreeMap<ServiceName, WaitingOn>,
        empty: &'a ServiceState,
    ) -> Input<'a> {
        Input {
            scope: &self.scope.scope,
            service: name,
            commit: self.desired.commit.as_ref(),
            file: self.file(name),
            fallback: self.fallbacks.get(name),
            fence: self.fences.get(name).cloned(),
            rewound: self.rewound.get(name).map_or(&[], Vec::as_slice),
            gate: gates.get(name).cloned(),
            orphan: self.orphan(name),
            desired: Some(self.desired),
            state: self.observed.services.get(name).unwrap_or(empty),
            memory: self.memories.get(name).unwrap_or(&NOTHING),
            now: self.now,
        }
    }

    fn file(&self, name: &ServiceName) -> File<'a> {
        match self.desired.services.get(name) {
            Some(ServiceFile::Valid(spec)) => File::Valid(spec),
            Some(ServiceFile::Broken) if Mutant::BrokenIsGone.on() => File::Missing,
            Some(ServiceFile::Broken) => File::Broken,
            None => File::Missing,
        }
    }

    /// What becomes of a service if it has no file.
    fn orphan(&self, name: &ServiceName) -> Orphan {
        let prune = self.scope.prune;
        if !prune.enabled || self.file(name) != File::Missing {
            return Orphan::Kept;
        }
        let orphans = self.orphans;
        if orphans > usize::try_from(prune.max_services).unwrap_or(usize::MAX) && !Mutant::PruneAll.on() {
            let detail = format!(
                "{orphans} services have no file, and prune.max_services is {}, so none is removed; \
                 put files back, or raise the limit",
                prune.max_services
            );
            return Orphan::Waits(WaitingOn { reason: Reason::Limit, detail, since: None, until: None });
        }
        self.frozen(name).map_or(Orphan::Removed, Orphan::Waits)
    }

    /// Why services may not start, by service: freezes, the limit on releases at once, and
    /// slots. Rollbacks and what has started are never among them.
    pub fn gates(&self) -> BTreeMap<ServiceName, WaitingOn> {
        let empty = ServiceState::default();
        let none = BTreeMap::new();
        let mut running = Vec::new();
        let mut starting = Vec::new();
        for name in self.services() {
            let input = self.service(name, &none, &empty);
            let view = View::new(&input);
            match start(&view) {
                Start::Running => running.push(name),
                // Only who is asked for starts; whose rollout runs takes its slot all the same.
                Start::Waiting { release } if self.selects(name) => starting.push((name, release)),
                Start::Waiting { .. } => {}
                Start::Nothing => {}
            }
        }
        // One whose calls fail could not use a slot: it comes after those that can.
        starting.sort_by_key(|(name, _)| self.memories.get(*name).is_some_and(|memory| memory.is_left_alone(self.now)));
        let releases = starting.iter().filter(|(_, release)| *release).count();
        let limit = usize::try_from(self.scope.limits.max_releases_per_change).unwrap_or(usize::MAX);
        let mut slots = usize::try_from(self.scope.limits.max_concurrent_rollouts)
            .unwrap_or(usize::MAX)
            .saturating_sub(running.len());
        let mut gates = BTreeMap::new();
        for (name, release) in starting {
            let gate = if release && releases > limit && !self.limit_overridden {
                Some(self.limit(releases))
            } else if let Some(freeze) = self.frozen(name) {
                Some(freeze)
            } else if slots == 0 && !Mutant::NoSlots.on() {
                Some(self.slot(&running))
            } else {
                slots = slots.saturating_sub(1);
                None
            };
            gates.extend(gate.map(|gate| (name.clone(), gate)));
        }
        gates
    }

    fn limit(&self, releases: usize) -> WaitingOn {
        let detail = format!(
            "{releases} services wait to start a release, and limits.max_releases_per_change is {}; \
             a commit with the trailer `Ionroller-Override: REASON` lets them start",
            self.scope.limits.max_releases_per_change
        );
        WaitingOn { reason: Reason::Limit, detail, since: None, until: None }
    }

    fn slot(&self, running: &[&ServiceName]) -> WaitingOn {
        let limit = self.scope.limits.max_concurrent_rollouts;
        let detail = if running.is_empty() {
            format!("limits.max_concurrent_rollouts is {limit}, and others start first")
        } else {
            let names: Vec<&str> = running.iter().map(|name| name.as_str()).collect();
            format!("limits.max_concurrent_rollouts is {limit}, and these are in their rollout: {}", names.join(", "))
        };
        WaitingOn { reason: Reason::Slot, detail, since: None, until: None }
    }

    fn frozen(&self, name: &ServiceName) -> Option<WaitingOn> {
        let holds = |services: &[ServiceName]| services.is_empty() || services.contains(name);
        let active = self
            .scope
            .freezes
            .iter()
            .filter(|freeze| freeze.from <= self.now && self.now < freeze.until && !Mutant::NeverFrozen.on());
        let freeze = active.filter(|freeze| holds(&freeze.services)).max_by_key(|freeze| freeze.until)?;
        let detail = format!("frozen: {}", freeze.name);
        Some(WaitingOn { reason: Reason::Freeze, detail, since: Some(freeze.from), until: Some(freeze.until) })
    }
}

enum Start {
    /// Its rollout runs and takes a slot.
    Running,
    /// It would start now.
    Waiting { release: bool },
    /// It has nothing to start, or may not.
    Nothing,
}

/// Whether a service takes a slot or waits for one.
fn start(view: &View<'_>) -> Start {
    let Some(spec) = view.wanted else { return Start::Nothing };
    let stopped = view.hold().is_some() || spec.paused.is_some() || view.input.fence.is_some();
    let failed = view
        .candidate
        .is_some_and(|candidate| view.rejected(candidate).is_some() || view.retry_pending(candidate).is_some());
    // What was stable and is wanted again passes every gate, also when nothing runs any more.
    let rollback = view.candidate.is_some_and(|candidate| view.is_way_back(candidate));
    if view.live_is_wanted() || failed || rollback || view.input.state.incomplete.is_some() {
        Start::Nothing
    } else if rollout::started(view) {
        Start::Running
    } else if stopped || rollout::is_forbidden(view, spec) {
        Start::Nothing
    } else {
        Start::Waiting { release: view.live.is_some() }
    }
}

/// Plans every service of a scope.
pub fn plan(input: &ScopeInput<'_>, reach: Reach) -> Plan {
    let gates = input.gates();
    let empty = ServiceState::default();
    let selected = input.services().into_iter().filter(|name| input.selects(name));
    let services: Vec<ServicePlan> =
        selected.map(|name| service::plan(&input.service(name, &gates, &empty), reach)).collect();
    let mut diagnostics = input.desired.diagnostics.clone();
    for plan in &services {
        let needs = needs(input, plan, &gates, &empty);
        // Each problem has its own place in the file.
        let is_told = needs.iter().any(|said| said.severity == Severity::Error);
        let whole = remarks(input, plan).filter(|_| !is_told);
        diagnostics.extend(whole.into_iter().chain(needs));
        diagnostics.extend(said(plan));
    }
    diagnostics.extend(renames(input));
    for what in &input.observed.unreadable {
        let message = format!("{what} has this scope's tag, and its other tags do not say what it is");
        diagnostics.push(
            Diagnostic::new(Severity::Warning, message)
                .help("it is never touched; remove it by hand if it is not needed"),
        );
    }
    let complete = services.iter().all(|s| s.waiting_on.as_ref().is_none_or(|w| w.reason != Reason::Unknown));
    Plan {
        id: id(input),
        scope: Some(input.scope.scope.clone()),
        commit: input.desired.commit.clone(),
        base: None,
        observed_at: Some(input.observed.at),
        complete,
        services,
        diagnostics,
        review: None,
    }
}

/// What is wrong with what a release needs, where the file names it, and what of that could not
/// be checked.
fn needs(
    input: &ScopeInput<'_>,
    plan: &ServicePlan,
    gates: &BTreeMap<ServiceName, WaitingOn>,
    empty: &ServiceState,
) -> Vec<Diagnostic> {
    let asked = input.observed.services.get(&plan.name).is_some_and(|state| !state.prerequisites.is_empty());
    let Some((name, _)) = input.desired.services.get_key_value(&plan.name).filter(|_| asked) else {
        return Vec::new();
    };
    let findings = prerequisites::look(&View::new(&input.service(name, gates, empty)));
    let blocks = plan.waiting_on.as_ref().is_some_and(|wait| wait.detail == findings.detail());
    let problems = findings.problems.into_iter().filter(|_| blocks).map(|remark| (Severity::Error, remark));
    let warnings = findings.warnings.into_iter().map(|remark| (Severity::Warning, remark));
    let places = input.desired.places.get(name);
    let diagnostic = |(severity, remark): (Severity, prerequisites::Remark)| {
        let said = Diagnostic::new(severity, format!("service {name}: {}", remark.message)).help(remark.help);
        match places.and_then(|places| places.get(remark.key)) {
            Some(place) => said.at(place.file.clone(), place.position),
            None => said.at(format!("services/{name}.toml"), None),
        }
    };
    problems.chain(warnings).map(diagnostic).collect()
}

/// A file that was renamed is another service: said aloud, since the old one's traffic does
/// not go over to it. Known by its place on a listener, or by the release itself.
fn renames(input: &ScopeInput<'_>) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    for (old, state) in orphaned(input.desired, input.observed) {
        for (new, file) in &input.desired.services {
            let ServiceFile::Valid(spec) = file else { continue };
            if input.observed.services.get(new).is_some_and(stands) || !replaces(spec, state) {
                continue;
            }
            let then = if input.scope.prune.enabled { "is taken away" } else { "keeps running" };
            let message = format!("service {new} looks like {old} under another name: {old} has no file any more");
            let help = format!(
                "a name stays: {new} is a new service with machines of its own, and {old} {then}; name the file \
                 {old}.toml again, or give {new} another place, move the users over, then remove {old}"
            );
            let place = format!("services/{new}.toml");
            said.push(Diagnostic::new(Severity::Warning, message).at(place, None).help(help));
        }
    }
    said
}

/// Whether a file asks for what another service has: its place, or its very release.
fn replaces(spec: &ServiceSpec, state: &ServiceState) -> bool {
    let same_place = spec.load_balancer.as_ref().is_some_and(|lb| {
        let priority = lb.rule.as_ref().map(|rule| rule.priority);
        state.rule_at(&lb.listener, priority).is_some()
    });
    same_place || state.groups.values().any(|group| group.group.is_some() && group.identity.digest == spec.digest)
}

/// What somebody else has changed of a service, and whose traffic it takes over.
fn said(plan: &ServicePlan) -> Vec<Diagnostic> {
    let file = format!("services/{}.toml", plan.name);
    let warn = |message: String| Diagnostic::new(Severity::Warning, message).at(file.clone(), None);
    let drift = plan.drift.iter().map(|drift| {
        let (what, resource) = (drift.field.words(), &drift.resource);
        let message =
            format!("service {}: {what}: {} instead of {} ({resource})", plan.name, drift.found, drift.expected);
        let help = match drift.policy {
            Policy::Heal => "it is put right when nothing else is to be done".to_owned(),
            _ => format!("undo it by hand, or say `drift.{} = \"heal\"` or \"ignore\"", drift.field.key()),
        };
        warn(message).help(help)
    });
    let takes_over =
        (plan.change == Change::Takeover).then(|| warn(format!("service {}: {}", plan.name, plan.because)));
    takes_over.into_iter().chain(drift).collect()
}

/// What must be said of a service besides its plan.
fn remarks(input: &ScopeInput<'_>, plan: &ServicePlan) -> Option<Diagnostic> {
    let file = format!("services/{}.toml", plan.name);
    let say = |severity, message: String| Diagnostic::new(severity, message).at(file.clone(), None);
    if plan.to.is_none() && !input.desired.services.contains_key(&plan.name) {
        let state = input.observed.services.get(&plan.name)?;
        let stands = state.groups.values().any(|group| group.group.is_some() || group.target_group.is_some());
        let kept = stands && input.orphan(&plan.name) == Orphan::Kept;
        if kept {
            let message = format!("service {} is orphaned: it runs, and its file is gone", plan.name);
            let help = "put the file back, take the service away by hand, or set prune.enabled";
            return Some(say(Severity::Warning, message).help(help));
        }
    }
    let wait = plan.waiting_on.as_ref()?;
    let message = format!("service {}: {}", plan.name, wait.detail);
    match wait.reason {
        Reason::Rejected | Reason::Fence | Reason::Limit => Some(say(Severity::Warning, message)),
        Reason::Preflight => Some(say(Severity::Error, message)),
        Reason::Hold if super::live_rollback::disagrees(plan) => Some(say(Severity::Warning, message)),
        Reason::Down => Some(say(Severity::Error, message)),
        Reason::Health if plan.phase == Phase::Halted => Some(say(Severity::Warning, message)),
        Reason::Retry if wait.until.is_none() => Some(say(Severity::Warning, message)),
        Reason::Gate => Some(
            say(Severity::Error, message)
                .help("look at the machines; weights move again by themselves when live is well"),
        ),
        _ => None,
    }
}

/// What names a plan: the releases and settings that are wanted, the scope's own, and of
/// what stands the groups, weights, marks and sizes. Not health, desired capacity, times or the commit: a
/// plan that was approved still holds when only those have moved.
fn id(input: &ScopeInput<'_>) -> String {
    use std::fmt::Write as _;
    let ScopeConfig { scope, limits, prune, freezes, .. } = input.scope;
    let mut text = format!("{scope} {limits:?} {prune:?} {freezes:?} {}\n", input.limit_overridden);
    for (name, file) in &input.desired.services {
        let _ = match file {
            ServiceFile::Valid(spec) => writeln!(
                text,
                "want {name} {} {} {:?} {:?} {:?} {:?}",
                spec.digest,
                super::settings::hash(spec),
                spec.capacity,
                spec.rollout,
                spec.retention,
                spec.paused
            ),
            ServiceFile::Broken => writeln!(text, "broken {name}"),
        };
    }
    for (name, state) in &input.observed.services {
        for group in state.groups.values() {
            let sizes = group.group.as_ref().map(|g: &GroupState| (&g.name, g.min, g.max));
            let _ = writeln!(
                text,
                "has {name} {} {:?} {:?} {}",
                group.name,
                group.weight,
                sizes,
                marks_without_times(group)
            );
        }
    }
    Digest::of(text.as_bytes()).to_string()
}

fn marks_without_times(group: &crate::observed::state::ServerGroup) -> String {
    let all = [group.group_marks(), group.template_marks()];
    let words = all.iter().map(|marks| {
        format!(
            "{:?} {} {} {:?} {:?} {} {:?} {:?}",
            marks.step.map(|step| step.percent),
            marks.stable.is_some(),
            marks.retired.is_some(),
            marks.rejected.as_ref().map(|rejected| &rejected.code),
            marks.retry.as_ref().map(|retry| retry.tries),
            marks.hold.is_some(),
            marks.settings,
            marks.listener,
        )
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a change is one that `--detailed-exitcode` reports.
pub fn is_change(plan: &ServicePlan) -> bool {
    plan.change != Change::None || !plan.actions.is_empty() || !plan.drift.is_empty()
}
