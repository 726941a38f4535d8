//! The binary with its repository on real servers: `git http-backend` and `sshd`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::harness::git_servers::{HttpServer, SshServer, keygen};

/// In everything that must never be printed.
const SECRET: &str = "s3cret";

/// A home, and a config repository in `served/config` with two commits.
struct Place {
    dir: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap(), variables: Vec::new() };
        fs::create_dir_all(place.path("home/.ssh")).unwrap();
        fs::create_dir_all(place.path("served/config")).unwrap();
        place.git(&["init", "--quiet", "--initial-branch", "main", "."]);
        place.version("1");
        place.version("2");
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Commits a version of the one service; gives the commit.
    fn version(&self, version: &str) -> String {
        let scope = "scope = \"remotes\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n";
        let web = format!(
            "version = \"{version}\"\n[machine]\nami = \"ami-0abcdef1234567890\"\ninstance_type = \"t3.small\"\n\
             [network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = 1\n"
        );
        self.write("served/config/ionroller.toml", scope);
        self.write("served/config/services/web.toml", &web);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", &format!("version {version}")]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Every program sees this home and nothing else of the machine.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path("served/config"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("USER", whoami())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "t")))
            .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "t@example.com")))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    fn git(&self, args: &[&str]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn with(mut self, name: &'static str, value: impl AsRef<Path>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.as_ref().display().to_string()));
        self
    }

    /// Plans the repository at `url` without AWS: the commit, or the error.
    #[track_caller]
    fn plan(&self, url: &str) -> Result<String, String> {
        let mut command = self.command(env!("CARGO_BIN_EXE_ionroller"));
        command.args(["plan", "--offline", "-vv", "-o", "json", "--repo", url]);
        let output = command.output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "a secret in\n{stdout}\n{stderr}");
        if !output.status.success() {
            return Err(stderr);
        }
        let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        Ok(plan["commit"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn works(&self, url: &str) {
        assert_eq!(self.plan(url).unwrap(), self.git(&["rev-parse", "HEAD"]));
    }

    #[track_caller]
    fn refused(&self, url: &str, expected: &str) {
        let error = self.plan(url).unwrap_err();
        assert!(error.contains(expected), "{error}\ndoes not contain\n{expected}");
    }
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn over_http_without_a_login() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &[]);
    let url = format!("{}/config", server.url);
    place.works(&url);
    place.version("3");
    place.works(&url);
    // Somebody rewrites the branch.
    place.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    place.version("4");
    place.works(&url);
    // A mirror that was cut off or spoilt is made anew.
    let cache = place.path("home/.cache/ionroller");
    let mirrors = fs::read_dir(&cache).unwrap().flatten().map(|entry| entry.path().join("objects/pack"));
    let packs: Vec<PathBuf> = mirrors.filter(|packs| packs.is_dir()).collect();
    assert_eq!(packs.len(), 1);
    fs::remove_dir_all(&packs[0]).unwrap();
    place.works(&url);
}

#[test]
fn over_http_with_a_token_from_everywhere() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &["--token", "s3cret/token"]);
    let url = format!("{}/config", server.url);
    let last_user = || server.requests().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    let nothing = "it asks for a login, and there is none; put a token into IONROLLER_GIT_TOKEN";
    place.refused(&url, nothing);

    let place = place.with("IONROLLER_GIT_TOKEN", "s3cret-but-old");
    place.refused(
        &url,
        "it does not let us in with the token in IONROLLER_GIT_TOKEN with the user name `x-access-token`",
    );
    let place = place.with("IONROLLER_GIT_TOKEN", "s3cret/token");
    place.works(&url);
    assert_eq!(last_user(), "x-access-token");
    let place = place.with("IONROLLER_GIT_USERNAME", "bot");
    place.works(&url);
    assert_eq!(last_user(), "bot");
    place.works(&url.replace("://", "://ann@"));
    assert_eq!(last_user(), "ann");

    let place = place.with("IONROLLER_GIT_TOKEN", "");
    place.write("token", "s3cret/token\n");
    let place = place.with("IONROLLER_GIT_TOKEN_FILE", "/nowhere");
    place.refused(&url, "cannot use the token in `/nowhere`: No such file");
    let token = place.path("token");
    let place = place.with("IONROLLER_GIT_TOKEN_FILE", token);
    place.works(&url);

    let place = place.with("IONROLLER_GIT_TOKEN_FILE", "");
    place.works(&url.replace("://", "://ann:s3cret%2Ftoken@"));
    assert_eq!(last_user(), "ann");
    place.refused(&url.replace("://", "://ann:s3cret@"), "it does not let us in with the password in the URL");
}

