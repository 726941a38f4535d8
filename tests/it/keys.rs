//! The list of all keys against the loader, the JSON Schemas, the digest and the page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ionroller::desired::diagnostic::Severity;
use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::desired::keys::{Key, Kind, Need, SCOPE, SERVICE};
use ionroller::desired::spec::{Desired, ServiceFile, ServiceSpec};
use ionroller::desired::{load, schema};
use toml::{Table, Value};

use crate::harness::json_schema;
use crate::harness::toml_file::{json, parse, text, value, with, without};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

const EVERY_KEY: &str = "tests/sample-configs/valid/every-key";

/// Both files of the sample in which every key stands.
#[derive(Clone)]
struct Files {
    scope: Table,
    service: Table,
}

impl Files {
    fn new() -> Self {
        let read = |path: &str| parse(&std::fs::read_to_string(root(EVERY_KEY).join(path)).unwrap());
        Self { scope: read("ionroller.toml"), service: read("services/shop.toml") }
    }

    /// The same, with a key that another one there shuts out.
    fn having(&self, key: &Key) -> Self {
        if key.path() != "machine.ready.command" {
            return self.clone();
        }
        let service = without(&self.service, "machine.ready.http");
        self.set(File::Service, with(&service, "machine.ready.command", value("\"true\"")))
    }

    fn of(&self, file: File) -> &Table {
        match file {
            File::Scope => &self.scope,
            File::Service => &self.service,
        }
    }

    fn set(&self, file: File, to: Table) -> Self {
        let mut files = self.clone();
        match file {
            File::Scope => files.scope = to,
            File::Service => files.service = to,
        }
        files
    }

    fn load(&self) -> Desired {
        let mut files = ConfigFiles::default();
        for (path, text) in [
            ("ionroller.toml", text(&self.scope)),
            ("services/shop.toml", text(&self.service)),
            ("files/shop.sh", "#!/bin/sh\necho ready\n".to_owned()),
            ("files/other.sh", "#!/bin/sh\necho other\n".to_owned()),
        ] {
            files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
        }
        load(&files, None)
    }

    /// None while this version refuses something in the file for being new.
    fn spec(&self) -> Option<ServiceSpec> {
        let desired = self.load();
        match desired.services.values().next() {
            Some(ServiceFile::Valid(spec)) => Some((**spec).clone()),
            _ => {
                let errors = errors(&desired);
                assert!(errors.iter().all(|error| error.contains("not supported by this version")), "{errors:?}");
                None
            }
        }
    }
}

fn errors(desired: &Desired) -> Vec<String> {
    let errors = desired.diagnostics.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| problem.message.clone()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum File {
    Scope,
    Service,
}

fn keys() -> impl Iterator<Item = (File, &'static Key)> {
    let of = |file, keys: &'static [Key]| keys.iter().map(move |key| (file, key));
    of(File::Service, SERVICE).chain(of(File::Scope, SCOPE))
}

/// Whether an error speaks of the key.
fn blamed(desired: &Desired, key: &Key) -> bool {
    let path = key.path().replace("ports.", "ports[0].").replace("volumes.", "volumes[0].");
    let path = path.replace("scaling.", "scaling[0].").replace("freeze.", "freeze[0].");
    errors(desired).iter().any(|message| message.contains(&path))
}

/// What the schema says of each file, together with why it was made.
struct Cases {
    file: File,
    cases: Vec<(String, serde_json::Value, bool)>,
}

impl Cases {
    fn check(self) {
        let schema = match self.file {
            File::Scope => schema::scope(),
            File::Service => schema::service(),
        };
        let documents: Vec<_> = self.cases.iter().map(|(_, document, _)| document.clone()).collect();
        for schema in [schema, schema::files()] {
            let Some(problems) = json_schema::problems(&schema, &documents) else { return };
            assert_eq!(problems.len(), documents.len());
            for ((name, _, good), problems) in self.cases.iter().zip(problems) {
                assert_eq!(problems.is_empty(), *good, "{:?} {name}: {problems:?}", self.file);
            }
        }
    }
}

fn document(file: &Table) -> serde_json::Value {
    json(&Value::Table(file.clone()))
}

#[test]
fn the_sample_has_every_key() {
    let files = Files::new();
    assert_eq!(errors(&files.load()), Vec::<String>::new());
    for (file, key) in keys().filter(|(_, key)| key.name != "defaults") {
        let files = files.having(key);
        assert_eq!(errors(&files.load()), Vec::<String>::new());
        // It panics when the key isn't there.
        without(files.of(file), &key.path());
    }
}

/// Values of other types than the key's.
fn wrong(kind: Kind) -> Vec<&'static str> {
    let all = ["\"text\"", "7", "1.5", "true", "2026-11-27T00:00:00Z", "[]", "{}"];
    let right: &[&str] = match kind {
        Kind::Text(_) | Kind::Word(_) | Kind::Duration | Kind::Seconds(..) => &all[..1],
        Kind::Integer(..) => &all[1..2],
        Kind::Number => &all[1..3],
        Kind::Boolean => &all[3..4],
        Kind::Time => &all[4..5],
        Kind::Table | Kind::Map(..) => &all[6..],
        Kind::Tables | Kind::Texts(_) | Kind::Integers(..) => &all[5..6],
    };
    let mut wrong: Vec<&str> = all.into_iter().filter(|value| !right.contains(value)).collect();
    match kind {
        Kind::Tables => wrong.extend(["[\"text\"]", "[[]]"]),
        Kind::Texts(_) => wrong.extend(["[7]", "[{}]", "[[]]"]),
        Kind::Integers(..) => wrong.extend(["[\"5\"]", "[1.5]"]),
        Kind::Map(..) => wrong.extend(["{ A = 7 }", "{ A = { B = \"c\" } }", "{ A = [\"b\"] }"]),
        _ => {}
    }
    wrong
}

