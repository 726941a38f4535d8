//! Whole config folders: what they load to, and the diagnostics they get.

use std::path::Path;

use ionroller::desired::diagnostic::{Diagnostic, Severity};
use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::desired::load;
use ionroller::desired::spec::{
    Ami, Capacity, Desired, HealthCheckSpec, Limits, OnFailure, Protocol, Prune, Retention, Rollout, ServiceFile,
    ServiceSpec,
};
use ionroller::names::{CommitId, ServiceName};
use ionroller::render::text::{Style, diagnostics};
use ionroller::time::Span;
use proptest::prelude::*;

fn from_root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every file below a folder. Symbolic links stay links.
fn read_folder(folder: &Path) -> ConfigFiles {
    fn walk(folder: &Path, below: &str, files: &mut ConfigFiles) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{below}{}", entry.file_name().into_string().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), &format!("{path}/"), files);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
                files.files.insert(path, FileContent::Symlink { target });
            } else {
                files.files.insert(path, FileContent::Bytes(std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut files = ConfigFiles::default();
    walk(folder, "", &mut files);
    files
}

/// As `ionroller validate` prints them.
fn rendered(desired: &Desired) -> String {
    diagnostics(&desired.diagnostics, Style { color: false, verbose: 0, width: 80 })
}

#[test]
fn the_example_is_valid() {
    let desired = load(&read_folder(&from_root("example-config-repo")), None);
    assert_eq!(rendered(&desired), "");
    assert!(desired.scope.is_some());
    let names: Vec<&str> = desired.services.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["checkout", "mailer", "search", "website"]);
    assert!(desired.services.values().all(|file| matches!(file, ServiceFile::Valid(_))));
}

/// Each folder of `tests/sample-configs` against the diagnostics in its `expected.txt`.
/// `UPDATE_EXPECT=1` writes them anew.
#[test]
fn samples_get_their_diagnostics() {
    let mut wrong = Vec::new();
    for kind in ["valid", "invalid"] {
        let kinds = from_root("tests/sample-configs").join(kind);
        for entry in std::fs::read_dir(kinds).unwrap() {
            let folder = entry.unwrap().path();
            let mut files = read_folder(&folder);
            files.files.remove("expected.txt");
            let desired = load(&files, None);
            let got = rendered(&desired);
            let name = format!("{kind}/{}", folder.file_name().unwrap().to_string_lossy());
            assert_eq!(got.contains("error: "), kind == "invalid", "{name}:\n{got}");
            let expected = folder.join("expected.txt");
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::write(&expected, &got).unwrap();
            } else if std::fs::read_to_string(&expected).unwrap_or_default() != got {
                wrong.push(format!("{name} gets\n{got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 accepts this", wrong.join("\n"));
}

fn sample(name: &str) -> ConfigFiles {
    let mut files = read_folder(&from_root("tests/sample-configs").join(name));
    files.files.remove("expected.txt");
    files
}

fn bytes(files: &ConfigFiles, path: &str) -> Vec<u8> {
    match &files.files[path] {
        FileContent::Bytes(bytes) => bytes.clone(),
        other => panic!("{path} {}", other.instead_of_a_file()),
    }
}

fn valid<'d>(desired: &'d Desired, name: &str) -> Option<&'d ServiceSpec> {
    match desired.services.get(name_of(name).as_ref()?)? {
        ServiceFile::Valid(spec) => Some(spec),
        ServiceFile::Broken => None,
    }
}

fn name_of(name: &str) -> Option<ServiceName> {
    ServiceName::parse(name).ok()
}

#[test]
fn defaults_lie_beneath_each_service() {
    let desired = load(&sample("valid/defaults"), None);
    let spec = valid(&desired, "shop").unwrap();
    assert_eq!(spec.network.subnets, ["subnet-a", "subnet-b"]);
    let env: Vec<_> = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("LOG_LEVEL", "debug"), ("REGION", "eu"), ("UID", "1000")]);
    let balancer = spec.load_balancer.as_ref().unwrap();
    assert_eq!(balancer.health_check.path, "/status");
    assert_eq!(balancer.health_check.interval, Span::from_secs(30));
    assert_eq!(balancer.port, 80);
}

