//! Releases that go well.

use expect_test::expect;

use super::story::{Story, file};
use crate::observed::resources::Tags;
use crate::plan::action::Mutation;

#[test]
fn first_release() {
    let mut story = Story::new(file("1.0"));
    story.run();
    expect![[r#"
        00:00:00 create-launch-template launch-template/web-b363gnwwvy  (1.0 is new)
        00:00:00 create-target-group target-group/web-b363gnwwvy  (its machines are registered there)
        00:00:00 create-rule rule 1.0 100 % (so that its health is checked before any traffic)
        00:00:00 create-group group/web-b363gnwwvy min 2, max 4 (its machines)
        00:03:10 set-rule rule 1.0 100 % (2 machines are healthy, the next step is 100 %)
        00:03:10 set-mark group/web-b363gnwwvy step 100 (100 % was read back, so its bake begins)
        00:08:10 set-mark launch-template/web-b363gnwwvy stable (its last bake is over: it has settled)
        00:08:10 set-mark group/web-b363gnwwvy settings (all settings were read back)
    "#]]
    .assert_eq(&story.log());
    assert_eq!(story.waits(), "at rest");
}

#[test]
fn upgrade_with_steps() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    expect![[r#"
        00:08:10 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:08:10 create-launch-template launch-template/web-o3vbyd5p4y  (1.1 is new)
        00:08:10 create-target-group target-group/web-o3vbyd5p4y  (its machines are registered there)
        00:08:10 set-weights rule 1.0 100 %, 1.1 0 % (so that its health is checked)
        00:08:10 create-group group/web-o3vbyd5p4y min 2, max 4 (its machines)
        00:11:20 set-weights rule 1.0 90 %, 1.1 10 % (2 machines are healthy, the next step is 10 %)
        00:11:20 set-mark group/web-o3vbyd5p4y step 10 (10 % was read back, so its bake begins)
        00:16:20 set-weights rule 1.0 0 %, 1.1 100 % (2 machines are healthy, the next step is 100 %)
        00:16:20 set-mark group/web-o3vbyd5p4y step 100 (100 % was read back, so its bake begins)
        00:21:20 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:21:20 set-mark launch-template/web-o3vbyd5p4y stable (its last bake is over: it has settled)
        00:21:20 set-mark group/web-b363gnwwvy retired (a newer release has settled)
        00:21:20 set-mark group/web-o3vbyd5p4y settings (all settings were read back)
    "#]]
    .assert_eq(&story.log());
    story.run_to_the_end();
    expect![[r#"
        01:21:20 set-weights rule 1.1 100 % (it was kept warm long enough)
        01:21:30 set-capacity group/web-b363gnwwvy min 0, desired 0, max 4 (it was kept warm long enough)
        01:22:05 delete-group group/web-b363gnwwvy  (it was kept warm long enough)
        01:22:40 delete-target-group target-group/web-b363gnwwvy  (it has no part any more)
    "#]]
    .assert_eq(&story.log());
}

#[test]
fn revert_while_warm() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.log();
    story.commit(file("1.0")).run();
    expect![[r#"
        00:21:20 set-weights rule 1.1 0 %, 1.0 100 % (1.0 served before, and the commit wants it again)
        00:21:20 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:21:20 set-mark group/web-o3vbyd5p4y retired (traffic went back from it)
        00:21:20 clear-mark launch-template/web-o3vbyd5p4y stable (it was rolled back from, so it is no target for a rollback)
        00:21:20 clear-mark group/web-b363gnwwvy retired (it is live again)
    "#]].assert_eq(&story.log());
    story.commit(file("1.1")).run();
    expect![[r#"
        00:21:20 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:21:20 set-mark group/web-o3vbyd5p4y step 0 (it is wanted again, from its first step)
        00:21:20 clear-mark group/web-o3vbyd5p4y retired (it is wanted again)
        00:21:20 set-weights rule 1.0 90 %, 1.1 10 % (2 machines are healthy, the next step is 10 %)
        00:21:20 set-mark group/web-o3vbyd5p4y step 10 (10 % was read back, so its bake begins)
        00:26:20 set-weights rule 1.0 0 %, 1.1 100 % (2 machines are healthy, the next step is 100 %)
        00:26:20 set-mark group/web-o3vbyd5p4y step 100 (100 % was read back, so its bake begins)
        00:31:20 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:31:20 set-mark launch-template/web-o3vbyd5p4y stable (its last bake is over: it has settled)
        00:31:20 set-mark group/web-b363gnwwvy retired (a newer release has settled)
    "#]]
    .assert_eq(&story.log());
}

#[test]
fn bad_release() {
    let mut story = Story::settled("1.0");
    story.sick.push("1.1".to_owned());
    story.commit(file("1.1")).run();
    expect![[r#"
        00:08:10 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:08:10 create-launch-template launch-template/web-o3vbyd5p4y  (1.1 is new)
        00:08:10 create-target-group target-group/web-o3vbyd5p4y  (its machines are registered there)
        00:08:10 set-weights rule 1.0 100 %, 1.1 0 % (so that its health is checked)
        00:08:10 create-group group/web-o3vbyd5p4y min 2, max 4 (its machines)
        00:23:10 set-mark launch-template/web-o3vbyd5p4y rejected (0 of 2 machines healthy after 15 min)
        00:23:10 set-weights rule 1.0 100 % (it failed)
        00:23:20 set-capacity group/web-o3vbyd5p4y min 0, desired 0, max 4 (it failed)
        00:23:55 delete-group group/web-o3vbyd5p4y  (it failed)
        00:24:30 delete-target-group target-group/web-o3vbyd5p4y  (it failed)
    "#]]
    .assert_eq(&story.log());
    expect!["rejected: 1.1 was rejected (late): 0 of 2 machines healthy after 15 min; release something else, or `ionroller retry web`"].assert_eq(&story.waits());
}

/// A group takes 25 tags at its creation: ours first, so that it is known whatever happens
/// next; the rest before its first traffic.
#[test]
fn more_tags_than_a_creation_takes_follow_before_any_traffic() {
    let mut spec = file("1.0");
    spec.tags = (0..40).map(|n| (format!("Key{n:02}"), format!("value {n}"))).collect();
    let mut story = Story::new(spec.clone());
    let made = loop {
        let action = story.step().expect("it is created in one pass");
        if let Mutation::CreateGroup { spec, .. } = action.mutation {
            break spec.tags;
        }
    };
    assert_eq!(made.len(), 25);
    assert!(made.contains_key("ionroller:digest") && made.contains_key("ionroller:step"), "{made:?}");
    let missing = |tags: &Tags| spec.tags.keys().filter(|key| !tags.contains_key(*key)).count();
    assert!(missing(&made) > 0, "{made:?}");
    story.until_weight("1.0", 100);
    let log = story.log_so_far().to_owned();
    assert!(log.find("set-tags group/").unwrap() < log.find("step 100").unwrap(), "{log}");
    assert_eq!(missing(&story.members("1.0").tags), 0, "{log}");
    story.converged();
}