#[test]
fn over_http_with_what_git_itself_uses() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &["--token", "s3cret/token"]);
    let url = format!("{}/config", server.url);
    let helper = |token: &str| {
        let helper = format!("!f() {{ echo username=helped; echo password={token}; }}; f");
        place.write("home/.gitconfig", &format!("[credential]\n\thelper = \"{helper}\"\n"));
    };
    helper("s3cret-but-old");
    place.refused(&url, "with what git's credential helper has for the user name `helped`");
    helper("s3cret/token");
    place.works(&url);
    assert!(server.requests().last().unwrap().ends_with(" helped"));
    // A short name for the server, with the login in it, as CI systems write it.
    let full = server.url.replace("://", "://ci:s3cret%2Ftoken@");
    place.write("home/.gitconfig", &format!("[url \"{full}/\"]\n\tinsteadOf = \"https://git.example.com/\"\n"));
    place.works("https://git.example.com/config");
    place.refused("https://git.example.com/absent", "cannot reach https://git.example.com/absent: there is no such");
}

/// Helpers, scopes and headers count as git counts them.
#[test]
fn over_http_with_logins_in_git_s_scopes() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &["--token", "s3cret/token"]);
    let url = format!("{}/config", server.url);
    let other = server.url.replace("http://localhost:", "http://localhost:1");
    let says = |text: &str| place.write("home/.gitconfig", text);
    let helper = |name: &str| format!("helper = \"!f() {{ echo username={name}; echo password=s3cret/token; }}; f\"\n");
    let stranger = "helper = \"!f() { echo username=stranger; echo password=s3cret-but-old; }; f\"\n";
    let last_user = || server.requests().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    // The first of two helpers knows.
    says(&format!("[credential]\n{}helper = \"!true\"\n", helper("first")));
    place.works(&url);
    assert_eq!(last_user(), "first");
    // By server with its port, and by path.
    says(&format!("[credential \"{}\"]\n{}[credential \"{other}\"]\n{stranger}", server.url, helper("ported")));
    place.works(&url);
    assert_eq!(last_user(), "ported");
    let path =
        format!("[credential \"{url}\"]\nuseHttpPath = true\n{}[credential \"{url}2\"]\n{stranger}", helper("pathed"));
    says(&path);
    place.works(&url);
    assert_eq!(last_user(), "pathed");
    // A header, as actions/checkout sets it.
    let header = format!("Authorization: Basic {}", data_encoding::BASE64.encode(b"header:s3cret/token"));
    says(&format!("[http \"{}/\"]\n\textraHeader = {header}\n[http \"{other}/\"]\n\textraHeader = X: 1\n", server.url));
    place.works(&url);
    assert_eq!(last_user(), "header");
}

