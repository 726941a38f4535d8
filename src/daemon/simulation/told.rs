//! What a caller is told by each reading, kept for the checks of the changes that rest on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::CloudError;
use crate::names::TargetGroupArn;
use crate::observed::resources::{Group, RuleAction, Tags, TargetHealth, Targets};

use super::call::weights;
use super::check::Check;
use super::facts::{claim, is_of};
use super::stage::Who;
use super::untouched::KeptRead;

/// What one reading of one service told.
#[derive(Debug, Default)]
pub struct Reading {
    pub listings: u32,
    pub failed: Option<String>,
    pub listeners: BTreeMap<bool, String>,
    pub health: BTreeMap<TargetGroupArn, u32>,
    /// Machines that the load balancer or their group called unhealthy.
    pub unhealthy: BTreeSet<String>,
    /// Desired sizes by target group.
    pub desired: BTreeMap<TargetGroupArn, u32>,
    pub weights: BTreeMap<TargetGroupArn, u32>,
    /// What rules have beside their weights.
    pub kept: KeptRead,
    /// The commits that groups and templates were acted on for.
    pub claims: BTreeSet<String>,
}

impl Check {
    pub fn listed(&mut self, who: Who, service: Option<&str>, error: Option<&CloudError>) {
        let reading = self.reading(who, service);
        match error {
            None => reading.listings += 1,
            Some(error) => {
                reading.failed = Some(error.to_string());
                self.burdens.forget();
            }
        }
    }

    pub fn detail(&mut self, who: Who, service: Option<&str>, error: Option<&CloudError>) {
        if let Some(error) = error {
            self.reading(who, service).failed = Some(error.to_string());
            self.burdens.forget();
        }
    }

    pub fn listener(&mut self, who: Who, service: Option<&str>, alone: bool, error: Option<&CloudError>) {
        let reading = self.reading(who, service);
        match error {
            Some(error) => {
                reading.listeners.insert(true, error.to_string());
                self.burdens.forget();
            }
            None if alone => reading.listeners.clear(),
            None => {}
        }
    }

    pub fn claimed(&mut self, who: Who, service: Option<&str>, tags: &Tags) {
        let Some(service) = service.filter(|service| is_of(tags, service)) else { return };
        let claim = claim(tags).cloned();
        self.reading(who, Some(service)).claims.extend(claim);
    }

    pub fn sized(&mut self, who: Who, service: Option<&str>, group: &Group) {
        for arn in &group.target_groups {
            self.reading(who, service).desired.insert(arn.clone(), group.desired);
        }
    }

    pub fn weighed(&mut self, who: Who, service: Option<&str>, action: &RuleAction) {
        for (arn, weight) in weights(action) {
            self.reading(who, service).weights.insert(arn.clone(), *weight);
        }
    }

    pub fn healthy(&mut self, who: Who, service: Option<&str>, arn: &TargetGroupArn, targets: &Targets) {
        let healthy = targets.values().filter(|target| target.health == TargetHealth::Healthy).count();
        self.reading(who, service).health.insert(arn.clone(), u32::try_from(healthy).unwrap_or(u32::MAX));
    }
}
