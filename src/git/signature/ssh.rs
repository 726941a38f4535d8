//! Signatures by SSH keys, and the file that says whose count.

use ssh_key::public::KeyData;
use ssh_key::{Fingerprint, HashAlg, PublicKey, SshSig};

use crate::time::Timestamp;

/// What git signs for. A signature of the same key for mail or files is none for commits.
const NAMESPACE: &str = "git";

/// The keys of an allowed signers file.
#[derive(Debug, Default)]
pub struct Signers {
    signers: Vec<Signer>,
    revoked: Vec<KeyData>,
}

/// One line of it.
#[derive(Debug)]
struct Signer {
    /// Who, for messages only: the key decides.
    who: String,
    key: KeyData,
    options: Options,
}

/// When and for what a key counts.
#[derive(Debug, Default)]
struct Options {
    /// What the key may sign for; none: anything.
    namespaces: Option<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Signers {
    /// Reads a file of allowed signers. What is not understood is an error: half a rule
    /// could let in more than was meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut signers = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            signers.push(Signer::parse(line).map_err(|why| format!("line {}: {why}", number + 1))?);
        }
        Ok(Self { signers, revoked: Vec::new() })
    }

    /// The same without the keys of another file, one public key a line.
    pub fn without(self, revoked: &str) -> Result<Self, String> {
        if revoked.starts_with("SSHKRL") {
            return Err("it is a binary key revocation list; write the public keys into it, one a line".to_owned());
        }
        let lines = revoked.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(|(number, line)| {
            let key = PublicKey::from_openssh(line);
            key.map(|key| key.key_data().clone()).map_err(|error| format!("line {}: {error}", number + 1))
        });
        Ok(Self { revoked: keys.collect::<Result<_, _>>()?, ..self })
    }

    /// Whether no key counts.
    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    /// Who made a signature; the error says why it does not count.
    pub fn judge(&self, signature: &str, content: &[u8], at: Timestamp) -> Result<String, String> {
        let signature = SshSig::from_pem(signature)
            .map_err(|error| format!("has an SSH signature that cannot be read: {error}"))?;
        let shown = signature.public_key().fingerprint(HashAlg::Sha256);
        if self.revoked.contains(signature.public_key()) {
            return Err(format!("is signed by an SSH key that is revoked ({shown})"));
        }
        let key = PublicKey::from(signature.public_key().clone());
        if signature.namespace() != NAMESPACE {
            return Err(format!(
                "has an SSH signature for `{}`, which is none for `{NAMESPACE}`",
                printable(signature.namespace())
            ));
        }
        key.verify(NAMESPACE, content, &signature)
            .map_err(|_| format!("has an SSH signature that does not fit what it signs ({shown})"))?;
        self.allows(signature.public_key(), &shown, at)
    }

    /// Whether some line lets a key sign at a time; the error is of the last that doesn't.
    fn allows(&self, key: &KeyData, shown: &Fingerprint, at: Timestamp) -> Result<String, String> {
        let mut refusal = format!("is signed by an SSH key that is not in ssh_allowed_signers_file ({shown})");
        for signer in self.signers.iter().filter(|signer| signer.key == *key) {
            match signer.options.refuses(at) {
                None => return Ok(signer.who.clone()),
                Some(why) => refusal = format!("is signed by the SSH key of {}, which {why} ({shown})", signer.who),
            }
        }
        Err(refusal)
    }
}

impl Signer {
    fn parse(line: &str) -> Result<Self, String> {
        let fields = fields(line)?;
        let is_key = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| word.starts_with(prefix));
        let mut rest = fields.iter();
        let who = rest.next().map(|who| who.replace('"', "")).unwrap_or_default();
        let mut next = rest.next().ok_or("there is no key")?;
        let mut options = Options::default();
        if !is_key(next) {
            options = Options::parse(next)?;
            next = rest.next().ok_or("there is no key")?;
        }
        let code = rest.next().ok_or("there is no key")?;
        let key = PublicKey::from_openssh(&format!("{next} {code}")).map_err(|error| format!("the key: {error}"))?;
        Ok(Self { who, key: key.key_data().clone(), options })
    }
}

impl Options {
    fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in split(text, ',')? {
            let (name, value) = option.split_once('=').unwrap_or((&option, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "namespaces" => options.namespaces = Some(value.to_owned()),
                "valid-after" => options.after = Some(time(value)?),
                "valid-before" => options.before = Some(time(value)?),
                "cert-authority" => return Err("cert-authority: certificates are not supported".to_owned()),
                other => return Err(format!("there is no option `{other}`")),
            }
        }
        Ok(options)
    }

