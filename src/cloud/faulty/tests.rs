//! Every kind of fault, over the simulated cloud.

use crate::cloud::sim::SimCloud;
use crate::cloud::sim::fixture::{Release, cloud, run, scope};
use crate::cloud::{CloudReader, CloudWriter, ErrorKind, Owner};

use super::{CRASHED, Failure, FaultyCloud, INJECTED, Odds, Trigger};

fn faulty() -> (SimCloud, FaultyCloud<SimCloud>, Release) {
    let sim = cloud(1);
    (sim.clone(), FaultyCloud::new(sim), Release::at_120("checkout", "1.0.0"))
}

#[test]
fn a_fault_before_leaves_no_trace_and_one_after_leaves_everything() {
    let (sim, cloud, release) = faulty();
    cloud.add(Trigger::Operation("CreateLaunchTemplate", 1), Failure::Before(ErrorKind::Throttled));
    cloud.add(Trigger::Operation("CreateLaunchTemplate", 2), Failure::After);
    let error = run(cloud.create_template(&release.template())).unwrap_err();
    assert_eq!((error.kind, error.code.as_str(), sim.mutations()), (ErrorKind::Throttled, INJECTED, 0));
    let error = run(cloud.create_template(&release.template())).unwrap_err();
    assert_eq!((error.kind, sim.mutations()), (ErrorKind::Unavailable, 1));
    // The third takes over what the second made.
    run(cloud.create_template(&release.template())).unwrap();
    assert_eq!(sim.world().templates.len(), 1);
    assert_eq!(cloud.counts(), (3, 3));
}

#[test]
fn after_a_crash_nothing_works_until_a_restart() {
    let owner = Owner { scope: scope(), service: None };
    for (failure, made) in [(Failure::CrashBefore, 0), (Failure::CrashAfter, 1)] {
        let (sim, cloud, release) = faulty();
        cloud.add(Trigger::Mutation(1), failure);
        run(cloud.groups(&owner)).unwrap();
        let error = run(cloud.create_template(&release.template())).unwrap_err();
        assert_eq!((error.code.as_str(), sim.world().templates.len()), (CRASHED, made));
        assert!(cloud.crashed());
        assert_eq!(run(cloud.groups(&owner)).unwrap_err().code, CRASHED);
        cloud.restart();
        run(cloud.create_template(&release.template())).unwrap();
    }
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let owner = Owner { scope: scope(), service: None };
    let story = |seed| {
        let (_, cloud, _) = faulty();
        cloud.set_odds(Odds { seed, before: 100, after: 100, throttled: 100 });
        let answer = |_| run(cloud.groups(&owner)).map_or_else(|error| error.to_string(), |_| String::new());
        (0..200).map(answer).collect::<Vec<_>>()
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
    let failed = story(1).iter().filter(|answer| !answer.is_empty()).count();
    assert!((30..90).contains(&failed), "{failed} of 200 failed, 60 were to be expected");
}
