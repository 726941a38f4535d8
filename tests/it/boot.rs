//! Boot scripts, run for real in a scratch folder: stand-ins for docker, aws, dnf,
//! systemctl and curl note what they were asked.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::desired::load;
use ionroller::desired::spec::{ServiceFile, ServiceSpec};
use ionroller::names::ServiceName;

const SCOPE: &str = "scope = \"test\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n";

/// What every service needs and no test here is about.
const REST: &str = r#"
[network]
subnets = ["subnet-a"]
security_groups = ["sg-a"]
[capacity]
min = 1
[load_balancer]
listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7"
rule = { priority = 1, paths = ["/*"] }
port = 80
"#;

const IMAGE: &str = r#"
[image]
repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/shop"
digest = "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"
ports = [{ host = 80, container = 9000 }]
"#;

/// What follows it belongs to `[machine]`.
const READY: &str = "\n# machine\n";

const SECRETS: &str = r#"
[secrets]
DB_PASSWORD = "ssm:/shop/db-password"
STRIPE_KEY = "secretsmanager:shop/stripe"
"#;

/// Everything that a shell, docker or systemd might take for its own.
const NASTY: &str = r#"it's "$(touch pwned)" `touch pwned` $HOME ${x} %n %% \ \\ ünïcode; & # =x  "#;

fn spec(service: &str, script: Option<&str>) -> ServiceSpec {
    let mut files = ConfigFiles::default();
    let mut put = |path: &str, text: &str| files.files.insert(path.into(), FileContent::Bytes(text.into()));
    put("ionroller.toml", SCOPE);
    let user_data = script.map(|_| "user_data = \"files/user\"\n").unwrap_or_default();
    let (service, ready) = service.split_once(READY).unwrap_or((service, ""));
    let machine = format!(
        "[machine]\nami = \"ami-0abcdef1234567890\"\ninstance_type = \"t3.small\"\ninstance_profile = \"shop\"\n\
         {user_data}{ready}"
    );
    put("services/shop.toml", &format!("version = \"1.2.3\"\n{service}\n{machine}{REST}"));
    if let Some(script) = script {
        put("files/user", script);
    }
    let desired = load(&files, None);
    match &desired.services[&ServiceName::parse("shop").unwrap()] {
        ServiceFile::Valid(spec) => (**spec).clone(),
        ServiceFile::Broken => panic!("{:#?}", desired.diagnostics),
    }
}

/// A scratch root with stand-ins on the path, and nothing else of this machine but the
/// plain tools.
struct Machine {
    root: tempfile::TempDir,
}

const STAND_INS: &[(&str, &str)] = &[
    (
        "docker",
        r#"case "$1" in
  image) exit 1 ;;
  login) cat >"$TEST_ROOT/password" ;;
esac"#,
    ),
    (
        "aws",
        r#"case "$*" in
  *get-login-password*) echo the-ecr-password ;;
  *"--name /shop/db-password"*) cat "$TEST_ROOT/db-password" ;;
  *"--secret-id shop/stripe"*) cat "$TEST_ROOT/stripe" ;;
  *describe-auto-scaling-instances*) cat "$TEST_ROOT/member" ;;
  *complete-lifecycle-action*)
    if [ -s "$TEST_ROOT/refusals" ]; then
      head -n 1 "$TEST_ROOT/refusals" >&2
      sed -i 1d "$TEST_ROOT/refusals"
      exit 254
    fi
    echo "Terminating web-abc" >"$TEST_ROOT/member"
    if [[ "$*" == *CONTINUE* ]]; then echo "InService web-abc" >"$TEST_ROOT/member"; fi ;;
  *) echo "no such secret" >&2; exit 254 ;;
