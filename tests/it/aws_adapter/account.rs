//! Whose credentials, and where they come from.

use ionroller::cloud::aws::{AwsCloud, Connection};
use ionroller::cloud::{CloudReader as _, ErrorKind};

use crate::harness::aws_server::Stage;

#[tokio::test]
async fn the_caller_and_the_account_are_told() {
    let stage = Stage::new().await;
    let caller = stage.cloud.check_account().await.unwrap();
    assert_eq!(caller.account, stage.account);
    assert_eq!(caller, stage.cloud.caller().await.unwrap());
    let other = Connection { account: Some("999999999999".parse().unwrap()), ..Connection::default() };
    let other = AwsCloud::from_config(&stage.config, &other).unwrap();
    let error = other.check_account().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let says = format!(
        "GetCallerIdentity of account 999999999999 is not allowed: the credentials are of account {}, \
         the configuration is for 999999999999",
        stage.account
    );
    assert_eq!(error.to_string(), says);
}

/// What a process of its own does for the test below, which alone can set its environment.
#[tokio::test]
#[ignore = "run by another test"]
async fn connect_from_the_environment() {
    let mut settings = Connection { region: Some("eu-central-1".parse().unwrap()), ..Connection::default() };
    let cloud = AwsCloud::connect(&settings).await.unwrap();
    println!("region {} caller {}", cloud.region(), cloud.check_account().await.unwrap().name);
    settings.role_arn = Some("arn:aws:iam::123456789012:role/deployer".to_owned());
    settings.external_id = Some("4711".into());
    let cloud = AwsCloud::connect(&settings).await.unwrap();
    println!("assumed {}", cloud.check_account().await.unwrap().name);
    settings.region = None;
    println!("own region {}", AwsCloud::connect(&settings).await.unwrap().region());
}

#[tokio::test]
async fn credentials_region_and_endpoint_come_from_the_environment() {
    let stage = Stage::new().await;
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "aws_adapter::account::connect_from_the_environment"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_ENDPOINT_URL", stage.server.url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_REGION", "us-east-1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("region eu-central-1 caller "), "{said}");
    assert!(said.contains("assumed ionroller"), "{said}");
    assert!(said.contains("own region us-east-1"), "{said}");
}
