//! Whether what somebody else serves today may be taken over.
//!
//! A takeover changes who answers and nothing else: what the rule asks of a request must be
//! what the file asks, so that not one request goes elsewhere than before.

use crate::desired::spec::LoadBalancer;

use super::answer::{Answer, wait};
use super::resources;
use super::types::Reason;
use super::view::View;

/// Why a rule that the file asks to take over is not taken over, if so.
pub fn refused(view: &View<'_>, lb: &LoadBalancer) -> Option<Answer> {
    let standing = view.input.state.standing.as_ref()?;
    let wanted = lb.rule.as_ref().map(resources::conditions).unwrap_or_default();
    if standing.conditions == wanted {
        return None;
    }
    let detail = format!(
        "the rule to take over has other conditions than the file: it has {}, the file says {wanted}; \
         make them the same, in the file or in the rule",
        standing.conditions
    );
    Some(wait(Reason::Preflight, detail).into())
}
