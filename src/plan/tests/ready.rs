//! `machine.ready`: machines wait in a launch hook until their boot script says that they are
//! ready.

use expect_test::expect;

use super::story::{Story, file};
use crate::desired::spec::{Ready, ReadyCheck, ServiceSpec};
use crate::observed::resources::{Activity, Lifecycle, Outcome};
use crate::plan::action::Mutation;
use crate::plan::types::Role;
use crate::time::Span;

fn ready(mut spec: ServiceSpec) -> ServiceSpec {
    let check = ReadyCheck::Http("http://127.0.0.1:9000/health".to_owned());
    spec.machine.ready = Some(Ready { check, timeout: Span::from_mins(5) });
    spec
}

fn worker(version: &str) -> ServiceSpec {
    ready(ServiceSpec { load_balancer: None, ..file(version) })
}

/// The release of this file comes up beside 1.0, and its group stands.
fn coming_up(old: ServiceSpec, new: ServiceSpec) -> Story {
    let mut story = super::story::settle(old);
    let version = new.version.to_string();
    story
        .commit(new)
        .until(|story| story.model.state.groups.get(&story.name(&version)).is_some_and(|owner| owner.group.is_some()));
    story
}

/// All its machines wait in the hook, and so many were given up before.
fn in_hook(story: &mut Story, version: &str, given_up: usize) {
    let now = story.now;
    let owner = story.group_mut(version);
    let group = owner.group.as_mut().unwrap();
    group.instances.iter_mut().for_each(|machine| machine.lifecycle = Lifecycle::Pending);
    group.shape.as_mut().unwrap().in_hooks = u32::try_from(group.instances.len()).unwrap();
    let words = "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token 1 was abandoned: \
                 Heartbeat Timeout elapsed";
    let gone = Activity {
        started: now,
        ended: Some(now),
        outcome: Outcome::Failed,
        message: words.to_owned(),
        cause: String::new(),
        instance: Some("i-gone".to_owned()),
        launch: true,
    };
    owner.activities = Some(vec![gone; given_up]);
}

fn said(story: &Story) -> String {
    story.plan().waiting_on.map(|wait| wait.detail).unwrap_or_default()
}

/// The group is made with the hook, where the file of its own release asks for it.
#[test]
fn the_hook_is_part_of_the_group() {
    let within = |old: ServiceSpec, new: ServiceSpec, version: &str, lost: bool| {
        let mut story = super::story::settle(old);
        story.commit(new);
        if lost {
            story.group_mut("1.0").group = None;
        }
        loop {
            match story.step().expect(version).mutation {
                Mutation::CreateGroup { spec, .. } => return spec.ready_within,
                _ => continue,
            }
        }
    };
    let five = Some(Span::from_mins(5));
    assert_eq!(within(file("1.0"), ready(file("1.1")), "1.1", false), five);
    assert_eq!(within(ready(file("1.0")), file("1.1"), "1.1", false), None);
    assert_eq!(within(ready(file("1.0")), ready(file("1.0")), "1.0", true), five);
    // The group of the live release is made again while the file says another one, whose boot
    // script alone would end the wait.
    assert_eq!(within(file("1.0"), ready(file("1.1")), "1.0", true), None);
}

#[test]
fn machines_in_the_hook_are_booting_and_named() {
    let mut story = coming_up(worker("1.0"), worker("1.1"));
    in_hook(&mut story, "1.1", 0);
    story.later(Span::from_secs(10));
    expect!["0 of 2 machines healthy (2 booting); 2 machines are not ready yet (machine.ready)"]
        .assert_eq(&said(&story));
    in_hook(&mut story, "1.1", 1);
    story.later(Span::from_secs(10));
    expect![[r#"0 of 2 machines healthy (2 booting); 2 machines are not ready yet (machine.ready); 1 machine was given up before being ready: Instance failed to complete user's Lifecycle Action: Lifecycle Action was abandoned: Heartbeat Timeout elapsed"#]].assert_eq(&said(&story));

    // Somebody else's hook, and ours beside one on the way out.
    let mut story = coming_up(file("1.0"), file("1.1"));
    in_hook(&mut story, "1.1", 0);
    story.later(Span::from_secs(10));
    expect!["0 of 2 machines healthy (2 booting); 2 machines are waiting for a lifecycle hook"]
        .assert_eq(&said(&story));
    let mut story = coming_up(file("1.0"), ready(file("1.1")));
    in_hook(&mut story, "1.1", 0);
    let group = story.group_mut("1.1").group.as_mut().unwrap();
    group.instances[0].lifecycle = Lifecycle::Leaving;
    story.later(Span::from_secs(10));
    expect!["0 of 2 machines healthy (1 booting, 1 missing); 1 machine is not ready yet (machine.ready), 1 machine is waiting for a lifecycle hook"].assert_eq(&said(&story));
}

/// Machines that never become ready never take over. That nobody could say why is no verdict:
/// after its two deadlines the release is tried again later, three times.
#[test]
fn machines_that_never_become_ready_never_take_over() {
    for spec in [worker as fn(&str) -> ServiceSpec, |version| ready(file(version))] {
        let mut story = coming_up(spec("1.0"), spec("1.1"));
        story.log();
        let tried = |story: &Story| story.group("1.1").template_marks().retry.as_ref().map(|retry| retry.tries);
        // One turn of machines is gone, and the next one has not been launched: nothing says
        // that a launch failed.
        for _ in 0..(15 * 60 / 20) {
            in_hook(&mut story, "1.1", 2);
            let group = story.group_mut("1.1").group.as_mut().unwrap();
            group.instances.truncate(1);
            story.later(Span::from_secs(20)).pass();
            assert_eq!(tried(&story), None, "{}", story.log());
        }
        for _ in 0..(16 * 60 / 20) {
            if tried(&story).is_some() {
                break;
            }
            in_hook(&mut story, "1.1", 2);
            story.later(Span::from_secs(20)).pass();
        }
        assert_eq!(tried(&story), Some(1), "{}", story.log());
        let marks = story.group("1.1").template_marks();
        assert!(marks.rejected.is_none());
        let text = &marks.retry.as_ref().unwrap().text;
        assert!(text.starts_with("0 of 2 machines healthy. 2 machines were given up before being ready"), "{text}");
        assert_eq!(story.role("1.0"), Role::Live);
        let log = story.log();
        assert!(!log.contains("step 1"), "{log}");
    }
}