#[test]
fn a_minimal_service_has_exactly_these_defaults() {
    let desired = load(&sample("valid/least"), None);
    let spec = valid(&desired, "shop").unwrap();
    assert_eq!((&spec.redeploy, &spec.paused), (&None, &None));
    assert!(spec.env.is_empty() && spec.secrets.is_empty() && spec.tags.is_empty());
    let image = spec.image.as_ref().unwrap();
    assert!(image.command.is_empty() && image.volumes.is_empty());
    let machine = &spec.machine;
    assert_eq!((&machine.instance_profile, &machine.key_name, machine.root_volume_gib), (&None, &None, None));
    assert_eq!(machine.user_data, None);
    assert_eq!(spec.capacity, Capacity { min: 2, max: 2, scaling: Vec::new() });
    let rollout = Rollout {
        steps: vec![100],
        bake: Span::from_mins(5),
        healthy_deadline: Span::from_mins(15),
        healthy_for: Span::from_secs(10),
        unhealthy_for: Span::from_mins(2),
        alarms: Vec::new(),
        on_failure: OnFailure::RollBack,
    };
    assert_eq!(spec.rollout, rollout);
    assert_eq!(spec.retention, Retention { warm: Span::from_mins(60), records: 3 });
    let balancer = spec.load_balancer.as_ref().unwrap();
    assert_eq!((balancer.port, balancer.protocol, balancer.adopt), (80, Protocol::Http, false));
    assert_eq!(balancer.deregistration_delay, Span::from_secs(30));
    assert_eq!(balancer.rule.as_ref().unwrap().hosts, Vec::<String>::new());
    let check = HealthCheckSpec {
        path: "/".to_owned(),
        port: None,
        protocol: None,
        interval: Span::from_secs(10),
        timeout: Span::from_secs(5),
        healthy: 2,
        unhealthy: 3,
        matcher: "200".to_owned(),
    };
    assert_eq!(balancer.health_check, check);
    let scope = desired.scope.as_ref().unwrap();
    assert_eq!((&scope.role_arn, &scope.external_id, scope.freezes.len()), (&None, &None, 0));
    assert_eq!(scope.limits, Limits { max_concurrent_rollouts: 5, max_releases_per_change: 20 });
    assert_eq!(scope.prune, Prune { enabled: false, max_services: 1 });
}

#[test]
fn every_key_arrives() {
    let desired = load(&sample("valid/every-key"), None);
    let scope = desired.scope.as_ref().unwrap();
    assert_eq!((scope.scope.as_str(), scope.region.as_str()), ("test", "eu-west-1"));
    assert_eq!(scope.account.as_ref().map(|account| account.as_str()), Some("123456789012"));
    assert_eq!(scope.role_arn.as_deref(), Some("arn:aws:iam::123456789012:role/ionroller"));
    assert_eq!(scope.external_id.as_deref(), Some("shop-4711"));
    assert_eq!(scope.limits, Limits { max_concurrent_rollouts: 3, max_releases_per_change: 10 });
    assert_eq!(scope.prune, Prune { enabled: false, max_services: 2 });
    let freezes: Vec<_> = scope
        .freezes
        .iter()
        .map(|freeze| (freeze.name.as_str(), freeze.from.to_string(), freeze.until.to_string(), freeze.services.len()))
        .collect();
    // The first until has an offset; no services are all.
    let wanted = [
        ("sale", "2026-11-27T00:00:00Z".to_owned(), "2026-11-27T23:00:00Z".to_owned(), 1),
        ("holidays", "2026-12-24T00:00:00Z".to_owned(), "2027-01-02T00:00:00Z".to_owned(), 0),
    ];
    assert_eq!(freezes, wanted);
    let spec = valid(&desired, "shop").unwrap();
    assert_eq!(spec.redeploy.as_deref(), Some("rotate certificates"));
    assert_eq!(spec.paused.as_deref(), Some("incident 4711"));
    assert_eq!(spec.rollout.healthy_deadline, Span::from_mins(90));
    assert_eq!(spec.rollout.healthy_for, Span::from_millis(500));
    assert_eq!(spec.retention.warm, Span::from_mins(24 * 60));
    let targets: Vec<_> = spec.capacity.scaling.iter().map(|policy| policy.target_millis).collect();
    assert_eq!(targets, [60_000, 1_000_500]);
    assert_eq!(spec.tags.len(), 2, "its own and the default");
}

#[test]
fn a_named_ami_has_the_version_filled_in() {
    let desired = load(&read_folder(&from_root("example-config-repo")), None);
    assert_eq!(valid(&desired, "search").unwrap().machine.ami, Ami::Name("search-1.4.0-*".to_owned()));
}

#[test]
fn network_load_balancers_check_by_tcp_where_they_can_do_no_other() {
    let desired = load(&sample("valid/network-load-balancer"), None);
    let check = |name: &str| {
        let balancer = valid(&desired, name).unwrap().load_balancer.as_ref().unwrap();
        let check = &balancer.health_check;
        (balancer.protocol, check.protocol, check.path.as_str(), check.matcher.as_str(), check.interval.as_secs_ceil())
    };
    // None: that of the traffic, which is TCP here.
    assert_eq!(check("tcp"), (Protocol::Tcp, None, "/", "200", 20));
    assert_eq!(check("tls"), (Protocol::Tls, Some(Protocol::Https), "/health", "200-599", 20));
    assert_eq!(check("udp"), (Protocol::Udp, Some(Protocol::Tcp), "/", "200", 20));
    assert_eq!(check("web"), (Protocol::Http, None, "/health", "204", 20));
}

