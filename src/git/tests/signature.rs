//! Signatures of real keys, made by git, ssh-keygen and gpg.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::sandbox::Sandbox;
use crate::git::{KeyFiles, TrustedKeys};
use crate::names::CommitId;
use crate::time::Timestamp;

/// A repository whose first commit nobody has signed.
struct Signing {
    sandbox: Sandbox,
    first: CommitId,
}

impl Signing {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir_all(sandbox.path("home")).unwrap();
        let first = sandbox.init_config("config");
        Self { sandbox, first }
    }

    /// Makes an SSH key; gives its public half.
    fn key(&self, name: &str, kind: &str) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", "", "-C", name, "-f"]).arg(self.sandbox.path(name));
        assert!(command.status().unwrap().success());
        fs::read_to_string(self.sandbox.path(&format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    /// Commits, signed by an SSH key.
    fn commit(&self, key: &str) -> CommitId {
        let key = format!("user.signingkey={}", self.sandbox.path(key).display());
        let args = ["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "--allow-empty", "-S", "-m", "signed"];
        self.sandbox.git("config", &args);
        self.sandbox.head("config")
    }

    fn unsigned(&self) -> CommitId {
        self.sandbox.commit("config", "unsigned")
    }

    /// Writes a commit object as it is given.
    fn object(&self, text: &str) -> CommitId {
        let mut command = Command::new("git");
        command.args(["hash-object", "-t", "commit", "-w", "--stdin"]).current_dir(self.sandbox.path("config"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        CommitId::parse(String::from_utf8(output.stdout).unwrap().trim()).unwrap()
    }

    fn text(&self, commit: &CommitId) -> String {
        self.sandbox.git("config", &["cat-file", "commit", commit.as_str()]) + "\n"
    }

    /// The commit with a signature of one's own making.
    fn with_signature(&self, commit: &CommitId, signature: &str) -> CommitId {
        let text = self.text(commit);
        let (head, message) = text.split_once("\n\n").unwrap();
        let folded = signature.trim_end().replace('\n', "\n ");
        self.object(&format!("{head}\ngpgsig {folded}\n\n{message}"))
    }

    fn load(&self, signers: &str, revoked: &str, gpg: &str) -> Result<TrustedKeys, String> {
        let file = |name: &str, text: &str| {
            let path = self.sandbox.path(name);
            fs::write(&path, text).unwrap();
            (!text.is_empty()).then_some(path)
        };
        TrustedKeys::load(&KeyFiles {
            ssh_allowed_signers: file("signers", signers),
            ssh_revoked_keys: file("revoked", revoked),
            gpg_keys: file("gpg", gpg),
        })
    }

    fn trusting(&self, signers: &str) -> TrustedKeys {
        self.load(signers, "", "").unwrap()
    }

    /// What is wrong with a commit, of it alone or of all since others.
    fn wrong(&self, commit: &CommitId, since: &[&CommitId], keys: &TrustedKeys) -> Option<String> {
        let since: Vec<CommitId> = since.iter().copied().cloned().collect();
        let bad = self.sandbox.open("config").untrusted(commit, &since, keys, now()).unwrap()?;
        Some(format!("{} {}", bad.commit, bad.why))
    }

    #[track_caller]
    fn refused(&self, commit: &CommitId, keys: &TrustedKeys, why: &str) {
        let wrong = self.wrong(commit, &[], keys).expect("it is trusted");
        assert!(wrong.starts_with(commit.as_str()) && wrong.contains(why), "{wrong}\ndoes not contain\n{why}");
    }

    #[track_caller]
    fn trusted(&self, commit: &CommitId, keys: &TrustedKeys) {
        assert_eq!(self.wrong(commit, &[], keys), None);
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T12:00:00Z").unwrap()
}

#[test]
fn ssh_keys_of_every_kind() {
    let signing = Signing::new();
    let mut signers = String::from("# who may release\n");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        signers += &format!("{kind}@example.com {}\n", signing.key(kind, kind));
    }
    let keys = signing.trusting(&signers);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        signing.trusted(&signing.commit(kind), &keys);
    }
    signing.refused(&signing.unsigned(), &keys, "is not signed");
    signing.refused(&signing.first, &keys, "is not signed");
}

#[test]
fn an_ssh_key_that_is_unknown_revoked_or_for_something_else() {
    let signing = Signing::new();
    let (ann, bob) = (signing.key("ann", "ed25519"), signing.key("bob", "ed25519"));
    let commit = signing.commit("ann");
    signing.trusted(&commit, &signing.trusting(&format!("ann {ann}\n")));
    let unknown = "is signed by an SSH key that is not in ssh_allowed_signers_file (SHA256:";
    signing.refused(&commit, &signing.trusting(&format!("bob {bob}\n")), unknown);
    // Whose name stands in the commit does not matter: it says Ann.
    signing.refused(&signing.commit("bob"), &signing.trusting(&format!("ann {ann}\n")), unknown);
    let revoked = signing.load(&format!("ann {ann}\nbob {bob}\n"), &format!("{ann}\n"), "").unwrap();
    signing.refused(&commit, &revoked, "is signed by an SSH key that is revoked");
    signing.trusted(&signing.commit("bob"), &revoked);
    let mail_only = signing.trusting(&format!("ann namespaces=\"mail\" {ann}\n"));
    signing.refused(&commit, &mail_only, "is signed by the SSH key of ann, which may not sign for `git`");
    signing.trusted(&commit, &signing.trusting(&format!("ann namespaces=\"git\" {ann}\n")));
    // One of two lines is enough.
    signing.trusted(&commit, &signing.trusting(&format!("ann namespaces=\"mail\" {ann}\nann {ann}\n")));
    assert!(signing.load("", "", "").unwrap_err().contains("names no key"));
    assert!(signing.load("ann cert-authority ssh-ed25519 x\n", "", "").unwrap_err().contains("signers: line 1: cert-"));
}

#[test]
fn an_ssh_key_counts_for_its_time() {
    let signing = Signing::new();
    let ann = signing.key("ann", "ed25519");
    // The sandbox commits in November 2023.
    let commit = signing.commit("ann");
    let with = |options: &str| signing.trusting(&format!("ann {options} {ann}\n"));
    signing.refused(&commit, &with("valid-before=\"20231101\""), "expired at 2023-11-01T00:00:00Z, before the commit");
    signing.refused(
        &commit,
        &with("valid-after=\"20231201\""),
        "counts from 2023-12-01T00:00:00Z on, after the commit",
    );
    signing.trusted(&commit, &with("valid-after=\"20231101\",valid-before=\"20231201\""));
    // A commit that says it is of the future is of now.
    let text = signing.text(&signing.unsigned());
    let (head, rest) = text.split_once("committer ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let future = signing.object(&format!("{head}committer Ann <ann@example.com> 4102444800 +0000\n{rest}"));
    signing.sandbox.git("config", &["reset", "--quiet", "--hard", future.as_str()]);
    let key = format!("user.signingkey={}", signing.sandbox.path("ann").display());
    let signed = signing.sandbox.git(
        "config",
        &["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-m", "x", &format!("{future}^{{tree}}")],
    );
    let text = signing.text(&CommitId::parse(&signed).unwrap());
    assert!(text.contains("gpgsig -----BEGIN SSH SIGNATURE-----"));
    signing.trusted(&CommitId::parse(&signed).unwrap(), &with("valid-before=\"20400101\""));
}

#[test]
fn a_forged_ssh_signature() {
    let signing = Signing::new();
    let ann = signing.key("ann", "ed25519");
    let keys = signing.trusting(&format!("ann {ann}\n"));
    let good = signing.commit("ann");
    let changed = signing.object(&signing.text(&good).replace("\n\nsigned", "\n\nforged"));
    signing.refused(&changed, &keys, "has an SSH signature that does not fit what it signs");
    // The signature of one commit on another.
    let text = signing.text(&good);
    let signature = text.split_once("gpgsig ").unwrap().1.split_once("\n\n").unwrap().0.replace("\n ", "\n");
    let other = signing.unsigned();
    signing.refused(&signing.with_signature(&other, &signature), &keys, "does not fit what it signs");
    // The right key and the right content, signed for files.
    let bytes = signing.sandbox.path("content");
    fs::write(&bytes, signing.text(&other)).unwrap();
    for (namespace, refusal) in
        [("file", Some("has an SSH signature for `file`, which is none for `git`")), ("git", None)]
    {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(signing.sandbox.path("ann")).arg(&bytes);
        assert!(command.output().unwrap().status.success());
        let made = signing.sandbox.path("content.sig");
        let commit = signing.with_signature(&other, &fs::read_to_string(&made).unwrap());
        fs::remove_file(made).unwrap();
        match refusal {
            Some(refusal) => signing.refused(&commit, &keys, refusal),
            None => signing.trusted(&commit, &keys),
        }
    }
    for (nonsense, why) in [
        ("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", "an SSH signature that cannot be read"),
        ("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----", "an OpenPGP signature that cannot be"),
        ("-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----", "in a form that is not checked"),
        ("x", "in a form that is not checked"),
    ] {
        signing.refused(&signing.with_signature(&other, nonsense), &keys, why);
    }
}

/// An object whose content is not that of its name is damage, and no commit to act on.
#[test]
fn a_tampered_object() {
    let signing = Signing::new();
    let ann = signing.key("ann", "ed25519");
    let good = signing.commit("ann");
    let other = signing.object(&signing.text(&good).replace("\n\nsigned", "\n\nforged"));
    let objects = signing.sandbox.path("config/.git/objects");
    let file = |id: &CommitId| objects.join(&id.as_str()[..2]).join(&id.as_str()[2..]);
    fs::remove_file(file(&good)).unwrap();
    fs::copy(file(&other), file(&good)).unwrap();
    let repository = signing.sandbox.open("config");
    let keys = signing.trusting(&format!("ann {ann}\n"));
    assert!(repository.untrusted(&good, &[], &keys, now()).is_err());
}

#[test]
fn strict_looks_at_everything_that_is_new() {
    let signing = Signing::new();
    let keys = signing.trusting(&format!("ann {}\n", signing.key("ann", "ed25519")));
    let first = &signing.first.clone();
    let good = signing.commit("ann");
    assert_eq!(signing.wrong(&good, &[first], &keys), None, "what was acted on before is not looked at");
    let bad = signing.unsigned();
    let head = signing.commit("ann");
    assert_eq!(signing.wrong(&head, &[], &keys), None, "the head alone is signed");
    assert_eq!(signing.wrong(&head, &[&good], &keys), Some(format!("{bad} is not signed")));
    assert_eq!(signing.wrong(&head, &[&bad], &keys), None);
    assert_eq!(signing.wrong(&head, &[&head], &keys), None, "nothing is new");
    // What comes with a merge is new, too.
    let git = |args: &[&str]| signing.sandbox.git("config", args);
    git(&["checkout", "--quiet", "-b", "side"]);
    let side = signing.unsigned();
    git(&["checkout", "--quiet", "main"]);
    let on_main = signing.commit("ann");
    let key = format!("user.signingkey={}", signing.sandbox.path("ann").display());
    git(&["-c", "gpg.format=ssh", "-c", &key, "merge", "--quiet", "--no-ff", "-S", "-m", "merge", "side"]);
    let merge = signing.sandbox.head("config");
    assert_eq!(signing.wrong(&merge, &[], &keys), None);
    assert_eq!(signing.wrong(&merge, &[&on_main], &keys), Some(format!("{side} is not signed")));
    assert_eq!(signing.wrong(&merge, &[&on_main, &side], &keys), None);
    // From here back, the newest that may be acted on.
    signing.unsigned();
    let tip = signing.unsigned();
    let repository = signing.sandbox.open("config");
    assert_eq!(repository.newest_trusted(&tip, &keys, now()).unwrap(), Some(merge));
    assert_eq!(repository.newest_trusted(first, &keys, now()).unwrap(), None);
}

/// gpg with a home of its own. Its agent ends with this value.
struct Gpg<'s> {
    signing: &'s Signing,
}

impl<'s> Gpg<'s> {
    fn new(signing: &'s Signing) -> Option<Self> {
        if Command::new("gpg").arg("--version").output().is_err() {
            println!("skipped: there is no gpg (Debian: gnupg)");
            return None;
        }
        use std::os::unix::fs::PermissionsExt as _;
        let home = signing.sandbox.path("home/.gnupg");
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self { signing })
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]).args(args);
        let output = command.env("HOME", self.signing.sandbox.path("home")).env_remove("GNUPGHOME").output().unwrap();
        assert!(output.status.success(), "gpg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a key; gives its fingerprint.
    fn key(&self, name: &str, more: &[&str], kind: &str, usage: &str) -> String {
        let mut args = more.to_vec();
        args.extend(["--quick-generate-key", name, kind, usage, "never"]);
        self.run(&args);
        let listed = self.run(&["--with-colons", "--fingerprint", name]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn export(&self, names: &[&str]) -> String {
        let mut args = vec!["--armor", "--export"];
        args.extend(names);
        self.run(&args)
    }

    fn commit(&self, key: &str) -> CommitId {
        let key = format!("user.signingkey={key}");
        let args = ["-c", &key, "commit", "--quiet", "--allow-empty", "-S", "-m", "signed"];
        self.signing.sandbox.git("config", &args);
        self.signing.sandbox.head("config")
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        let _ = command.args(["--kill", "all"]).env("HOME", self.signing.sandbox.path("home")).status();
    }
}

/// gpg signs at the time of the machine's clock.
fn today() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

#[test]
fn openpgp_keys() {
    let signing = Signing::new();
    let Some(gpg) = Gpg::new(&signing) else { return };
    let ann = gpg.key("Ann <ann@example.com>", &[], "ed25519", "cert,sign");
    gpg.key("Bob <bob@example.com>", &[], "rsa2048", "cert,sign");
    // A key for everything else, and a subkey that signs.
    let eve = gpg.key("Eve <eve@example.com>", &[], "ed25519", "cert");
    gpg.run(&["--quick-add-key", &eve, "ed25519", "sign", "never"]);
    let judge = |commit: &CommitId, keys: &str| {
        let keys = signing.load("", "", keys).unwrap();
        let bad = signing.sandbox.open("config").untrusted(commit, &[], &keys, today()).unwrap();
        bad.map_or_else(String::new, |bad| bad.why)
    };
    let all = gpg.export(&[]);
    let commits = ["ann@example.com", "bob@example.com", "eve@example.com"].map(|name| (name, gpg.commit(name)));
    for (name, commit) in &commits {
        assert_eq!(judge(commit, &all), "", "{name}");
        // Blocks one after another, as `cat` makes them.
        let both = format!("Bob's:\n{}\n{}", gpg.export(&["bob@example.com"]), gpg.export(&[name]));
        assert_eq!(judge(commit, &both), "", "{name}");
    }
    let (_, by_ann) = &commits[0];
    let unknown = judge(by_ann, &gpg.export(&["bob@example.com"]));
    assert_eq!(unknown, format!("is signed by an OpenPGP key that is not in gpg_keys_file, or may not sign ({ann})"));
    let forged = signing.object(&signing.text(by_ann).replace("\n\nsigned", "\n\nforged"));
    assert_eq!(judge(&forged, &all), format!("has an OpenPGP signature that does not fit what it signs ({ann})"));
    for (name, commit) in &commits[1..] {
        let forged = signing.object(&signing.text(commit).replace("\n\nsigned", "\n\nforged"));
        assert!(judge(&forged, &all).contains("does not fit what it signs"), "{name}");
    }
    assert_eq!(judge(&signing.unsigned(), &all), "is not signed");

    // Revoked, with the certificate that gpg made along with the key.
    let revocation = signing.sandbox.path(&format!("home/.gnupg/openpgp-revocs.d/{ann}.rev"));
    let text = fs::read_to_string(&revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&revocation, text).unwrap();
    gpg.run(&["--import", &revocation.display().to_string()]);
    assert_eq!(judge(by_ann, &gpg.export(&[])), format!("is signed by an OpenPGP key that is revoked ({ann})"));
    assert_eq!(judge(&commits[1].1, &gpg.export(&[])), "", "Bob's is not");

    assert!(signing.load("", "", "no key").unwrap_err().contains("no armored public key"));
    let cut = all.get(..all.len() / 2).unwrap();
    assert!(signing.load("", "", cut).is_err(), "half of a file");
}

#[test]
fn an_openpgp_key_counts_for_its_time() {
    let signing = Signing::new();
    let Some(gpg) = Gpg::new(&signing) else { return };
    let long_ago = ["--faked-system-time", "20200101T000000!"];
    let ann = gpg.key("Ann <ann@example.com>", &long_ago, "ed25519", "cert,sign");
    let commit = gpg.commit("ann@example.com");
    let at = |keys: &str, now: Timestamp| {
        let keys = signing.load("", "", keys).unwrap();
        let bad = signing.sandbox.open("config").untrusted(&commit, &[], &keys, now).unwrap();
        bad.map_or_else(String::new, |bad| bad.why)
    };
    assert_eq!(at(&gpg.export(&[]), today()), "");
    // Its owner says later that it ended before the commit was signed.
    let later = ["--faked-system-time", "20200115T000000!"];
    gpg.run(&[&later[..], &["--quick-set-expire", &ann, "2020-02-01"]].concat());
    let said = at(&gpg.export(&[]), today());
    assert!(said.starts_with("is signed by an OpenPGP key that expired at 2020-02-01T"), "{said}");
    // One that ends after the signature counts for it, today and when it has ended.
    let end = "2099-01-01";
    gpg.run(&["--quick-set-expire", &ann, end]);
    assert_eq!(at(&gpg.export(&[]), today()), "");
    assert_eq!(at(&gpg.export(&[]), Timestamp::parse("2105-01-01T00:00:00Z").unwrap()), "");
    // One that is younger than its signature is none.
    let said = at(&gpg.export(&[]), Timestamp::parse("2019-01-01T00:00:00Z").unwrap());
    assert!(said.starts_with("is signed by an OpenPGP key that was made after that"), "{said}");
}
