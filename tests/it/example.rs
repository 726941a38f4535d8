//! The example repository shows what it says, and the README quotes a true plan of it.

use std::path::Path;

use ionroller::desired::load;
use ionroller::desired::spec::{Ami, ServiceFile, ServiceSpec};
use ionroller::git;

use crate::harness::place::Place;

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap()
}

#[test]
fn it_shows_each_kind() {
    let desired = load(&git::read_folder(&root("example-config-repo")).unwrap(), None);
    let specs: Vec<&ServiceSpec> = desired
        .services
        .values()
        .map(|file| match file {
            ServiceFile::Valid(spec) => &**spec,
            ServiceFile::Broken => panic!("{:?}", desired.diagnostics),
        })
        .collect();
    let some = |what: fn(&ServiceSpec) -> bool| specs.iter().any(|spec| what(spec));
    assert!(some(|spec| spec.image.is_some() && spec.load_balancer.is_some()), "a container");
    assert!(some(|spec| spec.image.is_none() && matches!(spec.machine.ami, Ami::Name(_))), "a baked AMI");
    assert!(some(|spec| spec.load_balancer.is_none()), "a worker");
    let scope = desired.scope.as_ref().unwrap();
    let freeze = scope.freezes.first().expect("a freeze");
    assert!(freeze.from.to_string().as_str() > "2030", "nobody who tries the example may be frozen");
    let readme = read("example-config-repo/README.md");
    for spec in specs {
        assert!(readme.contains(&format!("| `{}` |", spec.name)), "its README doesn't speak of {}", spec.name);
    }
}

#[test]
fn the_readme_quotes_the_plan_of_a_release() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    let old = read("example-config-repo/services/website.toml");
    let digest = old.lines().find_map(|line| line.strip_prefix("digest = ")).unwrap().trim_matches('"');
    let new = digest.replace("9b2a28ef", "1c4e77b0");
    assert_ne!(digest, new);
    place.run(&["release", "website", "2026.03.2", "--digest", &new]).ended(0);
    let plan = place.run(&["plan"]).ended(0).stdout;
    // The first line has a commit and a time.
    let (_, plan) = plan.split_once('\n').unwrap();
    let readme = read("README.md");
    let start = readme.find("\nprod at ").and_then(|at| Some(at + 2 + readme[at + 1..].find('\n')?)).unwrap();
    let end = start + readme[start..].find("```").unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let quoted = format!("{}{plan}{}", &readme[..start], &readme[end..]);
        std::fs::write(root("README.md"), quoted).unwrap();
    } else {
        assert_eq!(&readme[start..end], plan, "README.md must quote the plan; UPDATE_EXPECT=1 writes it");
    }
}