#[test]
fn a_default_action_may_be_adopted() {
    let desired = load(&sample("valid/default-action"), None);
    for (name, ruled) in [("shop", false), ("cart", true)] {
        let balancer = valid(&desired, name).unwrap().load_balancer.as_ref().unwrap();
        assert_eq!((balancer.rule.is_some(), balancer.adopt), (ruled, true), "{name}");
    }
}

#[test]
fn defaults_never_give_traffic_to_a_worker() {
    let desired = load(&sample("valid/worker"), None);
    assert!(desired.services.keys().all(|name| valid(&desired, name.as_str()).unwrap().load_balancer.is_none()));
    let mut files = sample("valid/defaults");
    let scope = String::from_utf8(bytes(&files, "ionroller.toml")).unwrap();
    let scope = format!("{scope}\n[defaults.image]\ncommand = [\"--verbose\"]\n");
    files.files.insert("ionroller.toml".to_owned(), FileContent::Bytes(scope.into_bytes()));
    let baked = "version = \"1\"\n[machine]\nami = \"name:shop-{version}\"\ninstance_type = \"t3.small\"\n[capacity]\nmin = 1\n";
    files.files.insert("services/baked.toml".to_owned(), FileContent::Bytes(baked.into()));
    let scope =
        String::from_utf8(bytes(&files, "ionroller.toml")).unwrap().replace("UID = \"1000\"", "USER_ID = \"1000\"");
    files.files.insert("ionroller.toml".to_owned(), FileContent::Bytes(scope.into_bytes()));
    let desired = load(&files, None);
    let baked = valid(&desired, "baked").unwrap_or_else(|| panic!("{}", rendered(&desired)));
    assert_eq!(baked.image, None);
    assert_eq!(valid(&desired, "shop").unwrap().image.as_ref().unwrap().command, ["--verbose"]);
}

#[test]
fn a_broken_service_blocks_itself_alone() {
    let mut files = sample("valid/least");
    let commit = CommitId::parse(&"0".repeat(40)).ok();
    let before = load(&files, commit.clone());
    files.files.insert("services/cart.toml".to_owned(), FileContent::Bytes(b"version = ".to_vec()));
    let after = load(&files, commit.clone());
    assert_eq!(after.commit, commit);
    assert_eq!(after.scope, before.scope);
    assert_eq!(valid(&after, "shop"), valid(&before, "shop"));
    assert_eq!(after.services[&name_of("cart").unwrap()], ServiceFile::Broken);
}

#[test]
fn services_of_one_priority_are_both_broken() {
    let desired = load(&sample("invalid/same-priority"), None);
    let broken = |name| valid(&desired, name).is_none();
    assert_eq!((broken("cart"), broken("shop"), broken("other")), (true, true, false));
}

#[test]
fn broken_defaults_break_those_who_take_them() {
    let mut files = sample("valid/least");
    let scope = b"scope = \"test\"\nregion = \"eu-west-1\"\n[defaults.network]\nsubnets = 5\n".to_vec();
    files.files.insert("ionroller.toml".to_owned(), FileContent::Bytes(scope));
    let least = files.files["services/shop.toml"].clone();
    let FileContent::Bytes(bytes) = least else { panic!("a file") };
    let text = String::from_utf8(bytes).unwrap();
    let taker = text.replace("subnets = [\"subnet-a\", \"subnet-b\"]\n", "").replace("priority = 1", "priority = 2");
    files.files.insert("services/taker.toml".to_owned(), FileContent::Bytes(taker.into()));
    let desired = load(&files, None);
    assert!(desired.scope.is_some(), "{}", rendered(&desired));
    assert!(valid(&desired, "shop").is_some());
    assert!(valid(&desired, "taker").is_none());
}

#[test]
fn without_ionroller_toml_nothing_is_valid() {
    for sample_name in ["invalid/no-scope-file", "invalid/scope-syntax", "invalid/scope-bytes"] {
        let desired = load(&sample(sample_name), None);
        assert_eq!(desired.scope, None, "{sample_name}");
        assert!(valid(&desired, "shop").is_none(), "{sample_name}: what the defaults say is unknown");
        assert_eq!(desired.services.len(), 1, "{sample_name}: the service is not taken for deleted");
    }
    assert_eq!(load(&sample("invalid/no-services"), None).scope, None);
}

#[test]
fn places_are_relative_to_the_repository() {
    let mut files = sample("invalid/versions");
    files.root = "teams/shop/".to_owned();
    let desired = load(&files, None);
    assert!(desired.diagnostics.iter().all(|d| d.file.as_deref() == Some("teams/shop/services/shop.toml")));
}

