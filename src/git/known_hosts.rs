//! The keys of ssh servers that somebody has vouched for, as OpenSSH writes them down.

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use ssh_key::{Certificate, HashAlg};

use super::source::Server;
use crate::bounded;

/// The largest file of known hosts that is read. A line has some hundred bytes.
pub const KNOWN_HOSTS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the files say about the key that a server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the key of this server.
    Known,
    /// The server is not there, or only with keys of these other types.
    Unknown {
        /// Such as `ssh-rsa`, in the order of the files.
        other_types: Vec<String>,
    },
    /// The server is there with another key of the same type.
    Changed(Line),
    /// The key is there as one that must not be trusted.
    Revoked(Line),
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub file: PathBuf,
    /// From 1.
    pub number: usize,
}

/// Some files of known hosts, read.
#[derive(Debug, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// This is the key of these hosts.
    Key,
    /// Certificates that this key has signed name keys of these hosts.
    Authority,
    /// This key must not be trusted.
    Revoked,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    says: Says,
    hosts: String,
    key: Vec<u8>,
}

impl KnownHosts {
    /// Reads another file. A line that makes no sense is passed over, as ssh does: it
    /// vouches for nobody.
    ///
    /// # Errors
    /// It can't be read, or is too large.
    pub fn read(&mut self, file: &Path) -> io::Result<()> {
        let text = bounded::read(file, KNOWN_HOSTS_BYTES_MAX)?;
        self.add(file, &String::from_utf8_lossy(&text));
        Ok(())
    }

    /// Adds the text of a file.
    pub fn add(&mut self, file: &Path, text: &str) {
        for (index, text) in text.lines().enumerate() {
            let line = Line { file: file.to_owned(), number: index + 1 };
            self.entries.extend(entry(line, text));
        }
    }

    /// What they say about the key `key` (in the form of the wire) of a server, at a time in
    /// seconds since 1970. Where the server shows a certificate, the key inside counts as well:
    /// it has proved that it holds that one.
    pub fn check(&self, server: &Server, key: &[u8], now: u64) -> Verdict {
        let name = name(server);
        let entries = |says| self.entries.iter().filter(move |entry| entry.says == says);
        let here = |says| entries(says).filter(|entry| matches(&entry.hosts, &name));
        let plain = plain_key(key);
        let certificate = (plain != key).then(|| Certificate::from_bytes(key).ok()).flatten();
        let authority = certificate.as_ref().and_then(|it| it.signature_key().clone().try_into_bytes());
        let shown = [Some(key), Some(plain.as_slice()), authority.as_deref()];
        if let Some(entry) = here(Says::Revoked).find(|entry| shown.contains(&Some(entry.key.as_slice()))) {
            return Verdict::Revoked(entry.line.clone());
        }
        if here(Says::Key).any(|entry| entry.key == key || entry.key == plain) {
            return Verdict::Known;
        }
        if let (Some(certificate), Some(authority)) = (certificate, authority)
            && entries(Says::Authority)
                // An authority of a host is one for all its ports.
                .filter(|entry| matches(&entry.hosts, &name) || matches(&entry.hosts, &server.host))
                .any(|entry| entry.key == authority)
            && vouches(&certificate, server, now)
        {
            return Verdict::Known;
        }
        match here(Says::Key).find(|entry| key_type(&entry.key) == key_type(&plain)) {
            Some(entry) => Verdict::Changed(entry.line.clone()),
            None => Verdict::Unknown { other_types: here(Says::Key).map(|entry| key_type(&entry.key)).collect() },
        }
    }
}

/// The bytes of a key, as the files have them.
trait TryIntoBytes {
    fn try_into_bytes(self) -> Option<Vec<u8>>;
}

impl TryIntoBytes for ssh_key::public::KeyData {
    fn try_into_bytes(self) -> Option<Vec<u8>> {
        ssh_key::PublicKey::from(self).to_bytes().ok()
    }
}

