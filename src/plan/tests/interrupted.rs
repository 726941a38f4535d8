//! Death after every single change, with all memory lost: the end is always the same.

use super::story::{Story, file};

/// What a story ends with, without times.
fn end(story: &Story) -> Vec<String> {
    let groups = story.model.state.groups.values();
    groups
        .map(|group| {
            let members = group.group.as_ref();
            format!(
                "{} weight {:?} sizes {:?} stable {} retired {} rejected {}",
                group.identity.version,
                group.weight,
                members.map(|g| (g.min, g.max)),
                group.stable().is_some(),
                group.retired().is_some(),
                group.template_marks().rejected.is_some()
            )
        })
        .collect()
}

/// Runs a story once without and once with a death after each of its changes.
fn dies_anywhere(begin: &dyn Fn() -> Story) {
    let mut undisturbed = begin();
    undisturbed.run();
    let wanted = end(&undisturbed);
    let changes = undisturbed.log().lines().count();
    assert!(changes > 2, "nothing happens in this story");
    for death in 1..changes {
        let mut story = begin();
        story.changes(death).dies();
        story.run();
        assert_eq!(end(&story), wanted, "after {death} of {changes} changes");
    }
}

fn upgraded() -> Story {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.log();
    story
}

#[test]
fn first_release() {
    dies_anywhere(&|| Story::new(file("1.0")));
}

#[test]
fn upgrade() {
    dies_anywhere(&|| {
        let mut story = Story::settled("1.0");
        story.commit(file("1.1"));
        story
    });
}

#[test]
fn failed_release() {
    dies_anywhere(&|| {
        let mut story = Story::settled("1.0");
        story.sick.push("1.1".to_owned());
        story.commit(file("1.1"));
        story
    });
}

#[test]
fn instant_rollback() {
    dies_anywhere(&|| {
        let mut story = upgraded();
        story.commit(file("1.0"));
        story
    });
}

#[test]
fn merged_again() {
    dies_anywhere(&|| {
        let mut story = upgraded();
        story.commit(file("1.0")).run();
        story.log();
        story.commit(file("1.1"));
        story
    });
}

#[test]
fn full_rollback() {
    dies_anywhere(&|| {
        let mut story = upgraded();
        story.run_to_the_end();
        story.log();
        story.commit(file("1.0"));
        story
    });
}

#[test]
fn pre_emption() {
    dies_anywhere(&|| {
        let mut story = super::questions::half_way();
        story.commit(file("1.2"));
        story
    });
}
