//! Webhooks: a forge says that somebody has pushed, and Git is asked at once.
//!
//! A request proves that it knows the secret, and that is all that is taken from it. What
//! it says is never read: it only wakes the watcher of Git, which asks the repository as it
//! does at every tick. So a request that is sent again, or late, does no harm.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path as Named, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER_PERMISSIVE;
use futures_util::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::Notify;

use super::Shared;

/// No forge sends more: GitHub's own limit. Nothing of it is kept, so it costs no memory.
const BODY_MAX: usize = 25 * 1024 * 1024;

/// How long a request may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The least time between two questions to Git that hooks cause. Requests in between are
/// one: whatever they tell of, the next question sees it.
const GAP: Duration = Duration::from_secs(1);

/// Secrets that count at the same time: the old one and the new one, and some to spare.
const SECRETS_MAX: usize = 4;

/// More than any secret.
const SECRET_FILE_MAX: u64 = 4096;

type Signature = Hmac<Sha256>;

/// What the requests and [`run`] share.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// Somebody has pushed.
    rung: Notify,
    /// A refusal was logged, and no request was let in since.
    refusal_said: AtomicBool,
    /// The secret could not be read, that was logged, and it was not read since.
    broken_said: AtomicBool,
}

/// How a request shows that it knows the secret.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// It holds the secret itself.
    Token(Vec<u8>),
    /// It holds this signature of its body.
    Signed(Vec<u8>),
}

/// Who sends, and thereby where the proof is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    GitHub,
    GitLab,
    Gitea,
    Generic,
}

impl Sender {
    fn named(name: &str) -> Option<Self> {
        match name {
            "github" => Some(Self::GitHub),
            "gitlab" => Some(Self::GitLab),
            "gitea" => Some(Self::Gitea),
            "generic" => Some(Self::Generic),
            _ => None,
        }
    }

    /// The proof that the headers hold; the error says what there should be.
    fn proof(self, headers: &HeaderMap) -> Result<Proof, &'static str> {
        let of = |name: &str| headers.get(name).map(axum::http::HeaderValue::as_bytes);
        // GitHub says which hash it took; the others write the bare hex.
        let signed = |name: &str| {
            let value = of(name)?;
            let hex = value.strip_prefix(b"sha256=").unwrap_or(value);
            HEXLOWER_PERMISSIVE.decode(hex).ok().map(Proof::Signed)
        };
        match self {
            Self::GitHub => signed("x-hub-signature-256")
                .ok_or("there is no X-Hub-Signature-256 header with a signature: give the hook the secret"),
            Self::GitLab => of("x-gitlab-token")
                .map(|token| Proof::Token(token.to_vec()))
                .ok_or("there is no X-Gitlab-Token header: give the hook the secret as its token"),
            Self::Gitea => signed("x-gitea-signature")
                .or_else(|| signed("x-forgejo-signature"))
                .ok_or("there is no X-Gitea-Signature header with a signature: give the hook the secret"),
            Self::Generic => {
                let bearer = of(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix(b"Bearer "));
                let bearer = bearer.map(|token| Proof::Token(token.trim_ascii().to_vec()));
                bearer.or_else(|| signed("x-ionroller-signature")).ok_or(
                    "there is neither `Authorization: Bearer SECRET` nor an X-Ionroller-Signature header \
                     with the HMAC-SHA256 of the body in hex",
                )
            }
        }
    }
}

/// Answers a hook.
pub(super) async fn ring(
    State(shared): State<Shared>,
    Named(sender): Named<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(sender) = Sender::named(&sender) else {
        return refuse(StatusCode::NOT_FOUND, "there are /hooks/github, gitlab, gitea and generic");
    };
    let Some(file) = shared.followed.borrow().settings.hooks.secret_file.clone() else {
        return refuse(
            StatusCode::NOT_FOUND,
            "webhooks are off; `secret_file` in [hooks] of the daemon's file turns them on",
        );
    };
    let secrets = match read_secrets(file).await {
        Ok(secrets) => {
            shared.hooks.broken_said.store(false, Ordering::Relaxed);
            secrets
        }
        Err(said) => {
            if !shared.hooks.broken_said.swap(true, Ordering::Relaxed) {
                tracing::error!("webhooks are refused: {said}");
            }
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the daemon cannot read its secret; its log says why");
        }
    };
    let proof = match sender.proof(&headers) {
        Ok(proof) => proof,
        Err(said) => {
            shared.hooks.complain(said);
            return refuse(StatusCode::UNAUTHORIZED, said);
        }
    };
    if announced(&headers).is_some_and(|bytes| bytes > BODY_MAX as u64) {
        return too_large();
    }
    match tokio::time::timeout(BODY_TIME, is_genuine(&secrets, &proof, body)).await {
        Ok(Checked::Yes) => {
            shared.hooks.refusal_said.store(false, Ordering::Relaxed);
            tracing::debug!(?sender, "a webhook: Git is asked");
            shared.hooks.rung.notify_one();
            (StatusCode::ACCEPTED, "Git is asked\n").into_response()
        }
        Ok(Checked::No) => {
            let said = "what the request shows does not fit the secret";
            shared.hooks.complain(said);
            refuse(StatusCode::UNAUTHORIZED, said)
        }
        Ok(Checked::TooLarge) => too_large(),
        Ok(Checked::CutOff) => refuse(StatusCode::BAD_REQUEST, "the request was cut off"),
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    }
}

