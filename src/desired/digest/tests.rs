//! What the digest is made of, and digests that must never change.

use expect_test::{Expect, expect};

use super::super::files::{ConfigFiles, FileContent};
use super::super::load;
use super::super::spec::{ServiceFile, ServiceSpec};
use super::{canonical, digest};

const FULL: &str = r#"
version = "2.7.1"
redeploy = "rotate certificates"
paused = "incident 4711"

[image]
repository = "registry.example.com/checkout"
digest = "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"
ports = [{ host = 80, container = 9000 }, { host = 81, container = 9001 }]
command = ["-Dpidfile.path=/dev/null", "ü \"x\""]
volumes = [{ host = "/var/cache", container = "/cache" }]

[machine]
ami = "ami-0abcdef1234567890"
instance_type = "t3.small"
instance_profile = "checkout"
key_name = "team"
root_volume_gib = 20
user_data = "files/a.sh"

[env]
LOG_LEVEL = "info"

[secrets]
DB_PASSWORD = "ssm:/checkout/db-password"
STRIPE = "secretsmanager:stripe"

[network]
subnets = ["subnet-b", "subnet-a"]
security_groups = ["sg-checkout"]

[capacity]
min = 2
max = 8
scaling = [{ metric = "cpu", target = 60 }]

[load_balancer]
listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7"
rule = { priority = 120, hosts = ["checkout.example.com"] }
port = 81
protocol = "HTTPS"
health_check = { path = "/health", port = 82, protocol = "HTTP", interval = "11s", timeout = "6s", healthy = 3, unhealthy = 4, matcher = "200-299" }
deregistration_delay = "40s"

[rollout]
steps = [5, 100]
bake = "6m"
healthy_deadline = "16m"
healthy_for = "11s"
unhealthy_for = "3m"
on_failure = "hold"

[retention]
warm = "61m"
records = 4

[tags]
team = "payments"
"#;

const LEAST: &str = r#"
version = "1"
[image]
repository = "nginx"
ports = [{ host = 80, container = 8080 }]
[machine]
ami = "ami-0abcdef1234567890"
instance_type = "t3.micro"
[network]
subnets = ["subnet-a"]
security_groups = ["sg-a"]
[capacity]
min = 1
[load_balancer]
listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7"
rule = { priority = 1, paths = ["/*"] }
"#;

fn spec(service: &str) -> ServiceSpec {
    let mut files = ConfigFiles::default();
    for (path, text) in [
        ("ionroller.toml", "scope = \"test\"\nregion = \"eu-west-1\"\n"),
        ("services/checkout.toml", service),
        ("files/a.sh", "#!/bin/sh\necho a\n"),
        ("files/same.sh", "#!/bin/sh\necho a\n"),
        ("files/b.sh", "#!/bin/sh\necho b\n"),
    ] {
        files.files.insert(path.to_owned(), FileContent::Bytes(text.into()));
    }
    let desired = load(&files, None);
    match desired.services.into_values().next() {
        Some(ServiceFile::Valid(spec)) => *spec,
        _ => panic!("{:#?}", desired.diagnostics),
    }
}

/// The digest of `service` with one piece of its text replaced.
fn with(service: &str, from: &str, to: &str) -> String {
    assert_eq!(service.matches(from).count(), 1, "{from} must stand there once");
    spec(&service.replace(from, to)).digest.to_string()
}

/// The digest is no snapshot, so that no update of snapshots can change it.
fn check(service: &str, golden: &str, form: Expect) {
    let spec = spec(service);
    form.assert_eq(&canonical(&spec));
    assert_eq!(spec.digest.as_str(), golden);
    assert_eq!(spec.digest, digest(&spec), "the digest must not depend on itself");
}

// Golden: a change here would replace every machine of everyone. Never edit these.

