//! What people and AWS do to machines, groups and target groups beside the program.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::sim::surroundings::Surroundings;
use crate::names::TargetGroupArn;
use crate::time::Span;

use super::run::Run;
use super::script::Event;

/// Why launches fail, none of which is the release's fault.
/// Source: users of other tools, in the words of AWS.
const LAUNCH_FAILURES: [&str; 7] = [
    "Your quota allows for 0 more running instances. Launching EC2 instance failed.",
    "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket \
     that the specified instance type belongs to. Launching EC2 instance failed.",
    "An internal error has occurred. Launching EC2 instance failed.",
    "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state. Launching EC2 instance failed.",
    "Your account is currently blocked. Launching EC2 instance failed.",
    "Your request for accessing resources in this region is being validated. Launching EC2 instance failed.",
    "There is no Spot capacity available that matches your request. Launching EC2 instance failed.",
];

/// What somebody suspends.
const PROCESSES: [&[&str]; 6] = [
    &["Launch"],
    &["Terminate"],
    &["ReplaceUnhealthy"],
    &["AddToLoadBalancer"],
    &["HealthCheck"],
    &["Launch", "Terminate"],
];

/// What of the files' surroundings is not as they say, by number.
fn lacking(what: usize) -> Surroundings {
    let one = |text: &str| BTreeSet::from([text.to_owned()]);
    let pair = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let none = Surroundings::default();
    match what % 8 {
        0 => Surroundings { missing: one("subnet-a"), ..none },
        1 => Surroundings { missing: one("sg-a"), ..none },
        2 => Surroundings { missing: one("t3.small"), ..none },
        3 => Surroundings { vpcs: pair("subnet-b", "vpc-2"), ..none },
        4 => Surroundings { vpcs: pair("sg-a", "vpc-2"), ..none },
        5 => Surroundings { not_offered: [("t3.small".to_owned(), one("eu-west-1a"))].into(), ..none },
        6 => Surroundings { denied: one("DescribeSubnets"), ..none },
        _ => Surroundings { denied: one("DescribeImages"), ..none },
    }
}

impl Run {
    /// One of these happens.
    pub fn hand(&self, event: &Event) {
        let sim = &self.theatre.sim;
        match *event {
            Event::NoLaunch { s, version, text, every } => self.rules(s, version, |rules| {
                let text = LAUNCH_FAILURES[text % LAUNCH_FAILURES.len()];
                (rules.launch_failure, rules.launch_fails_every) = (Some(text.to_owned()), every);
            }),
            Event::Launch { s, version } => self.rules(s, version, |rules| {
                (rules.launch_failure, rules.launch_fails_every) = (None, None);
            }),
            Event::SlowStart { s, version, secs } => {
                self.rules(s, version, |rules| rules.warmup = Some(Span::from_secs(secs)));
            }
            Event::Wrong { s, version, in_time } => self.rules(s, version, |rules| {
                (rules.answers_code, rules.times_out) = (in_time.then_some(502), !in_time);
            }),
            Event::Flap { s, version, secs } => {
                self.rules(s, version, |rules| rules.flaps = Some(Span::from_secs(secs)));
            }
            Event::Vanish { s, version, secs } => {
                self.rules(s, version, |rules| rules.vanishes_after = Some(Span::from_secs(secs)));
            }
            Event::PowerOff { s, nth, count } => self.with_group(s, nth, |name| sim.stop_instances(name, count)),
            Event::DetachMachines { s, nth, count } => {
                self.with_group(s, nth, |name| sim.detach_instances(name, count));
            }
            Event::Standby { s, nth, count } => self.with_group(s, nth, |name| sim.enter_standby(name, count)),
            Event::Back { s, nth } => self.with_group(s, nth, |name| sim.leave_standby(name)),
            Event::Protect { s, nth, count } => {
                self.with_group(s, nth, |name| sim.protect_instances(name, count, true));
            }
            Event::Suspend { s, nth, which } => {
                let processes = which.map_or(&[][..], |which| PROCESSES[which % PROCESSES.len()]);
                self.with_group(s, nth, |name| sim.suspend(name, processes));
            }
            Event::Detach { s, nth } => self.with_group(s, nth, |name| {
                sim.change(|world| {
                    let attached = world.groups.get(name).map(|group| group.target_groups.clone()).unwrap_or_default();
                    attached.iter().for_each(|arn| world.detach(name, arn));
                });
            }),
            Event::Attach { s, nth } => self.with_group(s, nth, |name| self.attach(name)),
            Event::Sticky { s, nth, on } => self.with_group(s, nth, |name| {
                sim.change(|world| {
                    let attached = world.groups.get(name).map(|group| group.target_groups.clone()).unwrap_or_default();
                    let found = world.target_groups.iter_mut().filter(|(arn, _)| attached.contains(arn));
                    found.for_each(|(_, group)| group.sticky = on);
                });
            }),
            Event::ZoneOff { off } => sim.change(|world| {
                world.subnets_off_balancer = off.then(|| "subnet-b".to_owned()).into_iter().collect();
            }),
            Event::Lacks { what } => sim.change(|world| {
                world.surroundings = what.map_or_else(Surroundings::default, lacking);
            }),
            _ => {}
        }
    }

    /// Attaches the target group that has the group's name.
    fn attach(&self, name: &str) {
        self.theatre.sim.change(|world| {
            let own = |target_group: &&str| {
                name.strip_prefix(*target_group).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            };
            let named = world.target_groups.iter().filter(|(_, found)| own(&found.name.as_str()));
            let arns: Vec<TargetGroupArn> = named.map(|(arn, _)| arn.clone()).collect();
            arns.iter().for_each(|arn| world.attach(name, arn));
        });
    }

    /// People take back what only they can.
    pub fn undo_hands(&self) {
        let sim = &self.theatre.sim;
        let names: Vec<String> = sim.look(|world| world.groups.keys().cloned().collect());
        for name in &names {
            sim.suspend(name, &[]);
            sim.leave_standby(name);
            sim.protect_instances(name, usize::MAX, false);
            self.attach(name);
        }
        sim.change(|world| {
            world.subnets_off_balancer.clear();
            world.surroundings = Surroundings::default();
            world.target_groups.values_mut().for_each(|group| group.sticky = false);
        });
    }
}
