//! Copies of a server with a world on it: each run gets its own, and none sees another.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::world::World;
use crate::harness::aws_server::{assert_none_wrong, wrong_requests};

/// A copy of a world's server as it was; it ends with this value.
pub struct Copy {
    url: String,
}

impl Copy {
    pub fn of(world: &World) -> Self {
        let url = world.post("fork", &json!({}))["url"].as_str().unwrap().to_owned();
        Self { url }
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = ureq::get(format!("{}/_test/{path}", self.url)).call();
        answer.unwrap_or_else(|error| panic!("{path}: {error}")).body_mut().read_json().unwrap()
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = ureq::post(format!("{}/_test/{path}", self.url)).send_json(body);
        answer.unwrap_or_else(|error| panic!("{path}: {error}")).body_mut().read_json().unwrap()
    }

    /// The program in the world's repository, against this copy.
    pub fn command(&self, world: &World, args: &[&str]) -> Command {
        let mut command = world.command(args);
        command.env("AWS_ENDPOINT_URL", &self.url);
        command
    }

    /// A run of it whose output nobody needs.
    pub fn spawn(&self, world: &World, args: &[&str]) -> Child {
        let mut command = self.command(world, args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program")
    }

    /// Names, tags, marks without their times, weights and sizes, once nothing moves any more.
    pub fn dump(&self) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let dump = self.get("dump");
            let groups = dump["groups"].as_object().unwrap();
            let moves = |group: &Value| {
                let lives = group["instances"].as_object().unwrap();
                !group["status"].is_null() || lives.keys().any(|life| life != "InService")
            };
            if !groups.values().any(moves) || begun.elapsed() > std::time::Duration::from_secs(20) {
                return dump;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let wrong = wrong_requests(&self.url);
        let _ = ureq::post(format!("{}/_test/exit", self.url)).send_json(json!({}));
        assert_none_wrong(&wrong);
    }
}