#[test]
fn a_wrong_type_is_refused_by_loader_and_schema() {
    let files = Files::new();
    for file in [File::Service, File::Scope] {
        let mut cases = Cases { file, cases: Vec::new() };
        for (_, key) in keys().filter(|(of, _)| *of == file) {
            for wrong in wrong(key.kind) {
                let changed = with(files.of(file), &key.path(), value(wrong));
                let name = format!("{} = {wrong}", key.path());
                assert!(blamed(&files.set(file, changed.clone()).load(), key), "{name}");
                // JSON has no times: in a schema they are strings.
                let time_for_text = wrong.starts_with("2026") && matches!(json_type(key.kind), "string");
                let text_for_time = matches!(key.kind, Kind::Time) && wrong.starts_with('"');
                if !(time_for_text || text_for_time) {
                    cases.cases.push((name, document(&changed), false));
                }
            }
        }
        assert!(cases.cases.len() > 80);
        cases.check();
    }
}

fn json_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) | Kind::Word(_) | Kind::Duration | Kind::Seconds(..) | Kind::Time => "string",
        _ => "another",
    }
}

#[test]
fn ranges_are_those_of_the_loader_and_the_schema() {
    let files = Files::new();
    for file in [File::Service, File::Scope] {
        let mut cases = Cases { file, cases: Vec::new() };
        for (_, key) in keys().filter(|(of, _)| *of == file) {
            let out = |text: String| {
                let changed = with(files.of(file), &key.path(), value(&text));
                let desired = files.set(file, changed.clone()).load();
                let out = errors(&desired).iter().any(|error| {
                    (error.contains("is out of range")
                        || error.contains("is not a valid")
                        || error.contains("is not a target"))
                        && error.contains(key.name)
                });
                (out, changed, format!("{} = {text}", key.path()))
            };
            let mut integers = |min: u32, max: u32, list: bool| {
                for (number, good) in
                    [(i64::from(min) - 1, false), (min.into(), true), (max.into(), true), (i64::from(max) + 1, false)]
                {
                    let (out, changed, name) = out(if list { format!("[{number}]") } else { number.to_string() });
                    assert_eq!(out, !good, "{name}");
                    cases.cases.push((name, document(&changed), good));
                }
            };
            match key.kind {
                Kind::Integer(min, max) => integers(min, max, false),
                Kind::Integers(min, max) => integers(min, max, true),
                Kind::Seconds(min, max) => {
                    for (seconds, good) in [(min, true), (max, true), (max + 1, false)] {
                        assert_eq!(out(format!("\"{seconds}s\"")).0, !good, "{} {seconds}", key.path());
                    }
                    assert!(min == 0 || out(format!("\"{}s\"", min - 1)).0, "{}", key.path());
                }
                Kind::Number => {
                    for (number, good) in
                        [("0.0", false), ("-1", false), ("0.001", true), ("1000000000", true), ("1000000001", false)]
                    {
                        let (out, changed, name) = out(number.to_owned());
                        assert_eq!(out, !good, "{name}");
                        cases.cases.push((name, document(&changed), good));
                    }
                }
                _ => {}
            }
        }
        cases.check();
    }
}