#[test]
fn golden_full() {
    check(
        FULL,
        "8f83b306eeb899d05620655942c376ce0f4bff7a464681f5bf994fa1b2c6d3fd",
        expect![[r##"
        ionroller release 1
        env.LOG_LEVEL="info"
        image.command=["-Dpidfile.path=/dev/null","ü \"x\""]
        image.digest="sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"
        image.ports=[[80,9000],[81,9001]]
        image.repository="registry.example.com/checkout"
        image.volumes=[["/var/cache","/cache"]]
        load_balancer.health_check.matcher="200-299"
        load_balancer.health_check.path="/health"
        load_balancer.health_check.port=82
        load_balancer.health_check.protocol="HTTP"
        load_balancer.port=81
        load_balancer.protocol="HTTPS"
        machine.ami="ami-0abcdef1234567890"
        machine.instance_profile="checkout"
        machine.instance_type="t3.small"
        machine.key_name="team"
        machine.root_volume_gib=20
        machine.user_data="#!/bin/sh\necho a\n"
        network.security_groups=["sg-checkout"]
        network.subnets=["subnet-a","subnet-b"]
        redeploy="rotate certificates"
        secrets.DB_PASSWORD="ssm:/checkout/db-password"
        secrets.STRIPE="secretsmanager:stripe"
        version="2.7.1"
    "##]],
    );
}

#[test]
fn golden_least() {
    check(
        LEAST,
        "28156a86493dff80285c5044936785832e94b532bf32d85b607aa2222d41362d",
        expect![[r#"
        ionroller release 1
        image.ports=[[80,8080]]
        image.repository="nginx"
        load_balancer.port=80
        machine.ami="ami-0abcdef1234567890"
        machine.instance_type="t3.micro"
        network.security_groups=["sg-a"]
        network.subnets=["subnet-a"]
        version="1"
    "#]],
    );
}

#[test]
fn golden_baked() {
    let service = LEAST
        .replace("[image]\nrepository = \"nginx\"\nports = [{ host = 80, container = 8080 }]\n", "")
        .replace("ami-0abcdef1234567890", "name:shop-{version}-*")
        .replace("[load_balancer]", "[load_balancer]\nport = 8080");
    check(
        &service,
        "9f1bc2a08ef037ac7c3f7c2fa74e7161da027f0f1ecc5ebe457a72525330403e",
        expect![[r#"
        ionroller release 1
        load_balancer.port=8080
        machine.ami="name:shop-1-*"
        machine.instance_type="t3.micro"
        network.security_groups=["sg-a"]
        network.subnets=["subnet-a"]
        version="1"
    "#]],
    );
}

#[test]
fn golden_tag_with_environment() {
    let service = format!("{LEAST}[env]\nA_1 = \"x=y\\t\\\"z\\\"\"\nEMPTY = \"\"\nZ = \"ü\"\n");
    check(
        &service,
        "e71d6610145ea0f58621d3d4e512948a38c4e21440a6ddb43bd3695edbc0e631",
        expect![[r#"
        ionroller release 1
        env.A_1="x=y\t\"z\""
        env.EMPTY=""
        env.Z="ü"
        image.ports=[[80,8080]]
        image.repository="nginx"
        load_balancer.port=80
        machine.ami="ami-0abcdef1234567890"
        machine.instance_type="t3.micro"
        network.security_groups=["sg-a"]
        network.subnets=["subnet-a"]
        version="1"
    "#]],
    );
}

/// As [`LEAST`], behind a Network Load Balancer.
fn network(more: &str) -> String {
    LEAST.replace("/app/", "/net/").replace("rule = { priority = 1, paths = [\"/*\"] }", more)
}

#[test]
fn golden_network() {
    check(
        &network("protocol = \"TCP\""),
        "998c53bf3c6b6acc3fbd9614f9d12b5f405dd85b599995a0f1d00bff2890898c",
        expect![[r#"
        ionroller release 1
        image.ports=[[80,8080]]
        image.repository="nginx"
        load_balancer.port=80
        load_balancer.protocol="TCP"
        machine.ami="ami-0abcdef1234567890"
        machine.instance_type="t3.micro"
        network.security_groups=["sg-a"]
        network.subnets=["subnet-a"]
        version="1"
    "#]],
    );
}

#[test]
fn golden_tls_with_http_checks() {
    check(
        &network("protocol = \"TLS\"\nhealth_check = { protocol = \"HTTP\", path = \"/up\" }"),
        "09ca5ffd1565e8f0133cedfaa4a6688dae41c28bb846e40aa037ff1aba9e6ea1",
        expect![[r#"
        ionroller release 1
        image.ports=[[80,8080]]
        image.repository="nginx"
        load_balancer.health_check.path="/up"
        load_balancer.health_check.protocol="HTTP"
        load_balancer.port=80
        load_balancer.protocol="TLS"
        machine.ami="ami-0abcdef1234567890"
        machine.instance_type="t3.micro"
        network.security_groups=["sg-a"]
        network.subnets=["subnet-a"]
        version="1"
    "#]],
    );
}

#[test]
fn golden_worker() {
    let (worker, _) = LEAST.split_once("[load_balancer]").unwrap();
    check(
        worker,
        "bec6e21975ad3318dfc8efbb2fdbb2e810d8672a694adaf28f8575ab9438c3f8",
        expect![[r#"
        ionroller release 1
        image.ports=[[80,8080]]
        image.repository="nginx"
        machine.ami="ami-0abcdef1234567890"
        machine.instance_type="t3.micro"
        network.security_groups=["sg-a"]
        network.subnets=["subnet-a"]
        version="1"
    "#]],
    );
}

#[test]
fn tcp_is_the_only_check_of_some_protocols_and_their_default() {
    for protocol in ["TLS", "UDP", "TCP_UDP", "TCP"] {
        let without = spec(&network(&format!("protocol = \"{protocol}\""))).digest;
        let with = |check: &str| {
            spec(&network(&format!("protocol = \"{protocol}\"\nhealth_check = {{ protocol = \"{check}\" }}"))).digest
        };
        assert_eq!(with("TCP"), without, "{protocol}");
        assert_ne!(with("HTTP"), without, "{protocol}");
    }
}

#[test]
fn what_shapes_machines_changes_the_digest() {
    let full = spec(FULL).digest.to_string();
    let mut seen = vec![full];
    for (from, to) in [
        ("2.7.1", "2.7.2"),
        ("rotate certificates", "rotate again"),
        ("redeploy = \"rotate certificates\"", ""),
        ("registry.example.com/checkout", "registry.example.com/cart"),
        ("7d865e", "8d865e"),
        ("container = 9000", "container = 9002"),
        ("host = 80,", "host = 83,"),
        ("\"-Dpidfile.path=/dev/null\", ", ""),
        ("/var/cache", "/var/other"),
        ("\"/cache\"", "\"/other\""),
        ("ami-0abcdef1234567890", "ami-0abcdef1234567891"),
        ("t3.small", "t3.large"),
        ("instance_profile = \"checkout\"", "instance_profile = \"other\""),
        ("key_name = \"team\"", "key_name = \"others\""),
        ("root_volume_gib = 20", "root_volume_gib = 21"),
        ("files/a.sh", "files/b.sh"),
        ("user_data = \"files/a.sh\"", ""),
        ("[env]", "ready = { command = \"true\" }\n[env]"),
        ("[env]", "ready = { command = \"false\" }\n[env]"),
        ("[env]", "ready = { http = \"http://localhost/\" }\n[env]"),
        ("[env]", "ready = { http = \"http://localhost/\", timeout = \"6m\" }\n[env]"),
        ("LOG_LEVEL", "LOG_LEVELS"),
        ("\"info\"", "\"debug\""),
        ("ssm:/checkout/db-password", "ssm:/checkout/db-password-2"),
        ("secretsmanager:stripe", "ssm:stripe"),
        ("subnet-b", "subnet-c"),
        ("sg-checkout", "sg-other"),
        ("port = 81", "port = 80"),
        ("\"HTTPS\"", "\"HTTP\""),
        ("/health\"", "/healthz\""),
        ("port = 82", "port = 83"),
        ("protocol = \"HTTP\"", "protocol = \"HTTPS\""),
        ("200-299", "200"),
    ] {
        let digest = with(FULL, from, to);
        assert!(!seen.contains(&digest), "{from} → {to} changes nothing, or what another change did");
        seen.push(digest);
    }
}

#[test]
fn golden_ready() {
    let ready = "ready = { http = \"http://127.0.0.1:9000/health\", timeout = \"90s\" }\n[env]\n";
    let text = FULL.split_once("[network]").unwrap().1;
    let (worker, _) = text.split_once("[load_balancer]").unwrap();
    let machine = "ami = \"ami-0abcdef1234567890\"\ninstance_type = \"t3.micro\"\ninstance_profile = \"checkout\"\n";
    check(
        &format!("version = \"1\"\n[machine]\n{machine}{ready}[network]{worker}"),
        "d5634d1a1d954278d4b551e2efe8072a9af2d80668609c931edb7d8eb9b9a15e",
        expect![[r#"
            ionroller release 1
            machine.ami="ami-0abcdef1234567890"
            machine.instance_profile="checkout"
            machine.instance_type="t3.micro"
            machine.ready.http="http://127.0.0.1:9000/health"
            machine.ready.timeout=90
            network.security_groups=["sg-checkout"]
            network.subnets=["subnet-a","subnet-b"]
            version="1"
        "#]],
    );
}

/// A time-out that is written out is the same as none.
#[test]
fn the_default_of_ready_leaves_the_digest() {
    let with = |more: &str| with(FULL, "[env]", &format!("ready = {{ command = \"true\"{more} }}\n[env]"));
    assert_eq!(with(""), with(", timeout = \"5m\""));
    assert_eq!(with(""), with(", timeout = \"300s\""));
}

#[test]
fn what_changes_in_place_leaves_the_digest() {
    let full = spec(FULL).digest.to_string();
    for (from, to) in [
        ("paused = \"incident 4711\"", ""),
        ("files/a.sh", "files/same.sh"),
        ("\"subnet-b\", \"subnet-a\"", "\"subnet-a\", \"subnet-b\""),
        ("min = 2", "min = 3"),
        ("max = 8", "max = 9"),
        ("target = 60", "target = 61"),
        ("listener/app/web/50dc/f2f7", "listener/app/web/50dc/aaaa"),
        ("priority = 120", "priority = 121"),
        ("checkout.example.com", "www.example.com"),
        ("11s\", timeout", "12s\", timeout"),
        ("6s\", healthy", "7s\", healthy"),
        ("healthy = 3", "healthy = 5"),
        ("unhealthy = 4", "unhealthy = 5"),
        ("40s", "41s"),
        ("[5, 100]", "[100]"),
        ("6m\"\nhealthy_deadline", "7m\"\nhealthy_deadline"),
        ("16m", "17m"),
        ("healthy_for = \"11s\"", "healthy_for = \"12s\""),
        ("unhealthy_for = \"3m\"", "unhealthy_for = \"4m\""),
        ("\"hold\"", "\"roll-back\""),
        ("61m", "62m"),
        ("records = 4", "records = 5"),
        ("payments", "others"),
    ] {
        assert_eq!(with(FULL, from, to), full, "{from} → {to}");
    }
}

#[test]
fn a_default_that_is_written_out_leaves_the_digest() {
    let least = spec(LEAST).digest.to_string();
    for (from, to) in [
        ("[image]", "[image]\ncommand = []\nvolumes = []"),
        ("[load_balancer]", "[load_balancer]\nport = 80"),
        ("[load_balancer]", "[load_balancer]\nprotocol = \"HTTP\""),
        ("[load_balancer]", "[load_balancer]\nhealth_check = {}"),
        ("[load_balancer]", "[load_balancer]\nhealth_check = { path = \"/\", matcher = \"200\" }"),
        ("[load_balancer]", "[load_balancer]\nhealth_check = { port = 80, protocol = \"HTTP\" }"),
        ("[load_balancer]", "[load_balancer]\nderegistration_delay = \"30s\"\nadopt = false"),
        ("[capacity]", "[env]\n[secrets]\n[tags]\n[rollout]\n[retention]\n[capacity]"),
        ("[\"subnet-a\"]", "[\"subnet-a\", \"subnet-a\"]"),
    ] {
        assert_eq!(with(LEAST, from, to), least, "{from} → {to}");
    }
}