impl Hooks {
    /// Says that a request was refused: once until one is let in, for anybody can send any.
    fn complain(&self, said: &str) {
        if !self.refusal_said.swap(true, Ordering::Relaxed) {
            tracing::warn!("a webhook was refused: {said}");
        }
    }
}

fn refuse(code: StatusCode, said: &str) -> Response {
    (code, format!("{said}\n")).into_response()
}

fn too_large() -> Response {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 25 MiB")
}

/// The length of the body, where it is said beforehand.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a request turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Checked {
    Yes,
    No,
    TooLarge,
    CutOff,
}

/// Whether a request knows one of the secrets. Its body goes through the signature piece by
/// piece and is never held. Comparing takes the same time wherever the difference is.
async fn is_genuine(secrets: &[Signature], proof: &Proof, body: Body) -> Checked {
    let mut signatures = secrets.to_vec();
    match proof {
        Proof::Token(token) => return token_fits(secrets, token),
        Proof::Signed(_) => {}
    }
    let mut pieces = body.into_data_stream();
    let mut length = 0_usize;
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else { return Checked::CutOff };
        length = length.saturating_add(piece.len());
        if length > BODY_MAX {
            return Checked::TooLarge;
        }
        signatures.iter_mut().for_each(|signature| signature.update(&piece));
    }
    let Proof::Signed(shown) = proof else { return Checked::No };
    // All of them are compared: which one fits is nobody's business either.
    let fitting = signatures.into_iter().filter(|signature| signature.clone().verify_slice(shown).is_ok()).count();
    if fitting > 0 { Checked::Yes } else { Checked::No }
}

/// Two texts are compared by what they make of the same message: neither their length nor
/// where they differ can be told from the time that it takes.
fn token_fits(secrets: &[Signature], token: &[u8]) -> Checked {
    const MESSAGE: &[u8] = b"token";
    let Ok(of_token) = Signature::new_from_slice(token) else { return Checked::No };
    let shown = of_token.chain_update(MESSAGE).finalize().into_bytes();
    let fits = |secret: &&Signature| (*secret).clone().chain_update(MESSAGE).verify_slice(&shown).is_ok();
    if secrets.iter().filter(fits).count() > 0 { Checked::Yes } else { Checked::No }
}

/// The secrets of the file, each ready to sign. The file is read for each request, so that
/// a new secret counts at once.
async fn read_secrets(file: PathBuf) -> Result<Vec<Signature>, String> {
    let read = tokio::task::spawn_blocking(move || secrets(&file)).await;
    read.unwrap_or_else(|error| Err(format!("reading the secret ended early: {error}")))
}

/// The secrets in a file, one a line.
fn secrets(file: &Path) -> Result<Vec<Signature>, String> {
    let said = |why: &dyn std::fmt::Display| format!("hooks.secret_file {}: {why}", file.display());
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| said(&error))?;
    opened.take(SECRET_FILE_MAX + 1).read_to_end(&mut bytes).map_err(|error| said(&error))?;
    if bytes.len() as u64 > SECRET_FILE_MAX {
        return Err(said(&format!("it has more than {SECRET_FILE_MAX} bytes")));
    }
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let secrets: Vec<Signature> = lines.filter_map(|line| Signature::new_from_slice(line).ok()).collect();
    match secrets.len() {
        0 => Err(said(&"it holds no secret")),
        1..=SECRETS_MAX => Ok(secrets),
        count => Err(said(&format!("it holds {count} secrets, one a line, and at most {SECRETS_MAX} may be"))),
    }
}

/// Why the file of secrets can't be used, if so.
#[must_use]
pub fn problem_of(file: &Path) -> Option<String> {
    secrets(file).err()
}