#[test]
fn words_are_those_of_the_loader_and_the_schema() {
    let files = Files::new();
    let network = {
        let listener = files.service["load_balancer"]["listener"].as_str().unwrap().replace("/app/", "/net/");
        files.set(File::Service, with(&files.service, "load_balancer.listener", Value::String(listener)))
    };
    let mut cases = Cases { file: File::Service, cases: Vec::new() };
    for (file, key) in keys() {
        let Kind::Word(words) = key.kind else { continue };
        assert_eq!(file, File::Service);
        for (word, good) in words.iter().map(|word| (*word, true)).chain([("other", false), ("", false)]) {
            let changed = with(&files.service, &key.path(), Value::String(word.to_owned()));
            let refused = |files: &Files| {
                let desired = files.set(file, with(&files.service, &key.path(), Value::String(word.to_owned()))).load();
                errors(&desired).iter().any(|error| error.contains("is not a valid") && error.contains(key.name))
            };
            assert_eq!(refused(&files) && refused(&network), !good, "{} = {word}", key.path());
            cases.cases.push((format!("{} = {word}", key.path()), document(&changed), good));
        }
    }
    cases.check();
}

#[test]
fn an_unknown_key_is_refused_by_loader_and_schema() {
    let files = Files::new();
    for file in [File::Service, File::Scope] {
        let mut cases = Cases { file, cases: Vec::new() };
        let mut tables: Vec<&str> = keys().filter(|(of, _)| *of == file).map(|(_, key)| key.table).collect();
        tables.dedup();
        for table in tables {
            let path = if table.is_empty() { "zzz".to_owned() } else { format!("{table}.zzz") };
            let changed = with(files.of(file), &path, Value::Integer(1));
            assert!(
                errors(&files.set(file, changed.clone()).load()).iter().any(|error| error.contains("zzz")),
                "{path}"
            );
            cases.cases.push((path, document(&changed), false));
        }
        cases.check();
    }
}

#[test]
fn what_is_required_is_asked_for() {
    let files = Files::new();
    for (file, key) in keys().filter(|(_, key)| key.name != "defaults") {
        let files = files.having(key);
        let desired = files.set(file, without(files.of(file), &key.path())).load();
        let missing = errors(&desired).iter().any(|error| error.contains("is missing") && error.contains(key.name));
        assert_eq!(missing, key.need == Need::Required, "{}: {:?}", key.path(), errors(&desired));
    }
}

/// What a key's default is, written out, changes nothing.
#[test]
fn defaults_are_those_of_the_loader() {
    let mut checked = 0;
    // Without what other defaults would be in the way of.
    let mut files = Files::new();
    files.service = without(&files.service, "capacity.scaling");
    for (file, key) in keys() {
        let Need::Default(default) = key.need else { continue };
        let without = files.set(file, without(files.of(file), &key.path()));
        let value = match (key.path().as_str(), key.kind) {
            ("capacity.max", _) => value("2"),
            ("load_balancer.port", _) => value("80"),
            ("load_balancer.health_check.port", _) => value("81"),
            ("load_balancer.health_check.protocol", _) => value("\"HTTPS\""),
            (_, Kind::Text(_) | Kind::Word(_) | Kind::Duration | Kind::Seconds(..)) => {
                Value::String(default.to_owned())
            }
            _ => value(default),
        };
        let written = files.set(file, with(files.of(file), &key.path(), value));
        let (without, written) = (without.load(), written.load());
        assert_eq!(errors(&written), Vec::<String>::new(), "{}", key.path());
        assert_eq!(without.scope, written.scope, "{}", key.path());
        let normal = |desired: Desired| match desired.services.into_values().next() {
            Some(ServiceFile::Valid(mut spec)) => {
                // None and the traffic's own mean the same.
                if let Some(balancer) = &mut spec.load_balancer {
                    balancer.health_check.port.get_or_insert(balancer.port);
                    balancer.health_check.protocol.get_or_insert(balancer.protocol);
                }
                spec
            }
            _ => panic!("{}", key.path()),
        };
        assert_eq!(normal(without), normal(written), "{}", key.path());
        checked += 1;
    }
    assert!(checked > 20);
}