esac"#,
    ),
    ("dnf", ""),
    // Time passes by sleeping alone.
    (
        "sleep",
        r#"read -r up _ <"$TEST_ROOT/proc/uptime"
echo "$((${up%.*} + $1)).5 0.0" >"$TEST_ROOT/proc/uptime"
if [ -e "$TEST_ROOT/later" ]; then . "$TEST_ROOT/later"; fi"#,
    ),
    (
        "curl",
        r#"case "$*" in
  *api/token*) echo -n the-imds-token ;;
  *placement/region*) grep -q "X-aws-ec2-metadata-token: the-imds-token" && echo -n ap-south-1 ;;
  *meta-data/instance-id*) grep -q "X-aws-ec2-metadata-token: the-imds-token" && cat "$TEST_ROOT/instance-id" ;;
  *127.0.0.1:9000*)
    echo asked >>"$TEST_ROOT/asked"
    read -r up _ <"$TEST_ROOT/proc/uptime"
    read -r good <"$TEST_ROOT/good"
    if [ "${up%.*}" -ge "$good" ]; then echo -n 204; else echo -n 503; fi ;;
esac"#,
    ),
    (
        "systemctl",
        // What systemd does with a unit that starts: here only with our own scripts.
        r#"if [ "$1" = is-system-running ]; then cat "$TEST_ROOT/system"; exit; fi
unit="$IONROLLER_BOOT_ROOT/etc/systemd/system/${!#}"
if [ "$1 $2" = "enable --now" ] && [ -e "$unit" ]; then
  sed -n 's|^ExecStart\(Pre\)\?=\(/usr/local/.*\)$|\2|p' "$unit" | while read -r script; do
    "$IONROLLER_BOOT_ROOT$script" || exit
  done
fi"#,
    ),
];

const PLAIN_TOOLS: &[&str] = &[
    "bash", "cat", "chmod", "find", "grep", "head", "id", "install", "mkdir", "mv", "rm", "sed", "sh", "timeout",
    "touch",
];