/// Hands the hooks on to the watcher of Git, at most one in a while, until it is stopped.
pub(super) async fn run(shared: Shared) {
    let (hooks, wake) = (Arc::clone(&shared.hooks), Arc::clone(&shared.wake));
    let relay = async {
        loop {
            hooks.rung.notified().await;
            wake.notify_one();
            // One that comes meanwhile is kept, and handed on afterwards.
            tokio::time::sleep(GAP).await;
        }
    };
    tokio::select! {
        () = relay => {}
        () = shared.stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const GITHUB: (&str, &str, &str) = (
        "It's a Secret to Everybody",
        "Hello, World!",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn keys(secrets: &[&str]) -> Vec<Signature> {
        secrets.iter().map(|secret| Signature::new_from_slice(secret.as_bytes()).unwrap()).collect()
    }

    async fn check(sender: &str, secrets: &[&str], pairs: &[(&'static str, &str)], body: &str) -> Option<Checked> {
        let proof = Sender::named(sender).unwrap().proof(&headers(pairs)).ok()?;
        Some(is_genuine(&keys(secrets), &proof, Body::from(body.to_owned())).await)
    }

    #[tokio::test]
    async fn signatures_of_the_body_count() {
        let (secret, body, signature) = GITHUB;
        let hex = signature.strip_prefix("sha256=").unwrap();
        let upper = hex.to_uppercase();
        let good = [
            ("github", "x-hub-signature-256", signature),
            ("gitea", "x-gitea-signature", hex),
            ("gitea", "x-forgejo-signature", hex),
            ("generic", "x-ionroller-signature", hex),
            ("generic", "x-ionroller-signature", &upper),
        ];
        for (sender, name, value) in good {
            assert_eq!(check(sender, &[secret], &[(name, value)], body).await, Some(Checked::Yes), "{sender}");
            assert_eq!(check(sender, &["new", secret], &[(name, value)], body).await, Some(Checked::Yes), "{sender}");
            assert_eq!(check(sender, &["another"], &[(name, value)], body).await, Some(Checked::No), "{sender}");
            assert_eq!(check(sender, &[secret], &[(name, value)], "Hello, world!").await, Some(Checked::No));
            assert_eq!(check(sender, &[secret], &[(name, &value[..value.len() - 2])], body).await, Some(Checked::No));
            assert_eq!(check(sender, &[secret], &[(name, "")], body).await, Some(Checked::No));
        }
        // The header of another sender, no hex, none at all.
        assert_eq!(check("gitea", &[secret], &[("x-hub-signature-256", signature)], body).await, None);
        assert_eq!(check("github", &[secret], &[("x-hub-signature-256", "sha256=zz")], body).await, None);
        assert_eq!(check("github", &[secret], &[], body).await, None);
        // The old signature, with SHA-1, is none.
        assert_eq!(check("github", &[secret], &[("x-hub-signature", "sha1=00")], body).await, None);
    }

    #[tokio::test]
    async fn tokens_count() {
        let good = [("gitlab", "x-gitlab-token", "s3cret"), ("generic", "authorization", "Bearer s3cret")];
        for (sender, name, value) in good {
            assert_eq!(check(sender, &["s3cret"], &[(name, value)], "").await, Some(Checked::Yes), "{sender}");
            assert_eq!(check(sender, &["old", "s3cret"], &[(name, value)], "").await, Some(Checked::Yes), "{sender}");
            for other in ["s3cre", "s3crett", "S3cret", "s3cret2", "x"] {
                assert_eq!(check(sender, &[other], &[(name, value)], "").await, Some(Checked::No), "{other}");
            }
        }
        assert_eq!(check("gitlab", &["s3cret"], &[("x-gitlab-token", "")], "").await, Some(Checked::No));
        assert_eq!(check("generic", &["s3cret"], &[("authorization", "Basic s3cret")], "").await, None);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_not_read_to_its_end() {
        // It has no end at all.
        let endless = futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(vec![0_u8; 64 * 1024]));
        let proof = Proof::Signed(vec![0; 32]);
        assert_eq!(is_genuine(&keys(&["s3cret"]), &proof, Body::from_stream(endless)).await, Checked::TooLarge);
    }

    #[test]
    fn a_file_holds_one_secret_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            secrets(&file).map(|secrets| secrets.len())
        };
        assert_eq!(read("one"), Ok(1));
        assert_eq!(read(" one \r\n\n two\n"), Ok(2));
        assert!(read("").unwrap_err().ends_with("it holds no secret"));
        assert!(read(" \n\n").unwrap_err().ends_with("it holds no secret"), "an empty one would let everybody in");
        assert!(read("a\nb\nc\nd\ne\n").unwrap_err().contains("at most 4"));
        assert!(read(&"a".repeat(5000)).unwrap_err().contains("more than 4096 bytes"));
        std::fs::remove_file(&file).unwrap();
        assert!(problem_of(&file).unwrap().contains("No such file"));
    }
}