#[test]
fn schemas_accept_what_the_loader_accepts() {
    let mut service = Cases { file: File::Service, cases: Vec::new() };
    let mut scope = Cases { file: File::Scope, cases: Vec::new() };
    let samples = std::fs::read_dir(root("tests/sample-configs/valid")).unwrap().map(|entry| entry.unwrap().path());
    for folder in samples.chain([root("example-config-repo")]) {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            (path.display().to_string(), document(&parse(text.trim_start_matches('\u{feff}'))), true)
        };
        scope.cases.push(read(&folder.join("ionroller.toml")));
        let services = std::fs::read_dir(folder.join("services")).unwrap().map(|entry| entry.unwrap().path());
        service
            .cases
            .extend(services.filter(|path| path.extension().is_some_and(|end| end == "toml")).map(|path| read(&path)));
    }
    assert!(service.cases.len() > 8);
    service.check();
    scope.check();
}

#[test]
fn a_schema_tells_the_two_files_apart() {
    let files = Files::new();
    let documents = [document(&files.scope), document(&files.service)];
    for (schema, wanted) in
        [(schema::files(), [true, true]), (schema::scope(), [true, false]), (schema::service(), [false, true])]
    {
        let Some(problems) = json_schema::problems(&schema, &documents) else { return };
        assert_eq!(problems.iter().map(Vec::is_empty).collect::<Vec<_>>(), wanted);
    }
}

/// Another valid value for each key that is no table.
fn another(path: &str) -> &'static str {
    match path {
        "version" => "\"2.7.2\"",
        "redeploy" => "\"again\"",
        "paused" => "\"incident 4712\"",
        "env" => "{ LOG_LEVEL = \"debug\" }",
        "secrets" => "{ DB_PASSWORD = \"ssm:/shop/other\" }",
        "tags" => "{ team = \"others\" }",
        "image.repository" => "\"registry.example.com/other\"",
        "image.digest" => "\"sha256:8d865e957d865e957d865e957d865e957d865e957d865e957d865e957d865e95\"",
        "image.command" => "[\"--quiet\"]",
        "image.ports.host" => "82",
        "image.ports.container" => "8082",
        "image.volumes.host" => "\"/var/other\"",
        "image.volumes.container" => "\"/other\"",
        "machine.ami" => "\"name:base-*\"",
        "machine.instance_type" => "\"m7g.large\"",
        "machine.instance_profile" => "\"other\"",
        "machine.key_name" => "\"others\"",
        "machine.root_volume_gib" => "21",
        "machine.user_data" => "\"files/other.sh\"",
        "machine.ready.http" => "\"http://localhost/\"",
        "machine.ready.command" => "\"systemctl is-active shop\"",
        "machine.ready.timeout" => "\"6m\"",
        "network.subnets" => "[\"subnet-a\"]",
        "network.security_groups" => "[\"sg-b\"]",
        "capacity.min" => "3",
        "capacity.max" => "9",
        "capacity.scaling.metric" => "\"requests-per-target\"",
        "capacity.scaling.target" => "61.5",
        "load_balancer.listener" => {
            "\"arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/aaaa\""
        }
        "load_balancer.port" => "80",
        "load_balancer.protocol" => "\"HTTP\"",
        "load_balancer.deregistration_delay" => "\"41s\"",
        "load_balancer.adopt" => "true",
        "load_balancer.rule.priority" => "121",
        "load_balancer.rule.hosts" => "[\"other.example.com\"]",
        "load_balancer.rule.paths" => "[\"/other\"]",
        "load_balancer.health_check.path" => "\"/other\"",
        "load_balancer.health_check.port" => "82",
        "load_balancer.health_check.protocol" => "\"HTTPS\"",
        "load_balancer.health_check.interval" => "\"16s\"",
        "load_balancer.health_check.timeout" => "\"7s\"",
        "load_balancer.health_check.healthy" => "4",
        "load_balancer.health_check.unhealthy" => "5",
        "load_balancer.health_check.matcher" => "\"200,204\"",
        "rollout.steps" => "[10, 100]",
        "rollout.bake" => "\"0s\"",
        "rollout.healthy_deadline" => "\"20m\"",
        "rollout.healthy_for" => "\"0s\"",
        "rollout.unhealthy_for" => "\"4m\"",
        "rollout.alarms" => "[\"5xx\"]",
        "rollout.on_failure" => "\"roll-back\"",
        "retention.warm" => "\"0s\"",
        "retention.records" => "0",
        path if path.starts_with("drift.") => "\"ignore\"",
        _ => panic!("{path}: add another value here"),
    }
}

