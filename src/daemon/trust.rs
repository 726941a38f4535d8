//! Which commit of a branch may be acted on, where signatures are asked for.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::git::{GitError, KeyFiles, Repository, TrustedKeys};
use crate::names::CommitId;
use crate::settings::{TrustMode, TrustSettings};
use crate::time::Timestamp;

/// What came of looking at a commit's signatures.
pub(super) struct Judged {
    /// The commit to bring about; none where there is none.
    pub commit: Option<CommitId>,
    /// Why that is not the one at the head of the branch.
    pub refused: Option<String>,
}

/// The keys that count at present; none where signatures are not asked for. Those that were
/// read before are kept where the files say the same: they know what they have checked.
pub(super) fn keys(
    settings: &TrustSettings,
    before: Option<&Arc<TrustedKeys>>,
) -> Result<Option<Arc<TrustedKeys>>, String> {
    if settings.mode == TrustMode::Off {
        return Ok(None);
    }
    let read = TrustedKeys::load(&files(settings))?;
    match before.filter(|before| before.digest() == read.digest()) {
        Some(before) => Ok(Some(Arc::clone(before))),
        None => Ok(Some(Arc::new(read))),
    }
}

/// Why the keys can't be used, if so.
#[must_use]
pub fn problem_of(settings: &TrustSettings) -> Option<String> {
    keys(settings, None).err()
}

fn files(settings: &TrustSettings) -> KeyFiles {
    KeyFiles {
        ssh_allowed_signers: settings.ssh_allowed_signers_file.clone(),
        ssh_revoked_keys: settings.ssh_revoked_keys_file.clone(),
        gpg_keys: settings.gpg_keys_file.clone(),
    }
}

/// Whether the head of the branch may be acted on. If not, what was acted on before stays;
/// a daemon that has just started looks for the newest commit that may be.
pub(super) fn judge(
    repository: &Repository,
    tip: &CommitId,
    before: Option<&CommitId>,
    mode: TrustMode,
    keys: &TrustedKeys,
) -> Result<Judged, GitError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    let since: Vec<CommitId> = before.filter(|_| mode == TrustMode::Strict).cloned().into_iter().collect();
    let Some(bad) = repository.untrusted(tip, &since, keys, now)? else {
        return Ok(Judged { commit: Some(tip.clone()), refused: None });
    };
    let commit = match before {
        Some(before) => Some(before.clone()),
        None => repository.newest_trusted(tip, keys, now)?,
    };
    let instead = match &commit {
        Some(commit) => format!("{} counts until that is mended", commit.short()),
        None => "there is no commit that may be acted on, so nothing is done".to_owned(),
    };
    let refused =
        format!("commit {} {}: it is not acted on, and what runs goes on; {instead}", bad.commit.short(), bad.why);
    Ok(Judged { commit, refused: Some(refused) })
}