impl Machine {
    fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir(machine.path("bin")).unwrap();
        for tool in PLAIN_TOOLS {
            let found =
                ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
            std::os::unix::fs::symlink(found.unwrap(), machine.path("bin").join(tool)).unwrap();
        }
        for (name, body) in STAND_INS {
            machine.stand_in(name, body);
        }
        machine.put("system", "starting\n");
        std::fs::create_dir(machine.path("proc")).unwrap();
        machine.put("proc/uptime", "20.25 10.00\n");
        machine.put("instance-id", "i-1");
        machine.put("member", "Pending:Wait web-abc\n");
        machine.put("db-password", "hunter2 \\ % $HOME 'quoted'");
        machine.put("stripe", "sk_live_abc");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    fn stand_in(&self, name: &str, body: &str) {
        let script = format!("#!/bin/bash\necho \"{name} $*\" >>\"$TEST_ROOT/calls\"\n{body}\n");
        let path = self.path("bin").join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a boot script; answers whether it succeeded and all that it printed.
    fn boot(&self, spec: &ServiceSpec) -> (bool, String) {
        self.put("boot", &spec.user_data);
        let output = Command::new("/bin/bash")
            .arg(self.path("boot"))
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TEST_ROOT", self.root.path())
            .env("IONROLLER_BOOT_ROOT", self.root.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!self.path("pwned").exists(), "a value was executed: {printed}");
        (output.status.success(), printed)
    }

    fn boots(&self, spec: &ServiceSpec) -> String {
        let (success, printed) = self.boot(spec);
        assert!(success, "{printed}\n{}", spec.user_data);
        printed
    }

    /// What the stand-ins were asked, one call a line.
    fn calls(&self) -> String {
        std::fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// The arguments of `ExecStart=`, as systemd would take them apart.
    fn started(&self) -> Vec<String> {
        let unit = self.read("etc/systemd/system/ionroller-app.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        arguments(line)
    }
}

/// systemd's quoting, read back: double quotes, backslashes, `%%` and `$$`.
fn arguments(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = line.chars();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let word = words.last_mut().unwrap();
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            '\\' => match chars.next().unwrap() {
                'n' => word.push('\n'),
                't' => word.push('\t'),
                'x' => {
                    let code: String = chars.by_ref().take(2).collect();
                    word.push(char::from(u8::from_str_radix(&code, 16).unwrap()));
                }
                other => word.push(other),
            },
            '%' | '$' => {
                assert_eq!(chars.next(), Some(c), "a bare {c} in {line}");
                word.push(c);
            }
            c => word.push(c),
        }
    }
    words
}

fn toml(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn a_container_is_pulled_and_started() {
    let machine = Machine::new();
    let script = "#!/bin/bash\necho the user speaks\n";
    let printed =
        machine.boots(&spec(&format!("{IMAGE}command = [\"-x\"]\n[env]\nLOG_LEVEL = \"info\"{SECRETS}"), Some(script)));

    assert_eq!(printed, "the user speaks\n");
    let image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/shop\
                 @sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730";
    let started = [
        "/usr/bin/docker",
        "run",
        "--name",
        "ionroller-app",
        "--log-driver",
        "local",
        "--env-file",
        "/run/ionroller/env",
        "--publish",
        "80:9000",
        image,
        "-x",
    ];
    assert_eq!(machine.started(), started);
    let calls = machine.calls();
    assert!(!calls.contains("dnf"), "docker is there: {calls}");
    assert!(calls.contains("aws ecr get-login-password --region eu-central-1\n"), "{calls}");
    assert!(
        calls
            .contains("docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-central-1.amazonaws.com\n"),
        "{calls}"
    );
    assert!(calls.contains(&format!("docker pull --quiet {image}\n")), "{calls}");
    assert!(calls.contains("systemctl enable --now ionroller-app.service\n"), "{calls}");
    assert!(calls.contains("--region ap-south-1"), "the region of the machine: {calls}");
    assert_eq!(machine.read("password"), "the-ecr-password\n");
}

#[test]
fn docker_is_installed_where_it_is_missing() {
    let machine = Machine::new();
    std::fs::rename(machine.path("bin/docker"), machine.path("bin/later")).unwrap();
    machine.stand_in("dnf", r#"case "$*" in *docker*) mv "$TEST_ROOT/bin/later" "$TEST_ROOT/bin/docker" ;; esac"#);
    machine.boots(&spec(IMAGE, None));
    assert!(machine.calls().starts_with("dnf install --assumeyes docker\n"), "{}", machine.calls());
}

#[test]
fn secrets_are_seen_by_root_alone() {
    let machine = Machine::new();
    let printed = machine.boots(&spec(&format!("{IMAGE}{SECRETS}"), None));

    assert_eq!(machine.read("run/ionroller/env"), "DB_PASSWORD=hunter2 \\ % $HOME 'quoted'\nSTRIPE_KEY=sk_live_abc\n");
    assert_eq!(machine.mode("run/ionroller/env"), 0o600);
    assert_eq!(machine.mode("run/ionroller"), 0o700);
    assert_eq!(machine.mode("usr/local/lib/ionroller/environment"), 0o700);
    for secret in ["hunter2", "sk_live_abc", "the-ecr-password", "the-imds-token"] {
        assert!(!printed.contains(secret), "{secret} was printed: {printed}");
        assert!(!machine.calls().contains(secret), "{secret} was an argument: {}", machine.calls());
    }
}

#[test]
fn a_secret_of_several_lines_fails_loudly_in_a_container() {
    let machine = Machine::new();
    machine.put("db-password", "first\nLD_PRELOAD=second");
    let (success, printed) = machine.boot(&spec(&format!("{IMAGE}{SECRETS}"), None));
    assert!(!success);
    assert!(printed.contains("the value of DB_PASSWORD has several lines"), "{printed}");
    assert!(!printed.contains("second"), "{printed}");
    assert!(!machine.path("run/ionroller/env").exists());
    assert!(machine.calls().contains("systemctl disable --now ionroller-app.service"), "{}", machine.calls());
}

#[test]
fn a_secret_that_is_missing_fails_loudly() {
    let machine = Machine::new();
    let (success, printed) = machine.boot(&spec("[secrets]\nKEY = \"ssm:/gone\"", Some("echo never")));
    assert!(!success);
    assert!(printed.contains("ionroller: no value for KEY"), "{printed}");
    assert!(!printed.contains("never"), "{printed}");
    assert_eq!(machine.calls().matches("/gone").count(), 5);
}

#[test]
fn nasty_values_arrive_as_they_are_in_a_container() {
    let machine = Machine::new();
    let nasty = toml(NASTY);
    let lines = toml("a\nb\tc\u{7}");
    let volumes = r#"volumes = [{ host = "/a b/%n/$x", container = "/\"q\"" }]"#;
    machine
        .boots(&spec(&format!("{IMAGE}command = [{nasty}, {lines}, \"\"]\n{volumes}\n[env]\nNASTY = {nasty}"), None));
    assert_eq!(machine.read("run/ionroller/env"), format!("NASTY={NASTY}\n"));
    let started = machine.started();
    assert_eq!(started[started.len() - 3..], [NASTY, "a\nb\tc\u{7}", ""]);
    assert!(started.contains(&"/a b/%n/$x:/\"q\"".to_owned()), "{started:?}");
}

#[test]
fn a_baked_machine_gets_its_environment() {
    let machine = Machine::new();
    let several_lines = "-----BEGIN KEY-----\n\"a\" \\ `b` $c\n-----END KEY-----";
    machine.put("db-password", several_lines);
    let script = "printf '%s|%s' \"$NASTY\" \"$DB_PASSWORD\" >seen\n[ -z \"$(id --unknown 2>&1)\" ]\ntouch survived\n";
    let service = format!("[env]\nNASTY = {}\nROOT = \"not ours\"{SECRETS}", toml(NASTY));
    let (success, printed) = machine.boot(&spec(&service, Some(script)));

    assert!(!success, "a script without #! stops at its first failure: {printed}");
    assert!(!machine.path("survived").exists());
    assert_eq!(machine.read("seen"), format!("{NASTY}|{several_lines}"));
    assert_eq!(machine.mode("run/ionroller/env"), 0o600);
    assert!(machine.calls().contains("systemctl enable --now ionroller-environment.service"), "{}", machine.calls());
    assert!(!machine.calls().contains("docker"), "{}", machine.calls());
}

#[test]
fn a_baked_machine_without_anything_boots() {
    let machine = Machine::new();
    assert_eq!(machine.boots(&spec("", None)), "");
    assert_eq!(machine.calls(), "");
}

#[test]
fn the_users_script_chooses_its_interpreter() {
    let machine = Machine::new();
    let script = "#!/bin/cat\nIONROLLER_END\nthis is (no shell \\ $x\n";
    assert_eq!(machine.boots(&spec("", Some(script))), script);
    assert_eq!(machine.read("usr/local/lib/ionroller/user-data"), script);
}

const POWEROFF: &str = "systemctl --no-block poweroff\n";

/// Each step that can fail, with the stand-in that makes it fail.
#[test]
fn a_machine_that_cannot_be_set_up_is_powered_off() {
    let secrets = format!("{IMAGE}{SECRETS}");
    let failures = [
        ("docker can't be installed", IMAGE, ("dnf", "exit 1"), None),
        ("docker doesn't start", IMAGE, ("systemctl", r#"[ "$*" != "enable --now docker.service" ]"#), None),
        ("the registry refuses", IMAGE, ("docker", r#"[ "$1" != image ] && [ "$1" != login ]"#), None),
        ("the image doesn't exist", IMAGE, ("docker", "exit 1"), None),
        ("a secret can't be read", &secrets, ("curl", "exit 22"), None),
        ("the user's script fails", IMAGE, ("true", ""), Some("exit 3\n")),
        ("the user's program fails", "", ("true", ""), Some("#!/bin/sh\nexit 3\n")),
    ];
    for (name, service, (tool, body), script) in failures {
        let machine = Machine::new();
        if tool == "dnf" {
            std::fs::remove_file(machine.path("bin/docker")).unwrap();
        }
        machine.stand_in(tool, body);
        let (success, printed) = machine.boot(&spec(service, script));
        assert!(!success, "{name}");
        assert_eq!(machine.calls().matches(POWEROFF).count(), 1, "{name}: {}", machine.calls());
        assert!(printed.contains("ionroller: the boot script failed at line "), "{name}: {printed}");
        assert!(printed.contains("this machine is powered off, and its group replaces it"), "{name}: {printed}");
    }
}

#[test]
fn a_machine_that_is_set_up_stays_on() {
    let machine = Machine::new();
    machine.boots(&spec(&format!("{IMAGE}{SECRETS}"), Some("true\n")));
    assert!(!machine.calls().contains("poweroff"), "{}", machine.calls());
}

/// A user's script may end with a reboot, which kills the boot script.
#[test]
fn a_reboot_does_not_become_a_power_off() {
    let machine = Machine::new();
    machine.put("system", "stopping\n");
    let (success, _) = machine.boot(&spec(IMAGE, Some("kill $$\n")));
    assert!(!success);
    assert!(!machine.calls().contains("poweroff"), "{}", machine.calls());
}

impl Machine {
    /// What systemd does when the container has ended.
    fn ends(&self, result: &str) -> bool {
        let before = self.calls().len();
        let run = Command::new(self.path("usr/local/lib/ionroller/ended"))
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TEST_ROOT", self.root.path())
            .env("IONROLLER_BOOT_ROOT", self.root.path())
            .env("SERVICE_RESULT", result)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        self.calls()[before..].contains(POWEROFF)
    }

    /// The container started so long ago.
    fn started_ago(&self, minutes: u64) {
        std::fs::create_dir_all(self.path("var/lib/ionroller")).unwrap();
        let file = std::fs::File::create(self.path("var/lib/ionroller/started")).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60 * minutes)).unwrap();
    }

    fn runs_a_container() -> Self {
        let machine = Self::new();
        // Left over in an image that was taken of a running machine.
        machine.started_ago(600);
        machine.boots(&spec(IMAGE, None));
        let unit = machine.read("etc/systemd/system/ionroller-app.service");
        assert!(unit.contains("\nExecStopPost=/usr/local/lib/ionroller/ended\n"), "{unit}");
        machine
    }
}

#[test]
fn a_new_machine_in_a_crash_loop_is_powered_off() {
    let machine = Machine::runs_a_container();
    std::fs::create_dir(machine.path("dev")).unwrap();
    machine.put("dev/console", "");
    for _ in 0..4 {
        machine.started_ago(1);
        assert!(!machine.ends("exit-code"), "{}", machine.calls());
    }
    // Also when it doesn't get as far as its container.
    assert!(machine.ends("exit-code"), "{}", machine.calls());
    let console = machine.read("dev/console");
    assert!(console.starts_with("ionroller: the container failed 5 times and never ran for five minutes"), "{console}");
}

#[test]
fn a_container_that_ends_well_or_is_stopped_is_no_crash() {
    let machine = Machine::runs_a_container();
    for _ in 0..20 {
        machine.started_ago(1);
        assert!(!machine.ends("success"), "{}", machine.calls());
    }
}

#[test]
fn a_machine_that_has_served_is_never_powered_off() {
    let machine = Machine::runs_a_container();
    machine.started_ago(6);
    for _ in 0..20 {
        assert!(!machine.ends("exit-code"), "{}", machine.calls());
        machine.started_ago(0);
    }
}

#[test]
fn a_crash_in_a_reboot_does_not_power_off() {
    let machine = Machine::runs_a_container();
    machine.put("system", "stopping\n");
    for _ in 0..9 {
        assert!(!machine.ends("signal"), "{}", machine.calls());
    }
}

/// A service that is ready when it answers, five minutes after its machine's start at the latest.
fn answers() -> ServiceSpec {
    spec(&format!("{IMAGE}{READY}ready = {{ http = \"http://127.0.0.1:9000/health\" }}\n"), Some("true\n"))
}

impl Machine {
    /// It answers from so many seconds after its start.
    fn answering_from(seconds: u32) -> Self {
        let machine = Self::new();
        machine.put("good", &format!("{seconds}\n"));
        machine
    }

    /// What its group was told, in this order.
    fn told(&self) -> Vec<String> {
        let calls = self.calls();
        let told = calls.lines().filter(|call| call.contains("complete-lifecycle-action"));
        told.map(|call| call.rsplit_once(' ').unwrap().1.to_owned()).collect()
    }

    /// The machine starts again.
    fn starts_again(&self) -> bool {
        self.put("proc/uptime", "20.25 10.00\n");
        let run = Command::new(self.path("usr/local/lib/ionroller/ready"))
            .arg("again")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TEST_ROOT", self.root.path())
            .env("IONROLLER_BOOT_ROOT", self.root.path())
            .output()
            .unwrap();
        run.status.success()
    }
}

#[test]
fn a_machine_that_is_ready_tells_its_group() {
    for (from, asked) in [(0, 1), (200, 37)] {
        let machine = Machine::answering_from(from);
        let printed = machine.boots(&answers());
        assert_eq!(machine.read("asked").lines().count(), asked, "{printed}");
        let calls = machine.calls();
        assert!(
            calls.contains("aws autoscaling describe-auto-scaling-instances --region ap-south-1 --instance-ids i-1 "),
            "{calls}"
        );
        let complete = "aws autoscaling complete-lifecycle-action --region ap-south-1 --instance-id i-1 \
                        --auto-scaling-group-name web-abc --lifecycle-hook-name ionroller-ready \
                        --lifecycle-action-result CONTINUE\n";
        assert_eq!(calls.matches(complete).count(), 1, "{calls}");
        assert_eq!(machine.told(), ["CONTINUE"]);
        let started = calls.find("systemctl enable --now ionroller-app.service").unwrap();
        assert!(started < calls.find("127.0.0.1:9000/health").unwrap(), "{calls}");
        assert!(!calls.contains("poweroff"), "{calls}");
    }
}

/// The power-off and the word to its group say the same.
#[test]
fn a_machine_that_never_gets_ready_is_given_up_and_powered_off() {
    let machine = Machine::answering_from(100_000);
    let (success, printed) = machine.boot(&answers());
    assert!(!success);
    assert!(printed.contains("ionroller: not ready within 300 s of its start: it answered 503"), "{printed}");
    assert_eq!(machine.told(), ["ABANDON"]);
    assert_eq!(machine.calls().matches(POWEROFF).count(), 1, "{}", machine.calls());
    // From its start, not from that of the script.
    assert_eq!(machine.read("asked").lines().count(), 57, "every 5 s from 20 s to 300 s");
}

#[test]
fn a_machine_that_cannot_be_set_up_is_given_up_at_once() {
    let machine = Machine::answering_from(0);
    machine.stand_in("docker", "exit 1");
    let (success, printed) = machine.boot(&answers());
    assert!(!success, "{printed}");
    assert_eq!(machine.told(), ["ABANDON"]);
    assert_eq!(machine.calls().matches(POWEROFF).count(), 1);

    // Its container fails again and again, while the boot script waits.
    let machine = Machine::answering_from(0);
    machine.boots(&answers());
    machine.put("member", "Pending:Wait web-abc\n");
    for _ in 0..5 {
        machine.started_ago(1);
        machine.ends("exit-code");
    }
    assert_eq!(machine.told(), ["CONTINUE", "ABANDON"]);
}

#[test]
fn what_its_group_was_not_told_is_told_again() {
    let machine = Machine::answering_from(0);
    machine.put("refusals", "Rate exceeded\nCould not connect to the endpoint URL\n");
    let printed = machine.boots(&answers());
    assert_eq!(machine.told(), ["CONTINUE"; 3], "{printed}");
    assert!(printed.contains("try 1 of 60 to say CONTINUE failed: Rate exceeded"), "{printed}");

    // It was told, and the answer was lost; another hook holds the machine.
    let machine = Machine::answering_from(0);
    machine.put("refusals", "An error occurred (ValidationError): No active Lifecycle Action found with instance ID\n");
    machine.boots(&answers());
    assert_eq!(machine.told(), ["CONTINUE"]);

    // Nobody lets it: it does not pass for a good one.
    let machine = Machine::answering_from(0);
    machine.put("refusals", &"AccessDenied\n".repeat(100));
    let (success, printed) = machine.boot(&answers());
    assert!(!success);
    assert!(printed.contains("the hook ionroller-ready could not be told CONTINUE"), "{printed}");
    assert_eq!(machine.calls().matches(POWEROFF).count(), 1);
}

/// The wait may begin after the application answers.
#[test]
fn a_machine_that_is_ready_before_its_group_waits_tells_it_then() {
    let machine = Machine::answering_from(0);
    machine.put("member", "Pending web-abc\n");
    machine.put("later", "if [ \"${up%.*}\" -ge 40 ]; then echo 'Pending:Wait web-abc' >\"$TEST_ROOT/member\"; fi\n");
    machine.boots(&answers());
    assert_eq!(machine.told(), ["CONTINUE"]);
}

#[test]
fn a_machine_that_nobody_waits_for_does_not_hang() {
    // `None` is what the AWS CLI prints for a machine in no group.
    for member in ["None\n", "InService web-abc\n", "Standby web-abc\n", "Warmed:Stopped web-abc\n"] {
        let machine = Machine::answering_from(0);
        machine.put("member", member);
        let printed = machine.boots(&answers());
        assert_eq!((machine.told(), printed.as_str()), (Vec::new(), ""), "{member}");
    }
}

/// Out of a warm pool, or after a reboot in its boot script.
#[test]
fn a_machine_that_starts_again_says_that_it_is_ready_again() {
    let machine = Machine::answering_from(0);
    machine.put("member", "Warmed:Pending:Wait web-abc\n");
    machine.boots(&answers());
    assert!(machine.calls().contains("systemctl enable ionroller-ready.service\n"), "{}", machine.calls());
    assert!(!machine.calls().contains("--now ionroller-ready"), "{}", machine.calls());
    machine.put("member", "Pending:Wait web-abc\n");
    assert!(machine.starts_again());
    assert_eq!(machine.told(), ["CONTINUE"; 2]);
    // Long in service: nobody waits, and it stays whatever it answers.
    assert!(machine.starts_again());
    machine.put("good", "100000\n");
    assert!(!machine.starts_again());
    assert_eq!(machine.told(), ["CONTINUE"; 2]);
    assert!(!machine.calls().contains("poweroff"), "{}", machine.calls());
    machine.put("member", "Pending:Wait web-abc\n");
    assert!(!machine.starts_again());
    assert_eq!(machine.told(), ["CONTINUE", "CONTINUE", "ABANDON"]);
    // A machine from an image of it has a boot script of its own.
    machine.put("instance-id", "i-2");
    machine.put("good", "0\n");
    machine.put("member", "Pending:Wait web-abc\n");
    assert!(machine.starts_again());
    assert_eq!(machine.told().len(), 3);
}

/// A user's script may end with a reboot, which kills the boot script before it has asked.
#[test]
fn a_machine_that_reboots_in_its_boot_says_it_afterwards() {
    let machine = Machine::answering_from(0);
    let service = format!("{IMAGE}{READY}ready = {{ http = \"http://127.0.0.1:9000/health\" }}\n");
    machine.put("system", "stopping\n");
    machine.boot(&spec(&service, Some("kill $$\n")));
    assert_eq!(machine.told(), Vec::<String>::new());
    assert!(machine.starts_again());
    assert_eq!(machine.told(), ["CONTINUE"]);
}

#[test]
fn a_command_says_that_a_machine_is_ready() {
    let service =
        |command: &str| format!("{IMAGE}{READY}ready = {{ command = {}, timeout = \"1m\" }}\n", toml(command));
    let machine = Machine::new();
    let command = format!("test \"$(cat \"$IONROLLER_BOOT_ROOT/state\")\" = {}", "'it'\\''s up'");
    machine.put("state", "it's up");
    machine.boots(&spec(&service(&command), None));
    assert_eq!(machine.told(), ["CONTINUE"]);

    let machine = Machine::new();
    let (success, printed) = machine.boot(&spec(&service("echo the queue is away; false"), None));
    assert!(!success);
    assert!(printed.contains("ionroller: not ready within 60 s of its start: the queue is away"), "{printed}");
    assert_eq!(machine.told(), ["ABANDON"]);
}

/// All scripts and units that a set of services gives, by a name for messages.
fn texts(suffix: &str) -> Vec<(String, String)> {
    let nasty = toml(NASTY);
    let services = [
        ("full", format!("{IMAGE}command = [{nasty}]\n[env]\nNASTY = {nasty}{SECRETS}")),
        ("public", "[image]\nrepository = \"nginx\"\n".to_owned()),
        ("baked", format!("[env]\nNASTY = {nasty}{SECRETS}")),
        ("bare", String::new()),
        ("ready", format!("{IMAGE}{READY}ready = {{ command = {nasty} }}\n")),
        ("answers", format!("{IMAGE}{READY}ready = {{ http = \"http://127.0.0.1:9000/it's?$x\" }}\n")),
    ];
    let mut texts = Vec::new();
    for (name, service) in services {
        let machine = Machine::new();
        machine.put("member", "InService web-abc\n");
        machine.put("good", "0\n");
        let spec = spec(&service, Some("#!/bin/sh\ntrue\n"));
        // A nasty command is never good.
        let (booted, printed) = machine.boot(&spec);
        assert_eq!(booted, name != "ready", "{name}: {printed}");
        if suffix.is_empty() {
            texts.push((name.to_owned(), spec.user_data.clone()));
        }
        for folder in ["usr/local/lib/ionroller", "etc/systemd/system"] {
            let Ok(entries) = std::fs::read_dir(machine.path(folder)) else { continue };
            for entry in entries {
                let file = entry.unwrap().file_name().into_string().unwrap();
                let unit = file.ends_with(".service");
                if unit == (suffix == ".service") {
                    texts.push((format!("{name}-{file}"), machine.read(&format!("{folder}/{file}"))));
                }
            }
        }
    }
    texts
}

/// Runs a tool; skips the test where the tool is missing, except in CI.
fn tool(name: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let child =
        Command::new(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{name} is needed here: {error}");
            println!("skipped: {name} is not installed");
            return None;
        }
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    write!(printed, "{}", String::from_utf8_lossy(&output.stderr)).unwrap();
    Some((output.status.success(), printed))
}

#[test]
fn shells_and_shellcheck_accept_the_scripts() {
    for (name, script) in texts("") {
        let (valid, printed) = tool("/bin/bash", &["-n"], &script).unwrap();
        assert!(valid, "{name}: {printed}");
        // Literals in single quotes, with dollars in them, are the point.
        if let Some((valid, printed)) = tool("shellcheck", &["--shell=bash", "--exclude=SC2016", "-"], &script) {
            assert!(valid, "{name}: {printed}\n{script}");
        }
    }
}

#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    // What the machine would have and this one may lack.
    std::fs::write(folder.path().join("docker.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
    for (name, unit) in texts(".service") {
        let unit = unit.replace("/usr/bin/docker ", "/bin/true ");
        let unit = ["ended", "environment", "pull", "ready"]
            .iter()
            .fold(unit, |unit, script| unit.replace(&format!("/usr/local/lib/ionroller/{script}"), "/bin/true"));
        let path = folder.path().join(&name);
        std::fs::write(&path, &unit).unwrap();
        let path = path.to_str().unwrap();
        let docker = folder.path().join("docker.service");
        let arguments = ["verify", "--man=no", path, docker.to_str().unwrap()];
        let Some((valid, printed)) = tool("systemd-analyze", &arguments, "") else { return };
        assert!(valid, "{name}: {printed}\n{unit}");
        let about_ours: Vec<&str> = printed.lines().filter(|line| line.contains(&name)).collect();
        assert!(about_ours.is_empty(), "{name}: {about_ours:?}\n{unit}");
    }
}
