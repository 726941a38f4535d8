//! Answers that no well-behaved server gives, from a few lines of one that does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::cloud::error::ErrorKind;
use crate::cloud::{CloudReader as _, CloudWriter as _, Owner};
use crate::names::Scope;
use crate::observed::marks::{DIGEST, SCOPE, SERVICE};
use crate::observed::resources::{AmiSpec, Tags, TemplateSpec};

use super::{AwsCloud, Connection, connect};

type Answer = (u16, String);

/// A server that gives these answers in turn, and the requests that it got.
struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for (answer, stream) in answers.into_iter().zip(listener.incoming()) {
                seen.lock().unwrap().push(serve(stream.unwrap(), &answer));
            }
        });
        Self { url, requests }
    }

    fn config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&self.url)
            .retry_config(RetryConfig::disabled())
            .time_source(aws_smithy_async::time::SystemTimeSource::new())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test", "hidden", None, None, "tests",
            )))
            .build()
    }

    fn cloud(&self) -> AwsCloud {
        AwsCloud::from_config(&self.config(), &Connection::default()).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request and returns its body.
fn serve(stream: TcpStream, (status, body): &Answer) -> String {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut request = vec![0; length];
    reader.read_exact(&mut request).unwrap();
    let about = "x-amzn-requestid: 4711\r\nconnection: close";
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{about}\r\n\r\n", body.len());
    reader.get_mut().write_all((head + body).as_bytes()).unwrap();
    String::from_utf8(request).unwrap()
}

fn refused(code: &str, message: &str) -> Answer {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    (400, format!("<ErrorResponse>{error}<RequestId>4711</RequestId></ErrorResponse>"))
}

fn owner() -> Owner {
    Owner { scope: Scope::parse("prod").unwrap(), service: None }
}

fn groups(names: &[&str], next: &str) -> Answer {
    let group = |name: &&str| {
        format!(
            "<member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>1</MinSize><MaxSize>1</MaxSize>\
             <DesiredCapacity>1</DesiredCapacity><CreatedTime>2026-11-23T10:00:00Z</CreatedTime></member>"
        )
    };
    let list: String = names.iter().map(group).collect();
    let result = format!("<AutoScalingGroups>{list}</AutoScalingGroups>{next}");
    let result = format!("<DescribeAutoScalingGroupsResult>{result}</DescribeAutoScalingGroupsResult>");
    (200, format!("<DescribeAutoScalingGroupsResponse>{result}</DescribeAutoScalingGroupsResponse>"))
}

const NEXT: &str = "<NextToken>more</NextToken>";

#[tokio::test]
async fn a_listing_is_all_of_its_pages() {
    let server = Scripted::new(vec![groups(&["a"], NEXT), groups(&["b"], "")]);
    let found = server.cloud().groups(&owner()).await.unwrap();
    assert_eq!(found.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let requests = server.requests();
    assert!(requests[0].contains("Filters.member.1.Name=tag%3Aionroller%3Ascope"), "{}", requests[0]);
    assert!(requests[0].contains("MaxRecords=100") && !requests[0].contains("NextToken"), "{}", requests[0]);
    assert!(requests[1].contains("NextToken=more"), "{}", requests[1]);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_listing() {
    let server = Scripted::new(vec![groups(&["a"], NEXT), refused("Throttling", "Rate exceeded")]);
    let error = server.cloud().groups(&owner()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    assert_eq!(
        error.to_string(),
        "DescribeAutoScalingGroups of prod was throttled: Throttling: Rate exceeded (request 4711)"
    );
}

#[tokio::test]
async fn a_listing_that_goes_in_circles_ends() {
    let server = Scripted::new(vec![groups(&["a"], NEXT), groups(&["a"], NEXT)]);
    assert_eq!(server.cloud().groups(&owner()).await.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_answer_that_lacks_what_aws_always_sends_is_none() {
    for field in ["AutoScalingGroupName", "CreatedTime"] {
        let (status, body) = groups(&["a"], "");
        let server = Scripted::new(vec![(status, body.replace(field, "Nothing"))]);
        let error = server.cloud().groups(&owner()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains(field), "{error}");
    }
}

#[tokio::test]
async fn a_page_of_some_proxy_is_no_answer() {
    for status in [200, 403, 404, 502] {
        let server = Scripted::new(vec![(status, "<html>hello</html>".to_owned())]);
        let error = server.cloud().groups(&owner()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{status}: {error}");
    }
    let server = Scripted::new(vec![]);
    let cloud = server.cloud();
    drop(server);
    let error = cloud.groups(&owner()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_for_somebody_to_allow() {
    let message = "User: alice is not authorized to perform: sts:AssumeRole";
    let server = Scripted::new(vec![refused("AccessDenied", message)]);
    let config = connect::assume(server.config(), "arn:aws:iam::123456789012:role/x", Some("4711")).await;
    let cloud = AwsCloud::from_config(&config, &Connection::default()).unwrap();
    let error = cloud.check_account().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Denied, "AccessDenied"), "{error}");
    assert!(error.message.contains(message) && !error.to_string().contains("hidden"), "{error}");
    let requests = server.requests();
    assert!(requests[0].contains("ExternalId=4711") && requests[0].contains("RoleSessionName=ionroller"));
}

fn template() -> TemplateSpec {
    let tags = [(SCOPE, "prod"), (SERVICE, "checkout"), (DIGEST, "a")];
    TemplateSpec {
        name: "checkout-1".parse().unwrap(),
        ami: AmiSpec::Id("ami-1".into()),
        instance_type: "t3.small".into(),
        instance_profile: None,
        key_name: None,
        root_volume_gib: None,
        security_groups: Vec::new(),
        user_data: String::new(),
        tags: Tags::from(tags.map(|(key, value)| (key.to_owned(), value.to_owned()))),
        machine_tags: Tags::new(),
    }
}

fn created(time: &str) -> Answer {
    let template = format!(
        "<launchTemplateId>lt-1</launchTemplateId><launchTemplateName>checkout-1</launchTemplateName>\
         <createTime>{time}</createTime>"
    );
    (
        200,
        format!(
            "<CreateLaunchTemplateResponse><launchTemplate>{template}</launchTemplate></CreateLaunchTemplateResponse>"
        ),
    )
}

fn no_templates() -> Answer {
    (200, "<DescribeLaunchTemplatesResponse><launchTemplates/></DescribeLaunchTemplatesResponse>".to_owned())
}

#[tokio::test]
async fn an_old_answer_about_a_template_that_was_deleted_makes_a_new_one() {
    let now = created("2999-01-01T00:00:00Z");
    let server = Scripted::new(vec![created("2026-01-01T00:00:00Z"), no_templates(), now]);
    server.cloud().create_template(&template()).await.unwrap();
    let token = |request: &str| request.split('&').find(|part| part.starts_with("ClientToken=")).unwrap().to_owned();
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert_ne!(token(&requests[0]), token(&requests[2]), "a new request needs a new token");
}

#[tokio::test]
async fn a_name_that_is_taken_by_what_does_not_show_yet_is_for_later() {
    let error = "<Errors><Error><Code>InvalidLaunchTemplateName.AlreadyExistsException</Code><Message>x</Message></Error></Errors>";
    let taken = (400, format!("<Response>{error}<RequestID>4711</RequestID></Response>"));
    let server = Scripted::new(vec![taken, no_templates()]);
    let error = server.cloud().create_template(&template()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
}

/// A server that ignores the names in a question.
#[tokio::test]
async fn what_was_not_asked_for_is_no_answer() {
    let server = Scripted::new(vec![groups(&["others", "mine"], "")]);
    let found = server.cloud().list_groups("mine", None, Some("mine")).await.unwrap();
    assert_eq!(found.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["mine"]);

    let listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";
    let other = listener.replace(":listener/", ":listener-rule/").replace("f2f7", "0000") + "/9";
    let rule = format!("<member><RuleArn>{other}</RuleArn><Priority>1</Priority></member>");
    let rules = format!("<DescribeRulesResult><Rules>{rule}</Rules></DescribeRulesResult>");
    let server = Scripted::new(vec![(200, format!("<DescribeRulesResponse>{rules}</DescribeRulesResponse>"))]);
    let error = server.cloud().rules(&crate::names::ListenerArn::parse(listener).unwrap()).await.unwrap_err();
    assert!(error.message.contains("rules of another listener"), "{error}");

    let template = |name: &str| {
        format!(
            "<item><launchTemplateId>lt-{name}</launchTemplateId><launchTemplateName>{name}</launchTemplateName>\
             <createTime>2026-11-23T10:00:00Z</createTime><tagSet/></item>"
        )
    };
    let list = format!("<launchTemplates>{}</launchTemplates>", template("others"));
    let taken = "<Errors><Error><Code>InvalidLaunchTemplateName.AlreadyExistsException</Code><Message>x</Message></Error></Errors>";
    let server = Scripted::new(vec![
        (400, format!("<Response>{taken}<RequestID>4711</RequestID></Response>")),
        (200, format!("<DescribeLaunchTemplatesResponse>{list}</DescribeLaunchTemplatesResponse>")),
    ]);
    let error = server.cloud().create_template(&self::template()).await.unwrap_err();
    assert!(!error.message.contains("other tags"), "the first entry is not what was asked for: {error}");
}