#[test]
fn what_stands_for_a_file_blocks_its_service() {
    for content in [
        FileContent::Folder,
        FileContent::Submodule,
        FileContent::TooLarge { size: 5_000_000 },
        FileContent::Unreadable { reason: "permission denied".to_owned() },
        FileContent::Symlink { target: "../../etc/passwd".to_owned() },
    ] {
        let mut files = sample("valid/least");
        files.files.insert("services/cart.toml".to_owned(), content);
        let desired = load(&files, None);
        assert_eq!(desired.services[&name_of("cart").unwrap()], ServiceFile::Broken);
        assert!(valid(&desired, "shop").is_some());
        assert!(rendered(&desired).starts_with("error: services/cart.toml: not read: it "), "{}", rendered(&desired));
    }
}

/// Holds for whatever the files say.
fn check_sound(files: &ConfigFiles) {
    let desired = load(files, None);
    let place = |d: &Diagnostic| (d.file.clone(), d.line, d.column);
    assert!(desired.diagnostics.is_sorted_by_key(place), "{}", rendered(&desired));
    for diagnostic in &desired.diagnostics {
        let file = diagnostic.file.as_ref().unwrap();
        if let (Some(line), Some(FileContent::Bytes(bytes))) = (diagnostic.line, files.files.get(file)) {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<&str> = text.split('\n').collect();
            let length = lines.get(line as usize - 1).unwrap().chars().count();
            assert!(diagnostic.column.unwrap() as usize <= length + 1, "{diagnostic:?}");
        }
        let printable = |text: &str| !text.chars().any(char::is_control);
        assert!(printable(&diagnostic.message), "{diagnostic:?}");
        assert!(diagnostic.help.as_deref().is_some_and(|help| !help.is_empty() && printable(help)), "{diagnostic:?}");
    }
    for (name, file) in &desired.services {
        let path = format!("services/{name}.toml");
        let error = |d: &Diagnostic| d.severity == Severity::Error && d.file.as_deref() == Some(path.as_str());
        if let ServiceFile::Valid(spec) = file {
            assert!(!desired.diagnostics.iter().any(error), "{}", rendered(&desired));
            assert!(spec.user_data.len() <= 16_384);
        }
    }
}

/// The example with one stretch of one file replaced.
fn mutated(mut files: ConfigFiles, which: usize, at: usize, length: usize, with: &[u8]) -> ConfigFiles {
    let count = files.files.len();
    if let Some(FileContent::Bytes(bytes)) = files.files.values_mut().nth(which % count) {
        let start = at % (bytes.len() + 1);
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, with.iter().copied());
    }
    files
}

proptest! {
    #[test]
    fn any_bytes_load(scope in any::<Vec<u8>>(), service in any::<Vec<u8>>()) {
        let mut files = ConfigFiles::default();
        files.files.insert("ionroller.toml".to_owned(), FileContent::Bytes(scope));
        files.files.insert("services/shop.toml".to_owned(), FileContent::Bytes(service));
        check_sound(&files);
    }

    #[test]
    fn any_mutation_of_the_example_loads(
        mutations in prop::collection::vec((any::<usize>(), any::<usize>(), 0..40_usize, "[\\PC\\n\"\\[\\]{}=.,#0-9a-z]{0,12}"), 1..4),
    ) {
        let mut files = read_folder(&from_root("example-config-repo"));
        for (which, at, length, with) in mutations {
            files = mutated(files, which, at, length, with.as_bytes());
        }
        check_sound(&files);
    }

    /// A value of another type or size wherever a value can stand.
    #[test]
    fn any_value_loads(which in any::<usize>(), line in any::<usize>(), value in prop::sample::select(VALUES)) {
        let mut files = read_folder(&from_root("example-config-repo"));
        let count = files.files.len();
        if let Some(FileContent::Bytes(bytes)) = files.files.values_mut().nth(which % count) {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let line = line % lines.len();
            if let Some((key, _)) = lines[line].clone().split_once(" = ") {
                lines[line] = format!("{key} = {value}");
            }
            *bytes = lines.join("\n").into_bytes();
        }
        check_sound(&files);
    }
}

const VALUES: &[&str] = &[
    "\"\"",
    "\"\\u0000\"",
    "\"\\n\"",
    "-1",
    "0",
    "99999999999999999999999999999999999999999999",
    "0x_",
    "nan",
    "-inf",
    "1e400",
    "0.1",
    "true",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "[]",
    "[[]]",
    "[{}]",
    "{}",
    "{ a = { b = { c = 1 } } }",
    "\"99999999999999999999s\"",
    "\"name:{version}{version}\"",
    "\"arn:\"",
    "\"arn:aws:a:b:c:listener/app/\"",
    "\"ssm:\"",
];