#[test]
fn the_digest_is_made_of_the_keys_that_say_so() {
    let mut files = Files::new();
    // One policy, so that its metric can change.
    files.service = with(&files.service, "capacity.scaling", value("[{ metric = \"cpu\", target = 60 }]"));
    let mut seen = vec![files.spec().unwrap().digest];
    for key in SERVICE.iter().filter(|key| !matches!(key.kind, Kind::Table | Kind::Tables)) {
        let files = files.having(key);
        let before = files.spec().unwrap();
        let changed = with(&files.service, &key.path(), value(another(&key.path())));
        let Some(after) = files.set(File::Service, changed).spec() else { continue };
        assert_eq!(after.digest != before.digest, key.in_digest, "{}", key.path());
        // The listener's path is compared; all else must be seen in the spec.
        assert_ne!(after, before, "{} changes nothing", key.path());
        if key.in_digest {
            assert!(!seen.contains(&after.digest), "{}", key.path());
            seen.push(after.digest);
        }
    }
    for key in SERVICE.iter().filter(|key| matches!(key.kind, Kind::Table | Kind::Tables)) {
        let inside = SERVICE.iter().filter(|other| other.table == key.path()).any(|other| other.in_digest);
        assert_eq!(key.in_digest, inside, "{}", key.path());
    }
    assert!(SCOPE.iter().all(|key| !key.in_digest));
}

#[test]
fn the_page_says_what_the_code_says() {
    const BEGIN: &str = "<!-- keys: written by UPDATE_EXPECT=1 cargo test --test it keys:: -->\n";
    const END: &str = "<!-- end of keys -->\n";
    let path = root("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/configuration.md is not what the code says; UPDATE_EXPECT=1 writes it");
    }
}

fn tables() -> String {
    let mut page = String::new();
    for (title, keys) in [("services/NAME.toml", SERVICE), ("ionroller.toml", SCOPE)] {
        let _ = write!(page, "\n## {title}\n");
        let mut tables: Vec<&str> = keys.iter().map(|key| key.table).collect();
        tables.dedup();
        for table in tables {
            let list = keys.iter().any(|key| key.path() == table && matches!(key.kind, Kind::Tables));
            match (table, list) {
                ("", _) => {}
                (table, false) => {
                    let _ = write!(page, "\n### [{table}]\n");
                }
                (table, true) => {
                    let _ = write!(page, "\n### [[{table}]]\n");
                }
            }
            page.push_str("\n| key | type and range | default | in the digest | meaning |\n|---|---|---|---|---|\n");
            for key in keys.iter().filter(|key| key.table == table) {
                let _ = writeln!(
                    page,
                    "| `{}` | {} | {} | {} | {} |",
                    key.name,
                    type_of(key.kind),
                    default_of(key),
                    in_digest(keys, key),
                    key.meaning
                );
            }
        }
    }
    page.push('\n');
    page
}

fn in_digest(keys: &[Key], key: &Key) -> &'static str {
    let path = key.path();
    let inside = |other: &&Key| other.table == path || other.table.starts_with(&format!("{path}."));
    match key.in_digest {
        true if keys.iter().filter(inside).all(|other| other.in_digest) => "yes",
        true => "in part",
        false => "no",
    }
}

fn type_of(kind: Kind) -> String {
    let says = |rule: ionroller::desired::keys::TextRule| rule.says;
    match kind {
        Kind::Text(rule) => format!("text: {}", says(rule)),
        Kind::Word(words) => format!("`\"{}\"`", words.join("\"`, `\"")),
        Kind::Integer(min, max) => format!("whole number, {min} to {max}"),
        Kind::Number => "number above 0, at most three decimals".to_owned(),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Duration => "duration".to_owned(),
        Kind::Seconds(min, max) => format!("duration in whole seconds, {min}s to {max}s"),
        Kind::Time => "time with offset".to_owned(),
        Kind::Table => "table".to_owned(),
        Kind::Tables => "list of tables".to_owned(),
        Kind::Map(names, values) => format!("table. Keys: {}. Values: text, {}", says(names), says(values)),
        Kind::Texts(rule) => format!("list of texts: {}", says(rule)),
        Kind::Integers(min, max) => format!("list of whole numbers, {min} to {max}"),
    }
}

fn default_of(key: &Key) -> String {
    match key.need {
        Need::Required => "**required**".to_owned(),
        Need::Default(words) if words.contains(' ') => words.to_owned(),
        Need::Default(value) => format!("`{value}`"),
        Need::Absent(without) => without.to_owned(),
    }
}
