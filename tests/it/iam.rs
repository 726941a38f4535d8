//! The policies in docs/iam allow what the program calls, and nothing besides.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What AWS checks besides the call itself when a group is made from a launch template.
/// Source: Auto Scaling user guide, launch template permissions.
const FOR_LAUNCHES: &[&str] = &["ec2:RunInstances", "iam:PassRole", "iam:CreateServiceLinkedRole"];

/// What the adapter can do and nothing asks it to: the tags of a target group and of a rule
/// are those it was made with. The wire tests would be refused if that changed.
const NEVER_ASKED: &str = "elasticloadbalancing:RemoveTags";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn policy(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("docs/iam").join(name)).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().map(|text| text.as_str().unwrap()).collect(),
        other => panic!("neither text nor a list: {other}"),
    }
}

fn statements(policy: &Value) -> &Vec<Value> {
    assert_eq!(policy["Version"], "2012-10-17");
    policy["Statement"].as_array().unwrap()
}

fn actions(policy: &Value) -> BTreeSet<String> {
    statements(policy).iter().flat_map(|statement| texts(&statement["Action"])).map(ToOwned::to_owned).collect()
}

/// The IAM actions of the calls in some sources of the AWS adapter: each call names its
/// bucket, which tells the service, and its operation, as text or as a constant above it.
fn called(files: &[&str]) -> BTreeSet<String> {
    let folder = root().join("src/cloud/aws");
    let mut called = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let mut before = String::new();
        for (number, piece) in text.split("self.call(").enumerate() {
            if number > 0 {
                let place = format!("{file}, call {number}");
                let mut words = piece.split(',').map(str::trim);
                let service = match words.next().and_then(|bucket| bucket.strip_prefix("Bucket::")) {
                    Some("Asg") => "autoscaling",
                    Some("ElbRead" | "ElbWrite") => "elasticloadbalancing",
                    Some("Ec2Read" | "Ec2Write") => "ec2",
                    other => panic!("{place}: {other:?} is no bucket that this test knows"),
                };
                let word = words.next().unwrap();
                let operation = match word.strip_prefix('"') {
                    Some(literal) => literal.trim_end_matches('"').to_owned(),
                    None => constant(&before, word).unwrap_or_else(|| panic!("{place}: what is {word}?")),
                };
                called.insert(format!("{service}:{operation}"));
            }
            before.push_str(piece);
        }
        if text.contains("self.sts.get_caller_identity()") {
            called.insert("sts:GetCallerIdentity".to_owned());
        }
    }
    called
}

/// The value of the nearest constant of that name above.
fn constant(before: &str, name: &str) -> Option<String> {
    let (_, after) = before.rsplit_once(&format!("const {name}: &str = \""))?;
    Some(after.split('"').next()?.to_owned())
}

fn adapter_files() -> Vec<String> {
    let files = fs::read_dir(root().join("src/cloud/aws")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| Path::new(name).extension().is_some_and(|it| it == "rs") && !name.contains("tests")).collect()
}

#[test]
fn the_daemon_may_do_what_it_calls() {
    let files = adapter_files();
    let mut needed = called(&files.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(needed.len() > 25, "the sources were not understood: {needed:?}");
    needed.extend(FOR_LAUNCHES.iter().map(|action| (*action).to_owned()));
    assert!(needed.remove(NEVER_ASKED), "the adapter can't do it any more");
    assert_eq!(actions(&policy("daemon.json")), needed);
}

/// The most characters that the inline policies of one role may have, white space aside.
/// Source: IAM user guide, quotas.
const INLINE_MAX: usize = 10_240;

#[test]
fn the_daemons_policy_fits_its_role() {
    let text = fs::read_to_string(root().join("docs/iam/daemon.json")).unwrap();
    let size = text.chars().filter(|c| !c.is_whitespace()).count();
    assert!(size < INLINE_MAX * 9 / 10, "{size}");
}

/// A plan reads; what only a creation asks for is not in its policy.
#[test]
fn a_plan_may_only_read() {
    let allowed = actions(&policy("plan.json"));
    assert_eq!(allowed, called(&["connect.rs", "prerequisites.rs", "reader.rs"]));
    let reads = |action: &String| action.contains(":Describe") || action == "sts:GetCallerIdentity";
    assert!(allowed.iter().all(reads), "{allowed:?}");
}

/// Each statement that lets something be changed says whose: by the scope's tag, or by name.
#[test]
fn nothing_of_others_may_be_changed() {
    const SCOPE: &str = "ionroller:scope";
    for statement in statements(&policy("daemon.json")) {
        let sid = statement["Sid"].as_str().unwrap();
        if sid == "Read" {
            assert!(
                texts(&statement["Action"])
                    .iter()
                    .all(|action| action.contains(":Describe") || action.starts_with("sts:"))
            );
            continue;
        }
        let condition = statement["Condition"]["StringEquals"].to_string();
        let tagged = condition.contains(&format!("aws:ResourceTag/{SCOPE}"))
            || condition.contains(&format!("aws:RequestTag/{SCOPE}"));
        let named = match sid {
            // New machines carry the tags of their template, which is the scope's own.
            "LaunchFromTemplates" => statement["Condition"]["ArnLike"]["ec2:LaunchTemplate"].is_string(),
            "TagNewMachines" => condition.contains("\"ec2:CreateAction\":\"RunInstances\""),
            "PassInstanceRoles" => condition.contains("ec2.amazonaws.com"),
            "FirstGroupOfAnAccount" => condition.contains("autoscaling.amazonaws.com"),
            "DefaultActionsOfTheseListeners" | "TakeOverRulesOfTheseListeners" => {
                texts(&statement["Resource"]).iter().all(|arn| arn.contains("/web/0123456789abcdef/0123456789abcdef"))
            }
            _ => false,
        };
        assert!(tagged || named, "{sid} is open to everything");
    }
}

/// The commands of the boot script, as IAM knows them.
#[test]
fn machines_may_do_what_their_boot_script_calls() {
    let allowed = actions(&policy("instance-role.json"));
    let read = |path: &str| fs::read_to_string(root().join("src/desired").join(path)).unwrap();
    let script = read("boot.rs") + &read("boot/ready.sh");
    let commands = [
        ("aws autoscaling describe-auto-scaling-instances", "autoscaling:DescribeAutoScalingInstances"),
        ("aws autoscaling complete-lifecycle-action", "autoscaling:CompleteLifecycleAction"),
        ("aws ecr get-login-password", "ecr:GetAuthorizationToken"),
        ("aws ssm get-parameter ", "ssm:GetParameter"),
        ("aws secretsmanager get-secret-value", "secretsmanager:GetSecretValue"),
    ];
    let known = commands.iter().map(|(command, _)| script.matches(command).count()).sum::<usize>();
    let all = ["aws autoscaling ", "aws ecr ", "aws ssm ", "aws secretsmanager ", "aws s3 ", "aws ec2 "];
    assert_eq!(known, all.iter().map(|command| script.matches(command).count()).sum::<usize>());
    for (command, action) in commands {
        assert!(script.contains(command) && allowed.contains(action), "{command}: {action}");
    }
}