/// Whether a certificate, by whomever it says that it is signed, is good for a server now.
fn vouches(certificate: &Certificate, server: &Server, now: u64) -> bool {
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate.cert_type().is_host()
        && certificate.valid_principals().iter().any(|name| name.eq_ignore_ascii_case(&server.host))
        && certificate.validate_at(now, [&authority]).is_ok()
}

/// The key inside a certificate; anything else as it is.
pub(super) fn plain_key(key: &[u8]) -> Vec<u8> {
    let inside = || {
        let kind = key_type(key);
        let plain = kind.strip_suffix("-cert-v01@openssh.com")?;
        let (_, rest) = string(key)?;
        // A number used once, then the parts of the key, of which there are so many.
        let (_, parts) = string(rest)?;
        let count = if plain == "ssh-ed25519" { 1 } else { 2 };
        let mut after = parts;
        for _ in 0..count {
            after = string(after)?.1;
        }
        let length = u32::try_from(plain.len()).ok()?.to_be_bytes();
        Some([&length[..], plain.as_bytes(), &parts[..parts.len() - after.len()]].concat())
    };
    inside().unwrap_or_else(|| key.to_vec())
}

/// A string of the wire, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn entry(line: Line, text: &str) -> Option<Entry> {
    let mut words = text.split_whitespace().peekable();
    let says = match *words.peek()? {
        "@revoked" => Says::Revoked,
        "@cert-authority" => Says::Authority,
        word if word.starts_with(['#', '@']) => return None,
        _ => Says::Key,
    };
    if says != Says::Key {
        words.next();
    }
    let hosts = words.next()?.to_owned();
    let kind = words.next()?;
    let key = BASE64.decode(words.next()?.as_bytes()).ok()?;
    (key_type(&key) == kind).then_some(Entry { line, says, hosts, key })
}

/// The name under which a server stands in the files.
pub(super) fn name(server: &Server) -> String {
    match server.port {
        22 => server.host.clone(),
        port => format!("[{}]:{port}", server.host),
    }
}

/// Such as `ssh-ed25519`: the first string of a key.
pub(super) fn key_type(key: &[u8]) -> String {
    let Some((length, rest)) = key.split_first_chunk::<4>() else {
        return "unknown".to_owned();
    };
    let kind = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| rest.get(..length));
    kind.map_or_else(|| "unknown".to_owned(), |kind| String::from_utf8_lossy(kind).escape_debug().to_string())
}

/// A key as people compare it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(key)))
}

/// Whether the first word of a line means a server.
fn matches(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return is_hash_of(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(&pattern.to_ascii_lowercase(), name) => return false,
            Some(_) => {}
            None => found |= fits(&pattern.to_ascii_lowercase(), name),
        }
    }
    found
}

/// `SALT|HASH`, which hides the name from whoever reads the file.
fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let salt = BASE64.decode(salt.as_bytes()).ok()?;
    let hash = BASE64.decode(hash.as_bytes()).ok()?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&hash).is_ok())
}

