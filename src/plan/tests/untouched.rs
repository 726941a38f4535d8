//! What a rule has besides weights and the file's conditions survives every call.

use super::story::{Story, file};
use crate::observed::resources::{Kept, Opaque, Rule};

fn kept() -> Kept {
    let opaque = |kind: &str, text: &str| Opaque { kind: kind.to_owned(), text: text.to_owned() };
    Kept {
        stickiness_secs: Some(60),
        before: vec![opaque("authenticate-oidc", "{}")],
        transforms: vec![opaque("url-rewrite", "[]")],
    }
}

fn dress(rule: &mut Rule) {
    let weights = rule.action.weights().unwrap().to_vec();
    rule.action = crate::observed::resources::RuleAction::forward(weights, kept());
}

/// Every call of a story is held against the invariant `untouched`.
#[test]
fn a_release_and_a_revert_leave_what_is_not_ours() {
    let mut story = Story::settled("1.0");
    dress(&mut story.model.state.rules[0]);
    story.commit(file("1.1")).converged();
    assert_eq!(story.model.state.rules[0].action.kept(), kept(), "{}", story.log());
    story.commit(file("1.0"));
    let first = story.step().unwrap();
    assert_eq!(first.kept, kept());
    story.converged();
    assert_eq!(story.weight("1.0"), 100);
    assert_eq!(story.model.state.rules[0].action.kept(), kept());
}

#[test]
fn a_rule_that_moves_takes_along_what_is_not_ours() {
    let mut story = Story::settled("1.0");
    dress(&mut story.model.state.rules[0]);
    let mut moved = file("1.0");
    moved.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().priority = 11;
    story.commit(moved).converged();
    let rules = &story.model.state.rules;
    assert_eq!(rules.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [Some(11)], "{}", story.log());
    assert_eq!(rules[0].action.kept(), kept());
}