/// Git's own variables name its configuration.
#[test]
fn git_s_own_variables_count() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &["--token", "s3cret/token"]);
    let url = format!("{}/config", server.url);
    let last_user = || server.requests().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    let helper = |name: &str| {
        format!("[credential]\nhelper = \"!f() {{ echo username={name}; echo password=s3cret/token; }}; f\"\n")
    };
    place.write("home/.gitconfig", &helper("home"));
    place.write("elsewhere", &helper("elsewhere"));
    place.works(&url);
    assert_eq!(last_user(), "home");
    let elsewhere = place.path("elsewhere");
    let place = place.with("GIT_CONFIG_GLOBAL", elsewhere);
    place.works(&url);
    assert_eq!(last_user(), "elsewhere");
    let place = place.with("GIT_CONFIG_GLOBAL", "/dev/null");
    place.refused(&url, "it asks for a login, and there is none");
    let header = format!("Authorization: Basic {}", data_encoding::BASE64.encode(b"pair:s3cret/token"));
    let place = place.with("GIT_CONFIG_COUNT", "1").with("GIT_CONFIG_KEY_0", "http.extraHeader");
    let place = place.with("GIT_CONFIG_VALUE_0", header);
    place.works(&url);
    assert_eq!(last_user(), "pair");
    let place = place.with("GIT_CONFIG_COUNT", "two");
    place.refused(&url, "the environment variable GIT_CONFIG_COUNT: it is no number");
    let place = place.with("GIT_CONFIG_COUNT", "1");
    // Who owns a repository may be any user that it is said of.
    let repository = place.path("served/config");
    if Command::new("chown").arg("-R").arg("54321").arg(&repository).status().is_ok_and(|status| status.success()) {
        let shown = repository.display().to_string();
        place.refused(&shown, "belongs to another user");
        let place = place.with("GIT_CONFIG_KEY_0", "safe.directory").with("GIT_CONFIG_VALUE_0", &shown);
        assert!(place.plan(&shown).is_ok(), "{:?}", place.plan(&shown));
    }
}

