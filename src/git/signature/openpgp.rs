//! Signatures by OpenPGP keys.
//!
//! The library says whether a signature fits a key. Whether the key may sign, is the
//! holder's at all, has expired or was revoked is for its caller to ask, which is here.

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, Tag, VerifyingKey};

use crate::time::Timestamp;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The keys of a file.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// A key that may sign, and how long it counts.
struct Signer<'k> {
    key: &'k dyn Fits,
    /// In seconds since 1970.
    created: u64,
    expires: Option<u64>,
    revoked: bool,
}

/// Whether a signature fits a key. Primary keys and subkeys are types of their own.
trait Fits {
    fn fits(&self, signature: &Signature, content: &[u8]) -> bool;
    fn is_named_by(&self, signature: &Signature) -> bool;
    fn shown(&self) -> String;
}

impl<K: VerifyingKey + KeyDetails> Fits for K {
    fn fits(&self, signature: &Signature, content: &[u8]) -> bool {
        signature.verify(self, content).is_ok()
    }

    fn is_named_by(&self, signature: &Signature) -> bool {
        signature.issuer_fingerprint().contains(&&self.fingerprint())
            || signature.issuer_key_id().contains(&&self.legacy_key_id())
    }

    fn shown(&self) -> String {
        format!("{:X}", self.fingerprint())
    }
}

impl Keyring {
    /// Reads armored keys, one block after another.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let blocks = text.split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{rest}"));
        for (number, block) in blocks.enumerate() {
            let wrong = |error: &dyn std::fmt::Display| format!("key block {}: {error}", number + 1);
            let (read, _) = SignedPublicKey::from_armor_many(block.as_bytes()).map_err(|error| wrong(&error))?;
            for key in read {
                let key = key.map_err(|error| wrong(&error))?;
                if self_signatures(&key).next().is_none() {
                    return Err(wrong(&"it has no name that its owner has signed"));
                }
                keys.push(key);
            }
        }
        if keys.is_empty() && !text.trim().is_empty() {
            return Err("it has no armored public key; gpg --armor --export KEY writes one".to_owned());
        }
        Ok(Self { keys })
    }

    /// Whether no key counts.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Who made a signature; the error says why it does not count.
    pub fn judge(&self, armored: &str, content: &[u8], now: Timestamp) -> Result<String, String> {
        let unreadable =
            |error: &dyn std::fmt::Display| format!("has an OpenPGP signature that cannot be read: {error}");
        let (signature, _) =
            DetachedSignature::from_armor_single(armored.as_bytes()).map_err(|error| unreadable(&error))?;
        let signature = signature.signature;
        let made = made_at(&signature).ok_or_else(|| unreadable(&"it does not say when it was made"))?;
        is_sound(&signature).map_err(|why| unreadable(&why))?;
        let now = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
        for key in &self.keys {
            for signer in signers(key) {
                if signer.key.fits(&signature, content) {
                    return signer.accepts(&signature, made.min(now), now, key);
                }
                if signer.key.is_named_by(&signature) {
                    let shown = signer.key.shown();
                    return Err(format!("has an OpenPGP signature that does not fit what it signs ({shown})"));
                }
            }
        }
        let ids: Vec<String> = signature.issuer_fingerprint().into_iter().map(|id| format!("{id:X}")).collect();
        let ids = if ids.is_empty() { "which it does not name".to_owned() } else { ids.join(", ") };
        Err(format!("is signed by an OpenPGP key that is not in gpg_keys_file, or may not sign ({ids})"))
    }
}

