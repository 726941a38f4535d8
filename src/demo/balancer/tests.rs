//! The proxy alone, with servers of its own.

use std::time::Duration;

use axum::response::Response;
use tokio::sync::Semaphore;

use super::*;
use crate::observed::resources::Condition;

fn backend(weight: u32, ports: &[u16]) -> Backend {
    let targets = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
    Backend { weight, targets }
}

fn always(backends: Vec<Backend>) -> Table {
    Table(vec![(Conditions::default(), backends)])
}

fn ports(table: Table, requests: usize) -> BTreeMap<u16, usize> {
    let mut routes = Routes { table, turns: BTreeMap::new() };
    let mut found = BTreeMap::new();
    for _ in 0..requests {
        let port = routes.next("localhost", "/").map_or(0, |address| address.port());
        *found.entry(port).or_insert(0) += 1;
    }
    found
}

#[test]
fn each_group_gets_exactly_its_weight() {
    let table = always(vec![backend(90, &[1]), backend(10, &[2]), backend(0, &[3])]);
    assert_eq!(ports(table, 200), BTreeMap::from([(1, 180), (2, 20)]));
}

#[test]
fn a_light_group_is_not_served_last() {
    let mut routes = Routes { table: always(vec![backend(50, &[1]), backend(50, &[2])]), turns: BTreeMap::new() };
    let first: Vec<u16> = (0..4).filter_map(|_| routes.next("", "/")).map(|address| address.port()).collect();
    assert_eq!(first, [1, 2, 1, 2]);
}

#[test]
fn targets_of_a_group_share_evenly() {
    let table = always(vec![backend(100, &[1, 2, 3])]);
    assert_eq!(ports(table, 300), BTreeMap::from([(1, 100), (2, 100), (3, 100)]));
}

#[test]
fn nobody_is_asked_where_nobody_may_be() {
    assert_eq!(ports(always(vec![backend(100, &[])]), 3), BTreeMap::from([(0, 3)]));
    assert_eq!(ports(always(vec![backend(0, &[1])]), 3), BTreeMap::from([(0, 3)]));
    assert_eq!(ports(Table::default(), 3), BTreeMap::from([(0, 3)]));
}

#[test]
fn rules_apply_by_host_and_path() {
    let conditions = |hosts: &[&str], paths: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Conditions { hosts: texts(hosts), paths: texts(paths), more: Vec::new() }
    };
    let api = conditions(&["*.example.com"], &["/api/*", "/v?"]);
    assert!(applies(&api, "Shop.example.com:8080", "/api/"));
    assert!(applies(&api, "shop.example.com", "/v2"));
    assert!(!applies(&api, "shop.example.com", "/v10"));
    assert!(!applies(&api, "example.com", "/api/"));
    assert!(applies(&Conditions::default(), "anything", "/"));
    assert!(!applies(
        &Conditions { more: vec![Condition::Methods(vec!["GET".to_owned()])], ..Conditions::default() },
        "anything",
        "/"
    ));
}

/// A server that answers with its name; `/slow` waits for a permit.
async fn server(name: &'static str, gate: Arc<Semaphore>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = move |request: Request<Body>| {
        let gate = Arc::clone(&gate);
        async move {
            if request.uri().path() == "/slow" {
                gate.acquire().await.unwrap().forget();
            }
            name
        }
    };
    tokio::spawn(axum::serve(listener, Router::new().fallback(page)).into_future());
    address
}

async fn proxy() -> (Arc<Balancer>, SocketAddr) {
    let balancer = Arc::new(Balancer::new(Client::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&balancer).serve(listener, CancellationToken::new()));
    (balancer, address)
}

async fn text(answer: Response) -> String {
    let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn to(address: SocketAddr) -> Vec<Backend> {
    vec![Backend { weight: 100, targets: vec![address] }]
}

#[tokio::test]
async fn a_request_in_flight_survives_the_draining_of_its_target() {
    let gate = Arc::new(Semaphore::new(0));
    let (old, new) = (server("old", Arc::clone(&gate)).await, server("new", Arc::clone(&gate)).await);
    let (balancer, address) = proxy().await;
    let get = |path: &str| {
        let uri: Uri = format!("http://{address}{path}").parse().unwrap();
        async move { text(Client::new().get(uri).await.unwrap()).await }
    };
    balancer.set(always(to(old)));
    assert_eq!(get("/").await, "old");
    let slow = tokio::spawn(get("/slow"));
    // It has been sent when its turn was taken: the second of the first rule.
    let sent = || balancer.routes().turns.get(&0).is_some_and(|turns| turns.requests == 2);
    while !sent() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    balancer.set(always(to(new)));
    assert_eq!(get("/").await, "new");
    assert!(!slow.is_finished());
    gate.add_permits(1);
    assert_eq!(slow.await.unwrap(), "old");
}

#[tokio::test]
async fn what_can_not_be_served_is_an_error_that_says_so() {
    let (balancer, address) = proxy().await;
    let uri: Uri = format!("http://{address}/").parse().unwrap();
    let client = Client::new();
    assert_eq!(client.get(uri.clone()).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    balancer.set(always(to(gone)));
    assert_eq!(client.get(uri).await.unwrap().status(), StatusCode::BAD_GATEWAY);
}