#[test]
fn over_https_with_a_certificate_of_ones_own() {
    let place = Place::new();
    let serve = |name: &str| {
        let (certificate, key) = (place.path(&format!("{name}.pem")), place.path(&format!("{name}.key")));
        let mut command = place.command("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
        command.args(["-addext", &format!("subjectAltName=DNS:{name}"), "-keyout"]).arg(&key).arg("-out");
        assert!(command.arg(&certificate).output().unwrap().status.success());
        let files = ["--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
        (HttpServer::start(&place.path("served"), &[&files[..], &["--token", "s3cret/token"]].concat()), certificate)
    };
    let (server, certificate) = serve("localhost");
    let (other, other_certificate) = serve("git.example.com");
    let (url, other_url) = (format!("{}/config", server.url), format!("{}/config", other.url));
    assert!(url.starts_with("https://localhost:") && other_url.starts_with("https://localhost:"));
    let place = place.with("IONROLLER_GIT_TOKEN", "s3cret/token");
    let untrusted = "the server's certificate is not trusted; if it is signed by an authority of your own";
    place.refused(&url, untrusted);
    // The name in it counts, too.
    let place = place.with("SSL_CERT_FILE", &other_certificate);
    place.refused(&other_url, untrusted);
    let place = place.with("SSL_CERT_FILE", &certificate);
    assert_eq!([server.requests(), other.requests()], [Vec::<String>::new(), Vec::new()]);
    place.works(&url);
}

#[test]
fn servers_that_go_wrong_are_named() {
    let place = Place::new().with("IONROLLER_GIT_TOKEN", "s3cret").with("IONROLLER_GIT_TIMEOUT", "1s");
    let served = place.path("served");
    let refused = |mode: &[&str], expected: &str| {
        let server = HttpServer::start(&served, &[&["--mode"], mode].concat());
        let url = format!("{}/config", server.url);
        place.refused(&url, &format!(" {url}{expected}"));
        url
    };
    refused(&["status", "404"], ": there is no such repository");
    refused(&["status", "403"], "\n  caused by: unexpected http status code: 403");
    refused(&["status", "500"], "\n  caused by: unexpected http status code: 500");
    refused(&["silent"], ": it said nothing for 1 s; IONROLLER_GIT_TIMEOUT sets");
    let other = HttpServer::start(&served, &["--token", "s3cret"]);
    let elsewhere = other.url.replace("localhost", "127.0.0.1");
    refused(&["elsewhere", &elsewhere], ": it leads to another host; if that is right, use the new URL");
    assert_eq!(other.requests(), Vec::<String>::new());
    let gone = refused(&["status", "410"], "");
    // Nobody listens there now.
    place.refused(&gone, "failed to connect to localhost");
    place.refused("https://ann:s3cret@absent.invalid/config", "cannot fetch https://***@absent.invalid/config");
}

#[test]
fn a_token_is_not_sent_in_the_open() {
    // A name of this machine that does not look like one: it could be any server.
    let place = Place::new().with("IONROLLER_GIT_TOKEN", "s3cret");
    let server = HttpServer::start(&place.path("served"), &["--token", "s3cret"]);
    let url = format!("{}/config", server.url.replace("localhost", "127.1"));
    place.refused(&url, "it asks for a login, which is not sent over plain http; use https://");
    place.refused(&url.replace("://", "://ann:s3cret@"), "which is not sent over plain http");
    assert!(server.requests().iter().all(|request| request.ends_with(" -")), "{:?}", server.requests());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_shallow_remote_is_not_taken_for_the_whole() {
    let place = Place::new();
    let source = format!("file://{}", place.path("served/config").display());
    let shallow = place.path("served/shallow");
    place.git(&["clone", "--quiet", "--depth=1", &source, shallow.to_str().unwrap()]);
    let server = HttpServer::start(&place.path("served"), &[]);
    place.refused(&format!("{}/shallow", server.url), "a shallow clone answers like this");
    place.works(&format!("{}/config", server.url));
}

#[test]
fn over_ssh_with_keys_of_all_kinds() {
    let place = Place::new();
    let Some(server) = SshServer::start(&place.path("sshd"), &["ed25519", "rsa"]) else { return };
    let url = format!("ssh://{}@127.0.0.1:{}{}", whoami(), server.port, place.path("served/config").display());
    place.write("home/.ssh/known_hosts", &server.known_hosts(&["ed25519"]));
    place.refused(&url, "it asks for a key, and there is none; start an ssh-agent, name a key in");

    // The usual keys, as ssh takes them.
    keygen(&place.path("home/.ssh/id_ed25519"), "ed25519", "s3cret");
    place.refused(&url, "id_ed25519`: it has a passphrase; load it into an ssh-agent");
    keygen(&place.path("home/.ssh/id_rsa"), "rsa", "");
    place.refused(&url, &format!("it does not let us in with the key {}", place.path("home/.ssh/id_rsa").display()));
    server.authorize(&place.path("home/.ssh/id_rsa.pub"));
    place.works(&url);
    // Nobody said who asks: the user of this machine.
    place.works(&url.replace(&format!("{}@", whoami()), ""));

    // A named key, and no other.
    let key = place.path("deploy");
    keygen(&key, "ed25519", "");
    let place = place.with("IONROLLER_GIT_SSH_KEY_FILE", &key);
    place.refused(&url, &format!("it does not let us in with the key {}", key.display()));
    server.authorize(&place.path("deploy.pub"));
    place.works(&url);
    let public = place.path("deploy.pub");
    let place = place.with("IONROLLER_GIT_SSH_KEY_FILE", &public);
    place.refused(&url, "deploy.pub`: it is a public key; name the file beside it without `.pub`");

    // What is not there.
    let place = place.with("IONROLLER_GIT_SSH_KEY_FILE", &key);
    place.refused(&url.replace("served/config", "served/absent"), "does not appear to be a git repository");
    // A short form, which git's configuration leads to this server.
    let short =
        format!("[url \"ssh://{}@127.0.0.1:{}/\"]\n\tinsteadOf = \"git@git.example.com:\"\n", whoami(), server.port);
    place.write("home/.gitconfig", &short);
    place.works(&format!("git@git.example.com:{}", place.path("served/config").display()).replace(":/", ":"));
}

#[test]
fn over_ssh_with_an_agent() {
    let place = Place::new();
    let Some(server) = SshServer::start(&place.path("sshd"), &["ed25519"]) else { return };
    let url = format!("ssh://{}@127.0.0.1:{}{}", whoami(), server.port, place.path("served/config").display());
    place.write("home/.ssh/known_hosts", &server.known_hosts(&["ed25519"]));
    let socket = place.path("agent");
    let mut agent = place.command("ssh-agent");
    let mut agent = Ending(agent.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while !socket.exists() {
        assert!(agent.0.try_wait().unwrap().is_none() && Instant::now() < deadline, "no agent");
        std::thread::sleep(Duration::from_millis(20));
    }
    let place = place.with("SSH_AUTH_SOCK", &socket);
    place.refused(&url, "it does not let us in with the keys of the ssh-agent");
    let key = place.path("deploy");
    keygen(&key, "ed25519", "");
    server.authorize(&place.path("deploy.pub"));
    assert!(place.command("ssh-add").arg("-q").arg(&key).status().unwrap().success());
    place.works(&url);
    // An agent that is gone is passed over.
    let nowhere = place.path("nowhere");
    let place = place.with("SSH_AUTH_SOCK", nowhere);
    place.refused(&url, "it does not let us in with the keys of the ssh-agent");
}

#[test]
fn over_ssh_to_the_right_server_only() {
    let place = Place::new();
    let Some(server) = SshServer::start(&place.path("sshd"), &["ed25519", "rsa"]) else { return };
    let url = format!("ssh://{}@127.0.0.1:{}{}", whoami(), server.port, place.path("served/config").display());
    let key = place.path("home/.ssh/id_ed25519");
    keygen(&key, "ed25519", "");
    server.authorize(&place.path("home/.ssh/id_ed25519.pub"));
    let fingerprint = place.command("ssh-keygen").args(["-lf"]).arg(place.path("sshd/host_ed25519.pub")).output();
    let fingerprint = String::from_utf8(fingerprint.unwrap().stdout).unwrap();
    let fingerprint = format!("ssh-ed25519 {}", fingerprint.split(' ').nth(1).unwrap());
    let host = format!("[127.0.0.1]:{}", server.port);

    // Unknown, and how to make it known.
    let known = place.path("home/.ssh/known_hosts");
    let add = format!("ssh-keyscan -p {} 127.0.0.1 >> {}", server.port, known.display());
    let unknown = format!("the host {host} is not known; it shows {fingerprint}; compare that with");
    place.refused(&url, &unknown);
    place.refused(&url, &add);
    assert!(place.command("sh").args(["-c", &add]).output().unwrap().status.success());
    place.works(&url);
    assert!(place.command("ssh-keygen").arg("-Hf").arg(&known).output().unwrap().status.success());
    assert!(fs::read_to_string(&known).unwrap().starts_with("|1|"));
    place.works(&url);
    // Known by another type of key only: it is asked for that one.
    place.write("home/.ssh/known_hosts", &server.known_hosts(&["rsa"]));
    place.works(&url);

    // A file that is named counts alone.
    let place = place.with("IONROLLER_GIT_KNOWN_HOSTS_FILE", "/nowhere");
    place.refused(&url, "cannot read the known hosts `/nowhere`: No such file");
    let named = place.path("named");
    let place = place.with("IONROLLER_GIT_KNOWN_HOSTS_FILE", &named);
    place.write("named", &server.known_hosts(&["ed25519"]));
    fs::remove_file(&known).unwrap();
    place.works(&url);
    place.write("home/.ssh/known_hosts", &server.known_hosts(&["ed25519"]));
    place.write("named", "");
    place.refused(&url, &unknown);
    place.write("named", &server.known_hosts(&["rsa"]));
    place.refused(&url, "and is known only by ssh-rsa");

    // Changed, and revoked.
    let right = server.known_hosts(&["ed25519"]);
    let another = fs::read_to_string(place.path("home/.ssh/id_ed25519.pub")).unwrap();
    place.write("named", &format!("# ours\n{host} {another}"));
    let changed =
        format!("the key of {host} has changed: it shows {fingerprint}, but line 2 of {} says", named.display());
    place.refused(&url, &changed);
    place.write("named", &format!("{right}@revoked {right}"));
    place.refused(&url, &format!("which line 2 of {} revokes", named.display()));
}

/// A server with a certificate is known by the key inside, or by who has signed it.
#[test]
fn over_ssh_to_a_server_with_a_certificate() {
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let place = Place::new();
        let folder = place.path("ssh");
        fs::create_dir_all(&folder).unwrap();
        for name in ["authority", "stranger"] {
            keygen(&folder.join(name), "ed25519", "");
        }
        let key = folder.join(format!("host_{kind}"));
        keygen(&key, kind, "");
        let certify = |names: &str, valid: &str| {
            let mut command = place.command("ssh-keygen");
            command.args(["-q", "-h", "-s"]).arg(folder.join("authority")).args(["-I", "x", "-n", names, "-V", valid]);
            assert!(command.arg(format!("{}.pub", key.display())).status().unwrap().success());
        };
        let user = place.path("home/.ssh/id_ed25519");
        keygen(&user, "ed25519", "");
        let known = |text: &str| place.write("home/.ssh/known_hosts", text);
        let public = |name: &str| fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
        for (names, valid, is_good) in
            [("127.0.0.1", "-1d:+1d", true), ("git.example.com", "-1d:+1d", false), ("127.0.0.1", "-2d:-1d", false)]
        {
            certify(names, valid);
            let Some(server) = SshServer::start(&folder, &[kind]) else { return };
            server.authorize(&place.path("home/.ssh/id_ed25519.pub"));
            let url = format!("ssh://127.0.0.1:{}{}", server.port, place.path("served/config").display());
            known(&server.known_hosts(&[kind]));
            place.works(&url);
            known(&format!("@cert-authority [127.0.0.1]:* {}", public("stranger")));
            place.refused(&url, "is not known; it shows ");
            let authority = format!("@cert-authority 127.0.0.* {}", public("authority"));
            known(&authority);
            if is_good {
                place.works(&url);
                known(&format!("{authority}@revoked * {}", public("authority")));
                place.refused(&url, "which line 2 of");
            } else {
                place.refused(&url, "is not known; it shows ");
            }
        }
    }
}

#[test]
fn ssh_servers_that_say_nothing_are_given_up() {
    let place = Place::new().with("IONROLLER_GIT_TIMEOUT", "1s");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@127.0.0.1:{}/config", silent.local_addr().unwrap().port());
    place.refused(&url, "it said nothing for 1 s");
}

#[test]
fn the_merge_of_a_branch_on_a_server_is_planned() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &[]);
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    let topic = place.version("3");
    place.git(&["checkout", "--quiet", "main"]);
    place.write("served/config/README", "main goes on\n");
    place.git(&["add", "--all"]);
    place.git(&["commit", "--quiet", "--message", "a readme"]);
    let main = place.git(&["rev-parse", "HEAD"]);
    let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
    let args = ["plan", "--offline", "-o", "json", "--ref", "topic", "--base", "origin/main", "--repo"];
    let output = command.args(args).arg(format!("{}/config", server.url)).output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&plan["commit"], &plan["base"]), (&topic.into(), &main.into()));
    assert_eq!(plan["services"][0]["change"], "release");
}