impl Signer<'_> {
    fn accepts(&self, signature: &Signature, at: u64, now: u64, owner: &SignedPublicKey) -> Result<String, String> {
        let shown = self.key.shown();
        let refuse = |why: &str| Err(format!("is signed by an OpenPGP key that {why} ({shown})"));
        if self.revoked {
            return refuse("is revoked");
        }
        if at < self.created {
            return refuse("was made after that");
        }
        if let Some(expires) = self.expires.filter(|expires| at >= *expires) {
            let when = Timestamp::from_secs(i64::try_from(expires).unwrap_or(i64::MAX));
            return refuse(&format!("expired at {when}, before the signature was made"));
        }
        let lasts = signature.signature_expiration_time().map(|lasts| u64::from(lasts.as_secs()));
        if lasts.is_some_and(|lasts| lasts > 0 && now >= at + lasts) {
            return Err(format!("has an OpenPGP signature that has expired ({shown})"));
        }
        let user = owner.details.users.first().map(|user| user.id.as_str().unwrap_or_default().to_owned());
        Ok(user.unwrap_or(shown))
    }
}

/// Whether it is a signature of content, by what nobody can forge today, and without a
/// condition that is not understood here.
fn is_sound(signature: &Signature) -> Result<(), String> {
    let Some(config) = signature.config() else { return Err("its version is not supported".to_owned()) };
    if !matches!(config.typ, SignatureType::Binary | SignatureType::Text) {
        return Err("it is no signature of content".to_owned());
    }
    if matches!(config.hash_alg, HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160) {
        return Err(format!("its hash, {:?}, is too weak", config.hash_alg));
    }
    let unknown = |data: &SubpacketData| {
        matches!(data, SubpacketData::Notation(_) | SubpacketData::Experimental(..) | SubpacketData::Other(..))
    };
    if config.hashed_subpackets.iter().any(|packet| packet.is_critical && unknown(&packet.data)) {
        return Err("it has a condition that is not understood".to_owned());
    }
    Ok(())
}

fn made_at(signature: &Signature) -> Option<u64> {
    signature.created().map(|created| u64::from(created.as_secs()))
}

/// The signatures by which a key's owner says what the key is: on its names and on itself.
fn self_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &key.primary_key;
    let on_names = key.details.users.iter().flat_map(move |user| {
        let of_owner = move |signature: &&Signature| {
            signature.is_certification() && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(of_owner)
    });
    let on_itself =
        key.details.direct_signatures.iter().filter(move |signature| {
            signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
        });
    on_names.chain(on_itself)
}

/// The keys of an owner that may sign content.
fn signers(key: &SignedPublicKey) -> Vec<Signer<'_>> {
    let primary = &key.primary_key;
    let created = u64::from(primary.created_at().as_secs());
    let revoked = key.details.revocation_signatures.iter().any(|signature| {
        signature.typ() == Some(SignatureType::KeyRevocation) && signature.verify_key(primary).is_ok()
    });
    let Some(newest) = self_signatures(key).max_by_key(|signature| made_at(signature)) else { return Vec::new() };
    let expires = expiry(created, newest);
    let mut signers = Vec::new();
    if newest.key_flags().sign() {
        signers.push(Signer { key: primary, created, expires, revoked });
    }
    for subkey in &key.public_subkeys {
        let binds = |signature: &&Signature| {
            signature.typ() == Some(SignatureType::SubkeyBinding)
                && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        };
        let Some(binding) = subkey.signatures.iter().filter(binds).max_by_key(|signature| made_at(signature)) else {
            continue;
        };
        // A subkey that signs says itself whose it is, or anybody could claim it.
        let agrees = binding
            .embedded_signature()
            .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
        if !binding.key_flags().sign() || !agrees {
            continue;
        }
        let gone = subkey.signatures.iter().any(|signature| {
            signature.typ() == Some(SignatureType::SubkeyRevocation)
                && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        });
        let since = u64::from(subkey.key.created_at().as_secs());
        let own = expiry(since, binding);
        let expires = [expires, own].into_iter().flatten().min();
        signers.push(Signer { key: &subkey.key, created: since, expires, revoked: revoked || gone });
    }
    signers
}

fn expiry(created: u64, signature: &Signature) -> Option<u64> {
    let lasts = signature.key_expiration_time().map(|lasts| u64::from(lasts.as_secs()))?;
    (lasts > 0).then_some(created + lasts)
}