/// `*` is any text, `?` any character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(b'?') => (at, read) = (at + 1, read + 1),
            Some(byte) if *byte == name[read] => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((star_at, star_read)) => {
                    star = Some((star_at, star_read + 1));
                    (at, read) = (star_at + 1, star_read + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.to_owned(), port }
    }

    fn key(kind: &str, body: u8) -> Vec<u8> {
        let mut key = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        key.extend(kind.bytes());
        key.extend([body; 8]);
        key
    }

    fn line(hosts: &str, kind: &str, body: u8) -> String {
        format!("{hosts} {kind} {} a comment\n", BASE64.encode(&key(kind, body)))
    }

    fn verdict(text: &str, server: &Server, kind: &str, body: u8) -> Verdict {
        let mut known = KnownHosts::default();
        known.add(Path::new("known"), text);
        known.check(server, &key(kind, body), 0)
    }

    fn at(number: usize) -> Line {
        Line { file: PathBuf::from("known"), number }
    }

    const NOBODY: Verdict = Verdict::Unknown { other_types: Vec::new() };

    #[test]
    fn a_key_is_known_changed_or_unknown() {
        let text =
            format!("# mine\n\n{}{}", line("git.example.com,10.0.0.1", "ssh-ed25519", 1), line("b", "ssh-rsa", 9));
        let git = server("git.example.com", 22);
        assert_eq!(verdict(&text, &git, "ssh-ed25519", 1), Verdict::Known);
        assert_eq!(verdict(&text, &server("10.0.0.1", 22), "ssh-ed25519", 1), Verdict::Known);
        assert_eq!(verdict(&text, &git, "ssh-ed25519", 2), Verdict::Changed(at(3)));
        let other_types = vec!["ssh-ed25519".to_owned()];
        assert_eq!(verdict(&text, &git, "ssh-rsa", 1), Verdict::Unknown { other_types });
        assert_eq!(verdict(&text, &server("other", 22), "ssh-ed25519", 1), NOBODY);
        // A key is vouched for at one port only.
        assert_eq!(verdict(&text, &server("git.example.com", 2222), "ssh-ed25519", 1), NOBODY);
    }

    #[test]
    fn one_of_several_keys_is_enough_and_a_revoked_one_never() {
        let text = line("a", "ssh-ed25519", 1) + &line("a", "ssh-ed25519", 2);
        assert_eq!(verdict(&text, &server("a", 22), "ssh-ed25519", 2), Verdict::Known);
        let text = text + "@revoked " + &line("*", "ssh-ed25519", 2);
        assert_eq!(verdict(&text, &server("a", 22), "ssh-ed25519", 2), Verdict::Revoked(at(3)));
        assert_eq!(verdict(&text, &server("a", 22), "ssh-ed25519", 1), Verdict::Known);
    }

    #[test]
    fn patterns_and_ports() {
        let fit = |hosts: &str, host: &str, port| {
            verdict(&line(hosts, "ssh-rsa", 1), &server(host, port), "ssh-rsa", 1) == Verdict::Known
        };
        assert!(fit("[a.example.com]:2222", "a.example.com", 2222));
        assert!(fit("*.example.com", "a.example.com", 22));
        assert!(fit("A.Example.com", "a.example.com", 22));
        assert!(fit("host?", "host1", 22));
        assert!(fit("*a*b", "xaxaxb", 22));
        assert!(!fit("*.example.com", "example.com", 22));
        assert!(!fit("*.example.com,!a.example.com", "a.example.com", 22));
        assert!(!fit("!a.example.com,*.example.com", "a.example.com", 22));
        assert!(!fit("[a.example.com]:2222", "a.example.com", 22));
    }

    #[test]
    fn hashed_names_as_ssh_keygen_makes_them() {
        // ssh-keygen -H on a line for [git.example.com]:29418.
        let text = line("|1|dJ/P588Z9LZpbUAjKf6kkOk3n8o=|RK1WL0CUCQCu2iz78Susu44UkVw=", "ssh-rsa", 1);
        assert_eq!(verdict(&text, &server("git.example.com", 29418), "ssh-rsa", 1), Verdict::Known);
        assert_eq!(verdict(&text, &server("git.example.com", 22), "ssh-rsa", 1), NOBODY);
    }

    #[test]
    fn nonsense_vouches_for_nobody() {
        let wrong_type = line("a", "ssh-rsa", 1).replace(" ssh-rsa ", " ssh-ed25519 ");
        for text in ["a", "a ssh-rsa", "a ssh-rsa !!!", "@cert-authority a ssh-rsa AAAA", "|1|x a b", &wrong_type] {
            assert_eq!(verdict(text, &server("a", 22), "ssh-rsa", 1), NOBODY, "{text}");
        }
        assert_eq!(key_type(&[0, 0, 0, 99, 1]), "unknown");
    }

    #[test]
    fn a_fingerprint_looks_as_ssh_shows_it() {
        let github = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let key = BASE64.decode(github.as_bytes()).unwrap();
        assert_eq!(key_type(&key), "ssh-ed25519");
        assert_eq!(fingerprint(&key), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }
}
