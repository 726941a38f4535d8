//! The daemon's own file, and the address of the repository that it names.

use ionroller::git::Source;
use ionroller::settings::Settings;

use super::says::{self, SECRET};

/// A sound file with a password in its URL. What the bytes hold is put somewhere into it.
const SOUND: [&str; 11] = [
    "repo = \"https://ann:xyzzy-plugh@git.example.com/config.git\"\n",
    "branch = \"main\"\n",
    "path = \"aws\"\n",
    "poll_interval = \"15s\"\n",
    "state_dir = \"/var/lib/ionroller\"\n",
    "listen = \"127.0.0.1:7878\"\n",
    "log = \"json\"\n",
    "[git]\n",
    "token_file = \"/etc/ionroller/token\"\n",
    "ssh_key_file = \"/etc/ionroller/key\"\n",
    "known_hosts_file = \"/etc/ionroller/known_hosts\"\n",
];

/// Reads the bytes as a file; or, after a zero and a position, a sound file with the bytes
/// instead of one of its lines.
pub fn run(data: &[u8]) {
    if let [0, at, rest @ ..] = data {
        let at = usize::from(*at);
        let lines = SOUND.iter().enumerate().filter(|(index, _)| at < 128 || *index != at % SOUND.len());
        let (before, after): (Vec<_>, Vec<_>) = lines.partition(|(index, _)| *index < at % SOUND.len());
        let text = |lines: Vec<(usize, &&str)>| lines.into_iter().map(|(_, line)| *line).collect::<String>();
        let inserted = String::from_utf8_lossy(rest);
        // Whoever writes the secret into another key shows it to himself.
        if !inserted.contains(SECRET) {
            let whole = format!("{}{inserted}{}", text(before), text(after));
            look(&whole, true);
        }
    } else if let Ok(text) = std::str::from_utf8(data) {
        look(text, false);
    }
}

fn look(text: &str, planted: bool) {
    let read = Settings::parse(text);
    assert_eq!(read, Settings::parse(text));
    match read {
        Ok(settings) => {
            assert!(settings.poll_interval.as_millis() >= 1_000);
            address(&settings.repo, planted);
        }
        Err(error) => {
            says::one_line(&error.to_string());
            if planted {
                says::no_secret(&error.to_string());
                says::no_secret(&format!("{error:?}"));
            }
        }
    }
}

/// The address as it is shown.
fn address(repo: &str, planted: bool) {
    let (shown, debug) = match Source::parse(repo) {
        Ok(source) => (source.to_string(), format!("{source:?}")),
        Err(error) => (error.to_string(), format!("{error:?}")),
    };
    says::no_control(&shown, &[]);
    // In a path a login is a part of a name.
    if planted && repo.starts_with("https://ann:") && !repo[8..].contains("://") {
        says::no_secret(&shown);
        says::no_secret(&debug);
    }
}
