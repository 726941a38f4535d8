//! Who signed a commit, and whether that is somebody whose word counts.
//!
//! A signature covers the commit object, and with it, by their digests, every file and
//! every commit before it. It is judged by the key that made it: what a commit says of its
//! author and committer proves nothing, whoever writes it may write anything.
//!
//! No gpg and no ssh-keygen is run: nothing of the machine's own configuration or keys has
//! a say.

mod openpgp;
mod ssh;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::error::GitError;
use super::history::COMMITS_MAX;
use super::repository::{Repository, oid};
use crate::names::CommitId;
use crate::time::Timestamp;

/// A file of keys is not larger than this.
const KEY_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Commits further back than this are not looked at for one to go on with.
const FIRST_PARENTS_MAX: usize = 1_000;

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyFiles {
    /// SSH keys, in the form of OpenSSH's allowed signers.
    pub ssh_allowed_signers: Option<PathBuf>,
    /// SSH keys that count no more, one public key a line.
    pub ssh_revoked_keys: Option<PathBuf>,
    /// OpenPGP keys, armored.
    pub gpg_keys: Option<PathBuf>,
}

/// Keys whose signatures count.
#[derive(Debug)]
pub struct TrustedKeys {
    ssh: ssh::Signers,
    openpgp: openpgp::Keyring,
    digest: String,
    /// Commits that were found good: none is checked twice.
    good: Mutex<BTreeSet<CommitId>>,
}

/// A commit whose signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// Which.
    pub commit: CommitId,
    /// Why, as the end of a sentence that begins with the commit.
    pub why: String,
}

impl TrustedKeys {
    /// Reads the keys.
    ///
    /// # Errors
    /// A file can't be read or understood, or there is no key at all; for people.
    pub fn load(files: &KeyFiles) -> Result<Self, String> {
        let mut digest = Sha256::new();
        let mut read = |path: &Option<PathBuf>| -> Result<String, String> {
            let text = path.as_deref().map_or_else(|| Ok(String::new()), read_keys)?;
            digest.update(text.len().to_le_bytes());
            digest.update(&text);
            Ok(text)
        };
        let (signers, revoked, armored) =
            (read(&files.ssh_allowed_signers)?, read(&files.ssh_revoked_keys)?, read(&files.gpg_keys)?);
        let at = |path: &Option<PathBuf>| {
            let shown = path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            move |why: String| format!("{shown}: {why}")
        };
        let ssh = ssh::Signers::parse(&signers).map_err(at(&files.ssh_allowed_signers))?;
        let ssh = ssh.without(&revoked).map_err(at(&files.ssh_revoked_keys))?;
        let openpgp = openpgp::Keyring::parse(&armored).map_err(at(&files.gpg_keys))?;
        if ssh.is_empty() && openpgp.is_empty() {
            return Err("[trust] names no key: give it ssh_allowed_signers_file or gpg_keys_file".to_owned());
        }
        let digest = data_encoding::HEXLOWER.encode(&digest.finalize());
        Ok(Self { ssh, openpgp, digest, good: Mutex::default() })
    }

    /// What names this very set of keys.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Who signed some content; the error is the end of a sentence. A time that lies ahead
    /// of `now` counts as now.
    fn judge(&self, signature: &[u8], content: &[u8], committed: Timestamp, now: Timestamp) -> Result<String, String> {
        let text = String::from_utf8_lossy(signature);
        match text.trim_start() {
            ssh if ssh.starts_with("-----BEGIN SSH SIGNATURE-----") => self.ssh.judge(ssh, content, committed.min(now)),
            openpgp if openpgp.starts_with("-----BEGIN PGP SIGNATURE-----") => {
                self.openpgp.judge(openpgp, content, now)
            }
            _ => Err("is signed in a form that is not checked (neither SSH nor OpenPGP)".to_owned()),
        }
    }

    fn is_known_good(&self, commit: &CommitId) -> bool {
        self.good.lock().unwrap_or_else(PoisonError::into_inner).contains(commit)
    }

    fn note_good(&self, commit: &CommitId) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() > 2 * COMMITS_MAX {
            good.clear();
        }
        good.insert(commit.clone());
    }
}

fn read_keys(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let length = fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if length > KEY_FILE_MAX {
        return Err(format!("{shown} has more than {KEY_FILE_MAX} bytes"));
    }
    fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))
}

impl Repository {
    /// The newest commit that isn't trusted, of `newest` and of all that it is made of and
    /// `since` is not. Without any `since` only `newest` itself is looked at.
    ///
    /// # Errors
    /// A commit can't be read.
    pub fn untrusted(
        &self,
        newest: &CommitId,
        since: &[CommitId],
        keys: &TrustedKeys,
        now: Timestamp,
    ) -> Result<Option<Untrusted>, GitError> {
        if since.is_empty() {
            return self.distrust(newest, keys, now);
        }
        let mut known = Vec::new();
        for id in since {
            match self.find_commit(id) {
                Ok(_) => known.push(oid(id)),
                // Without it more is looked at, not less, as long as another one is known.
                Err(GitError::UnknownCommit { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let since = known;
        if since.is_empty() {
            let why = "can't be held against what was acted on, which is not in this repository".to_owned();
            return Ok(Some(Untrusted { commit: newest.clone(), why }));
        }
        let walked = self.walk_between(oid(newest), &since).map_err(|error| self.walk(error))?;
        if walked.len() >= COMMITS_MAX {
            let why = format!("has {COMMITS_MAX} commits or more before it that are new, which is too many to check");
            return Ok(Some(Untrusted { commit: newest.clone(), why }));
        }
        for id in walked {
            if let Some(bad) = self.distrust(&super::repository::commit_id(id), keys, now)? {
                return Ok(Some(bad));
            }
        }
        Ok(None)
    }

    /// The newest commit that is trusted, from `tip` back along first parents, which on a
    /// branch that is released from are its states one by one.
    ///
    /// # Errors
    /// A commit can't be read.
    pub fn newest_trusted(
        &self,
        tip: &CommitId,
        keys: &TrustedKeys,
        now: Timestamp,
    ) -> Result<Option<CommitId>, GitError> {
        let mut next = Some(tip.clone());
        for _ in 0..FIRST_PARENTS_MAX {
            let Some(commit) = next else { return Ok(None) };
            if self.distrust(&commit, keys, now)?.is_none() {
                return Ok(Some(commit));
            }
            next = self.find_commit(&commit)?.parent_id(0).ok().map(super::repository::commit_id);
        }
        Ok(None)
    }

    /// What is wrong with one commit's signature, if anything.
    fn distrust(&self, id: &CommitId, keys: &TrustedKeys, now: Timestamp) -> Result<Option<Untrusted>, GitError> {
        if keys.is_known_good(id) {
            return Ok(None);
        }
        let commit = self.find_commit(id)?;
        let bad = |why: String| Ok(Some(Untrusted { commit: id.clone(), why }));
        let (signature, content) = match self.handle.extract_signature(&oid(id), None) {
            Ok(parts) => parts,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return bad("is not signed".to_owned()),
            Err(error) => return bad(format!("has a signature that cannot be read: {}", error.message())),
        };
        match keys.judge(&signature, &content, Timestamp::from_secs(commit.time().seconds()), now) {
            Ok(_) => {
                keys.note_good(id);
                Ok(None)
            }
            Err(why) => bad(why),
        }
    }
}