    /// Why the key does not count at a time.
    fn refuses(&self, at: Timestamp) -> Option<String> {
        if self.namespaces.as_ref().is_some_and(|patterns| !lists(patterns, NAMESPACE)) {
            return Some(format!("may not sign for `{NAMESPACE}`"));
        }
        match (self.after, self.before) {
            (Some(after), _) if at < after => Some(format!("counts from {after} on, after the commit was made")),
            (_, Some(before)) if at >= before => Some(format!("expired at {before}, before the commit was made")),
            _ => None,
        }
    }
}

/// The words of a line; quotes keep spaces together.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let words = split(&line.replace('\t', " "), ' ')?;
    Ok(words.into_iter().filter(|word| !word.is_empty()).collect())
}

/// The parts between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if c == separator && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(parts) }
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in UTC, with or without a `Z`.
fn time(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let wrong = || format!("`{text}` is no time such as 20270131 or 202701311200Z");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || ![8, 12, 14].contains(&digits.len()) {
        return Err(wrong());
    }
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or("00");
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let (hour, minute, second) = (part(8, 10), part(10, 12), part(12, 14));
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok_or_else(wrong)
}

/// Whether a list of patterns, as OpenSSH has them, has a text in it.
fn lists(patterns: &str, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if matches(not.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    found
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, text) || text.split_first().is_some_and(|(_, text)| matches(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => matches(rest, text),
        (Some((a, rest)), Some((b, text))) if a == b => matches(rest, text),
        _ => false,
    }
}

/// Text that whoever can push has written.
fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn lines_are_read_as_openssh_reads_them() {
        let good = [
            format!("ann@example.com {KEY}"),
            format!("ann@example.com,bob@example.com {KEY} a comment"),
            format!("\"ann smith\"\tnamespaces=\"git,file\" {KEY}"),
            format!("* namespaces=\"g*,!file\",valid-after=\"20260101\",valid-before=\"20270101120000Z\" {KEY}"),
        ];
        for line in &good {
            let signers = Signers::parse(&format!("# a comment\n\n{line}\n")).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(signers.signers.len(), 1);
            assert_eq!(
                signers.signers[0].options.refuses(Timestamp::parse("2026-06-01T00:00:00Z").unwrap()),
                None,
                "{line}"
            );
        }
        for (line, why) in [
            ("ann@example.com", "line 1: there is no key"),
            ("ann@example.com namespaces=\"git\"", "line 1: there is no key"),
            ("ann@example.com ssh-ed25519 AAAA", "line 1: the key: "),
            (&format!("ann cert-authority {KEY}"), "certificates are not supported"),
            (&format!("ann verify-required {KEY}"), "there is no option `verify-required`"),
            (&format!("ann valid-before=\"soon\" {KEY}"), "`soon` is no time"),
            (&format!("ann valid-before=\"20261301\" {KEY}"), "`20261301` is no time"),
            (&format!("ann namespaces=\"git {KEY}"), "a quote is not closed"),
        ] {
            let error = Signers::parse(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
        assert!(Signers::default().without("SSHKRL\n\0").unwrap_err().contains("binary"));
        assert!(Signers::default().without("ssh-ed25519 AAAA").unwrap_err().starts_with("line 1: "));
    }

    #[test]
    fn options_limit_a_key() {
        let refuses = |options: &str, at: &str| {
            let signers = Signers::parse(&format!("ann {options} {KEY}")).unwrap();
            signers.signers[0].options.refuses(Timestamp::parse(at).unwrap())
        };
        let day = "2026-06-01T12:00:00Z";
        assert_eq!(refuses("namespaces=\"file\"", day).unwrap(), "may not sign for `git`");
        assert!(refuses("namespaces=\"*,!git\"", day).is_some());
        assert!(refuses("namespaces=\"g?\"", day).is_some());
        assert!(refuses("namespaces=\"g?t\"", day).is_none());
        assert!(refuses("valid-after=\"20260602\"", day).unwrap().starts_with("counts from 2026-06-02T00:00:00Z on"));
        assert!(refuses("valid-before=\"202606011200\"", day).unwrap().starts_with("expired at 2026-06-01T12:00:00Z"));
        assert!(refuses("valid-before=\"20260601120001Z\"", day).is_none());
    }
}