#[test]
fn the_documentation_names_every_variable_and_key() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let documentation = read("docs/git.md");
    let code = read("src/git/access.rs");
    let variables = code.split('"').filter(|word| word.starts_with("IONROLLER_GIT_") && !word.contains([' ', ':']));
    let settings = read("src/settings.rs");
    let table = settings.split("pub struct GitSettings {").nth(1).unwrap().split('}').next().unwrap();
    let keys = table.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let names: Vec<&str> = variables.chain(keys).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        assert!(documentation.contains(&format!("`{name}`")), "docs/git.md does not name {name}");
    }
}

/// A daemon that follows the repository on a server, with a simulated AWS.
struct Daemon {
    child: Ending,
    port: u16,
}

impl Daemon {
    fn start(place: &Place, url: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        place.write("token", "s3cret\n");
        let (state, token) = (place.path("state"), place.path("token"));
        let text = format!(
            "repo = \"{url}\"\npoll_interval = \"1s\"\nstate_dir = \"{}\"\nlisten = \"127.0.0.1:{port}\"\n\
             [git]\ntoken_file = \"{}\"\nusername = \"bot\"\n",
            state.display(),
            token.display()
        );
        place.write("daemon.toml", &text);
        let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
        command.arg("run").arg("-vv").arg("--config").arg(place.path("daemon.toml"));
        command.arg("--cloud").arg(format!("sim:{}", place.path("world.json").display()));
        let log = fs::File::create(place.path("log")).unwrap();
        Self { child: Ending(command.stderr(log).spawn().unwrap()), port }
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let config = ureq::config::Config::builder().http_status_as_error(false).build();
        let agent = ureq::Agent::new_with_config(config);
        let mut answer = agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    fn status(&self) -> Option<serde_json::Value> {
        let (code, body) = self.get("/api/v1/status")?;
        (code == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// Waits for something that a few polls bring about.
    #[track_caller]
    fn until(&mut self, place: &Place, what: &str, happened: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !happened(self) {
            let log = || fs::read_to_string(place.path("log")).unwrap();
            assert!(self.child.0.try_wait().unwrap().is_none(), "it ended: {}", log());
            assert!(Instant::now() < deadline, "{what}: {:?}\n{}", self.get("/readyz"), log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_daemon_follows_a_repository_on_a_server() {
    let place = Place::new();
    let served = place.path("served");
    let server = HttpServer::start(&served, &["--token", "s3cret"]);
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let again = ["--token", "s3cret", "--port", &port];
    let mut daemon = Daemon::start(&place, &format!("{}/config", server.url));
    let commit = |daemon: &Daemon| daemon.status().map(|status| status["commit"].as_str().unwrap().to_owned());
    let head = place.git(&["rev-parse", "HEAD"]);
    daemon.until(&place, "the first commit", |daemon| commit(daemon) == Some(head.clone()));
    let begun = |daemon: &Daemon| daemon.status().is_some_and(|status| status["services"][0]["groups"][0].is_object());
    daemon.until(&place, "the first release", begun);

    // Nothing new: one question a poll, once without and once with the login.
    let seen = server.requests().len();
    daemon.until(&place, "three polls", |_| server.requests().len() >= seen + 6);
    let asked = "GET /config/info/refs?service=git-upload-pack";
    for pair in server.requests()[seen..].chunks_exact(2) {
        let mut pair = pair.to_vec();
        pair.sort();
        assert_eq!(pair, [format!("{asked} -"), format!("{asked} bot")]);
    }

    // A push.
    let pushed = place.version("3");
    daemon.until(&place, "the push", |daemon| commit(daemon) == Some(pushed.clone()));

    // The server goes down and comes back; what is known stays known.
    let says = |daemon: &Daemon, text: &str| daemon.get("/readyz").is_some_and(|(_, body)| body.contains(text));
    drop(server);
    daemon.until(&place, "the outage", |daemon| says(daemon, "git: cannot fetch http://localhost:"));
    assert_eq!(daemon.get("/healthz").unwrap().0, 200);
    assert_eq!(commit(&daemon), Some(pushed.clone()));
    let _server = HttpServer::start(&served, &again);
    daemon.until(&place, "the recovery", |daemon| daemon.get("/readyz").is_some_and(|(code, _)| code == 200));

    // The branch vanishes and comes back.
    place.git(&["branch", "--move", "main", "other"]);
    daemon.until(&place, "the loss", |daemon| says(daemon, "git: there is no branch `main` in http://localhost:"));
    assert_eq!(commit(&daemon), Some(pushed));
    place.git(&["branch", "--move", "other", "main"]);
    daemon.until(&place, "the return", |daemon| daemon.get("/readyz").is_some_and(|(code, _)| code == 200));

    // Somebody rewrites it: the new commit is seen, and nothing is done for it.
    place.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    let rewritten = place.version("4");
    daemon.until(&place, "the rewrite", |daemon| commit(daemon) == Some(rewritten.clone()));
    let service = &daemon.status().unwrap()["services"][0];
    assert_eq!(service["waiting_on"]["reason"], "fence", "{service}");
    let log = fs::read_to_string(place.path("log")).unwrap();
    assert!(!log.contains(SECRET), "{log}");
}

/// A process that ends with this value.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
