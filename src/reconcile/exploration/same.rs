//! Which states are one: those from which the same follows.
//!
//! A state is written down as far as it makes a difference. Times count from now, up to the
//! age beyond which nothing asks how old they are, since nothing in planner or simulated AWS
//! asks for the date; or by their order alone, where they are only ever compared with each
//! other. Ids are counted in the order in which they appear here, which is by name.
//! `docs/exploration.md` gives the reason for each of these.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

use super::{BAKE, DEADLINE, Daemon, Intent, State, TICK, WARM};
use crate::cloud::sim::world::{SimGroup, SimInstance, SimRule, SimTargetGroup, SimTemplate, World};
use crate::observed::marks::{Mark, Step};
use crate::observed::resources::{Lifecycle, Outcome, Tags};
use crate::plan::action::{Carrier, Mutation};
use crate::plan::memory::Memory;
use crate::time::{Span, Timestamp};

/// A state's fingerprint: the same for states that are one.
pub(super) fn fingerprint(state: &State) -> u128 {
    let text = canonical(state);
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// All of a state that makes a difference, as text.
pub(super) fn canonical(state: &State) -> String {
    let mut writer = Writer::new(state);
    writer.world(&state.world);
    // Daemons are alike: which of them is called the first makes no difference.
    let mut daemons: Vec<String> = state.daemons.iter().map(|daemon| writer.daemon(daemon, &state.world)).collect();
    daemons.sort();
    daemons.iter().for_each(|daemon| writer.text.push_str(daemon));
    let _ = write!(writer.text, "\n{} {}", state.crashes, state.faults);
    writer.text
}

/// Times that are only compared with each other, in order.
#[derive(Default)]
struct Order(Vec<i64>);

impl Order {
    fn of(times: impl Iterator<Item = i64>) -> Self {
        let mut times: Vec<i64> = times.collect();
        times.sort_unstable();
        times.dedup();
        Self(times)
    }

    /// A time's place among them: between two that are of the order, or one of them.
    fn place(&self, at: i64) -> String {
        match self.0.binary_search(&at) {
            Ok(nth) => format!("#{nth}"),
            Err(nth) => format!("<{nth}"),
        }
    }
}

struct Writer {
    text: String,
    now: i64,
    ids: BTreeMap<String, usize>,
    /// Of templates.
    made: Order,
    /// Of groups.
    stood: Order,
    stable: Order,
    retired: Order,
}

fn mark(tags: &Tags, mark: Mark) -> Option<&String> {
    tags.get(mark.key())
}

fn millis(text: &str) -> Option<i64> {
    Timestamp::parse(text).map(Timestamp::as_millis)
}

fn step(text: &str) -> Option<Step> {
    let (percent, at) = text.split_once('@')?;
    Some(Step { percent: percent.parse().ok()?, at: Timestamp::parse(at)? })
}

/// All marks of a kind, on what there is and in changes that are about to be made.
fn marks(state: &State, kind: Mark) -> impl Iterator<Item = i64> {
    let world = &state.world;
    let tags = world.groups.values().map(|group| &group.tags);
    let tags = tags.chain(world.templates.values().map(|template| &template.tags));
    let standing = tags.filter_map(move |tags| mark(tags, kind));
    let intends = state.daemons.iter().filter_map(|daemon| daemon.intends.as_ref());
    let coming = intends.filter_map(move |intent| match &intent.action.mutation {
        Mutation::SetMark { mark, value, .. } => Some(value).filter(|_| *mark == kind),
        Mutation::CreateGroup { spec, .. } => mark(&spec.tags, kind),
        _ => None,
    });
    standing.chain(coming).filter_map(|text| millis(text))
}

impl Writer {
    fn new(state: &State) -> Self {
        let world = &state.world;
        Self {
            text: String::with_capacity(2048),
            now: world.now,
            ids: BTreeMap::new(),
            made: Order::of(world.templates.values().map(|template| template.created)),
            stood: Order::of(world.groups.values().map(|group| group.created)),
            stable: Order::of(marks(state, Mark::Stable)),
            retired: Order::of(marks(state, Mark::Retired)),
        }
    }

    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(what);
    }

    /// How old a time is, as far as anything asks.
    fn age(&self, at: i64, most: Span) -> i64 {
        (self.now - at).min(i64::try_from(most.as_millis()).unwrap_or(i64::MAX))
    }

    /// How long it is until then. What is due is due.
    fn until(&self, at: Option<i64>) -> String {
        at.map_or("-".to_owned(), |at| (at - self.now).max(0).to_string())
    }

    fn id(&mut self, id: &str) -> String {
        let next = self.ids.len();
        format!("%{}", self.ids.entry(id.to_owned()).or_insert(next))
    }

    fn world(&mut self, world: &World) {
        // What there is no other of in these worlds must not be left out by mistake.
        assert!(world.no_capacity.is_empty() && world.missing_amis.is_empty() && world.violations.is_empty());
        let mut templates: Vec<(&String, &SimTemplate)> = world.templates.iter().collect();
        templates.sort_by_key(|(_, template)| &template.name);
        templates.into_iter().for_each(|(id, template)| self.template(id, template));
        let mut target_groups: Vec<_> = world.target_groups.iter().collect();
        target_groups.sort_by_key(|(_, group)| &group.name);
        for (arn, group) in &target_groups {
            let id = self.id(arn.as_str());
            self.target_group(&id, group);
        }
        world.groups.iter().for_each(|(name, group)| self.group(name, group));
        // Machines have their ids by now.
        for (_, group) in target_groups {
            let _ = write!(self.text, "\nT {} ", group.name);
            for (id, target) in &group.targets {
                let (id, until) = (self.id(id), self.until(target.flips_at));
                self.say(format_args!("{id} {:?} {until},", target.health));
            }
        }
        world.rules.iter().for_each(|(arn, rule)| self.rule(arn.as_str(), rule));
    }

    fn template(&mut self, id: &str, template: &SimTemplate) {
        let (id, made) = (self.id(id), self.made.place(template.created));
        self.say(format_args!("\nL {} {id} {made} ", template.name));
        self.tags(&template.tags, None);
    }

    fn target_group(&mut self, id: &str, group: &SimTargetGroup) {
        let SimTargetGroup { name, port, protocol, health_check, deregistration_delay, .. } = group;
        self.say(format_args!("\nG {name} {id} {port} {protocol} {health_check:?} {deregistration_delay} "));
        self.tags(&group.tags, None);
    }

    fn group(&mut self, name: &str, group: &SimGroup) {
        let (stood, gone) = (self.stood.place(group.created), self.until(group.deleted_at));
        let launch = self.until(Some(group.next_launch));
        let SimGroup { min, max, desired, template, grace, suspended, policies, .. } = group;
        self.say(format_args!("\nA {name} {min} {max} {desired} {template} {grace} {suspended:?} {policies:?} "));
        self.say(format_args!("{stood} {gone} {launch} {} ", launches(group)));
        for arn in &group.target_groups {
            let id = self.id(arn.as_str());
            self.say(format_args!("{id} "));
        }
        self.tags(&group.tags, mark(&group.tags, Mark::Retired).and_then(|at| millis(at)));
        let launched = Order::of(group.instances.values().map(|machine| machine.launched));
        for (id, machine) in &group.instances {
            let id = self.id(id);
            self.machine(&id, machine, &launched, group.grace);
        }
    }

    fn machine(&mut self, id: &str, machine: &SimInstance, launched: &Order, grace: Span) {
        let SimInstance { version, lifecycle, healthy, launched: at, in_service, replace_at, gone_at, .. } = machine;
        let SimInstance { answers, protected, standby, stopped, in_hook, subnet: _, .. } = machine;
        assert!(!protected && !standby && !stopped && in_hook.is_none(), "nobody does that here");
        let service = match lifecycle {
            Lifecycle::Pending => self.until(Some(*in_service)),
            _ => self.age(*in_service, grace).to_string(),
        };
        let (replaced, gone) = (self.until(*replace_at), self.until(*gone_at));
        let launched = launched.place(*at);
        self.say(format_args!(
            "\nI {id} {version} {lifecycle:?} {healthy} {launched} {service} {replaced} {gone} {answers:?}"
        ));
    }

    fn rule(&mut self, arn: &str, rule: &SimRule) {
        let id = self.id(arn);
        self.say(format_args!("\nR {id} {} {:?} {:?} ", rule.priority, rule.conditions, rule.tags));
        match rule.action.weights() {
            Some(weights) => {
                for (arn, weight) in weights {
                    let id = self.id(arn.as_str());
                    self.say(format_args!("{id} {weight},"));
                }
                self.say(format_args!("{:?}", rule.action.kept()));
            }
            None => self.say(format_args!("{:?}", rule.action)),
        }
    }

    /// With the group's own `retired`, where they are a group's.
    fn tags(&mut self, tags: &Tags, retired: Option<i64>) {
        for (key, value) in tags {
            let value = self.mark_value(key, value, Some(retired));
            self.say(format_args!("{key}={value};"));
        }
    }

    /// What counts of a mark. A step that is about to be marked may meet any `retired`.
    fn mark_value(&self, key: &str, value: &str, own: Option<Option<i64>>) -> String {
        let is = |mark: Mark| key == mark.key();
        if is(Mark::Stable) {
            return millis(value).map_or(value.to_owned(), |at| self.stable.place(at));
        }
        if is(Mark::Rejected) {
            // When it was is for people.
            return value.split_once(' ').map_or("", |(_, verdict)| verdict).to_owned();
        }
        if is(Mark::Retired) {
            let Some(at) = millis(value) else { return value.to_owned() };
            return format!("{} {}", self.age(at, WARM), self.retired.place(at));
        }
        if is(Mark::Step) {
            let Some(step) = step(value) else { return value.to_owned() };
            let at = step.at.as_millis();
            let age = self.age(at, if step.percent == 0 { DEADLINE } else { BAKE });
            let place = match own {
                Some(retired) => retired.map_or(String::new(), |retired| format!("{:?}", at.cmp(&retired))),
                None => self.retired.place(at),
            };
            return format!("{}@{age} {place}", step.percent);
        }
        assert!(!is(Mark::Retry) && !is(Mark::Hold), "these are not told");
        value.to_owned()
    }

    fn daemon(&mut self, daemon: &Daemon, world: &World) -> String {
        let mut text = format!("\n{} ", daemon.commit);
        match &daemon.intends {
            None => text += &self.memory(&daemon.memory, world),
            // What it will remember when that is done tells what it has seen.
            Some(intent) => {
                let done = intent.done(&daemon.memory, world.time());
                text += &format!("{}; {}", self.memory(&done, world), self.intent(intent));
            }
        }
        text
    }

    fn memory(&mut self, memory: &Memory, world: &World) -> String {
        let now = world.time();
        let mut text = memory.what_counts(now, TICK, DEADLINE);
        for (mutation, before, after) in memory.writes().remembered(now) {
            let _ = write!(text, "W {} ", self.id(&mutation.resource()));
            let (Mutation::SetMark { on, mark, .. } | Mutation::ClearMark { on, mark }) = mutation else {
                let values = before.into_iter().chain([after]).map(|value| self.with_ids(value));
                text += &values.collect::<Vec<_>>().join(" | ");
                continue;
            };
            // A value that is old is told by what stands there: whether it is the same.
            let stands = tags_of(world, on).and_then(|tags| tags.get(mark.key())).map_or("", String::as_str);
            for value in before.into_iter().chain([after]) {
                let said = self.mark_value(mark.key(), value, None);
                let _ = write!(text, "{mark:?} {said} {} | ", value == stands);
            }
        }
        text
    }

    /// A change that is about to be made. Why is for people.
    fn intent(&mut self, intent: &Intent) -> String {
        let said = match &intent.action.mutation {
            Mutation::SetMark { on, mark, value } => {
                let (on, value) = (self.carrier(on), self.mark_value(mark.key(), value, None));
                format!("{on} {mark:?} {value}")
            }
            Mutation::CreateGroup { spec, .. } => {
                let arn = spec.target_group.as_ref().map(|arn| self.id(arn.as_str()));
                let tags: Vec<_> = spec.tags.iter().map(|(key, value)| self.mark_value(key, value, None)).collect();
                format!("A {} {} {arn:?} {} {} {} {tags:?}", spec.name, spec.template, spec.min, spec.max, spec.grace)
            }
            other => self.with_ids(&format!("{other:?}")),
        };
        format!(" {} {said}", intent.fresh)
    }

    fn carrier(&mut self, on: &Carrier) -> String {
        match on {
            Carrier::Template { release, id } => format!("{release} {}", self.id(id)),
            Carrier::Group { release, name } => format!("{release} {name}"),
        }
    }

    /// Text with the ids of AWS in it, which it quotes.
    fn with_ids(&mut self, text: &str) -> String {
        let is_id = |part: &str| part.starts_with("arn:") || part.starts_with("lt-");
        let said = |part: &str| if is_id(part) { self.id(part) } else { part.to_owned() };
        text.split('"').map(said).collect::<Vec<_>>().join("\"")
    }
}

fn tags_of<'a>(world: &'a World, on: &Carrier) -> Option<&'a Tags> {
    match on {
        Carrier::Template { id, .. } => world.templates.get(id).map(|template| &template.tags),
        Carrier::Group { name, .. } => world.groups.get(name).map(|group| &group.tags),
    }
}

/// What launches tell: whether one succeeded, which then counts for ever, else how many
/// failed, of which three are as good as more.
fn launches(group: &SimGroup) -> String {
    let of = |outcome: Outcome| group.activities.iter().filter(move |a| a.launch && a.outcome == outcome).count();
    match of(Outcome::Successful) {
        0 => of(Outcome::Failed).min(3).to_string(),
        _ => "some".to_owned(),
    }
}
