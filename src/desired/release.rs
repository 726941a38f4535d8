//! The tables of a service file that shape its machines: image, machine, environment,
//! secrets, network.

use std::collections::BTreeMap;

use crate::names::Version;

use super::files::FileContent;
use super::keys;
use super::reader::{self, Field, Reader};
use super::ready;
use super::source::{self, Entry, Lines, Place, Value};
use super::spec::{Ami, Image, Machine, Network, PortMapping, SecretRef, UserScript, VolumeMapping};
use super::walk::Walk;

/// `[image]`.
pub(super) fn image(root: &mut Reader<'_>, version: Option<&Version>, walk: &mut Walk<'_>) -> Option<Image> {
    let mut table = root.table("image", "image", walk)?;
    let repository = table.required(
        "repository",
        "add the image's repository without a tag, such as \"registry.example.com/checkout\"",
        walk,
        repository,
    );
    let digest = table.optional("digest", walk, |field, walk| {
        reader::text_that(field, "sha256: and 64 lower-case hex digits", walk, |text| {
            text.strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
        })
    });
    if !table.has("digest") && !walk.partial {
        tag_only(&table, version, root.place_of("version"), walk);
    }
    let ports = table.optional("ports", walk, |field, walk| {
        let ports = reader::list(field, walk, port_mapping)?;
        let hosts: Vec<u16> = ports.iter().map(|port| port.host).collect();
        reader::no_repetition(field, &hosts, walk, |port| format!("host port {port}"));
        Some(ports)
    });
    let command = table.optional("command", walk, |field, walk| reader::list(field, walk, argument));
    let volumes = table.optional("volumes", walk, |field, walk| {
        let volumes = reader::list(field, walk, volume)?;
        let targets: Vec<&str> = volumes.iter().map(|volume| volume.container.as_str()).collect();
        reader::no_repetition(field, &targets, walk, |path| format!("container path `{path}`"));
        Some(volumes)
    });
    let ports = if table.has("ports") { ports } else { Some(Vec::new()) };
    table.finish(walk);
    Some(Image {
        repository: repository?,
        digest,
        ports: ports?,
        command: command.unwrap_or_default(),
        volumes: volumes.unwrap_or_default(),
    })
}

/// Without a digest the version is the image's tag.
fn tag_only(table: &Reader<'_>, version: Option<&Version>, version_place: Option<Place>, walk: &mut Walk<'_>) {
    walk.warning(
        table.place,
        "the image has no `digest`",
        "add digest = \"sha256:…\": a tag can move, and machines that start later would run another build",
    );
    if let (Some(version), Some(place)) = (version, version_place)
        && version.as_str().contains('+')
    {
        walk.error(
            place,
            format!("version {version} is no valid image tag: tags hold no `+`"),
            "add image.digest, or change the version",
        );
    }
}

fn repository(field: Field<'_>, walk: &mut Walk<'_>) -> Option<String> {
    let text = reader::text(field, walk)?;
    let last = text.rsplit('/').next().unwrap_or(text);
    let component = |part: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(edge) && part.ends_with(edge) && part.chars().all(|c| edge(c) || "._-".contains(c))
    };
    let host = |part: &str| {
        let (name, port) = part.split_once(':').unwrap_or((part, "1"));
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
            && port.parse::<u16>().is_ok()
    };
    let help = if text.contains("://") {
        "leave the https:// out"
    } else if text.contains('@') {
        "put the part after the @ into image.digest"
    } else if last.contains(':') {
        "put the tag into version, or better the digest into image.digest"
    } else {
        "write HOST/NAME in lower case, such as \"registry.example.com/checkout\""
    };
    let valid = match text.split_once('/') {
        None => component(text),
        Some((first, rest)) => (component(first) || host(first)) && rest.split('/').all(component),
    };
    if valid && text.len() <= 255 {
        return Some(text.to_owned());
    }
    walk.error(field.place(), format!("`{}` is not an image repository", reader::shorten(text)), help);
    None
}

fn port_mapping(field: Field<'_>, walk: &mut Walk<'_>) -> Option<PortMapping> {
    let mut table = Reader::of(field, walk)?;
    let host = table.required("host", "add the port on the machine", walk, reader::port);
    let container = table.required("container", "add the port in the container", walk, reader::port);
    table.finish(walk);
    Some(PortMapping { host: host?, container: container? })
}

fn argument(field: Field<'_>, walk: &mut Walk<'_>) -> Option<String> {
    reader::text_that(field, "without NUL characters", walk, |text| !text.contains('\0'))
}

fn volume(field: Field<'_>, walk: &mut Walk<'_>) -> Option<VolumeMapping> {
    let mut table = Reader::of(field, walk)?;
    let host = table.required("host", "add the path on the machine", walk, mount_path);
    let container = table.required("container", "add the path in the container", walk, mount_path);
    table.finish(walk);
    Some(VolumeMapping { host: host?, container: container? })
}

fn mount_path(field: Field<'_>, walk: &mut Walk<'_>) -> Option<String> {
    // A colon would end the path in docker's own syntax.
    reader::text_that(field, "an absolute path without `..`, colons and control characters", walk, |text| {
        text.starts_with('/')
            && text.len() <= 1024
            && !text.split('/').any(|part| part == "..")
            && !text.chars().any(|c| c == ':' || c.is_control())
    })
}

/// `[machine]`.
pub(super) fn machine(root: &mut Reader<'_>, version: Option<&Version>, walk: &mut Walk<'_>) -> Option<Machine> {
    let baked = !root.has("image") && !walk.partial;
    let mut table = required_table(root, "machine", "add [machine] with ami and instance_type", walk)?;
    let ami = table.required("ami", "add ami = \"ami-…\" or \"name:PATTERN\"", walk, |field, walk| {
        ami(field, version, baked, walk)
    });
    let instance_type =
        table.required("instance_type", "add one, such as instance_type = \"t3.small\"", walk, |field, walk| {
            reader::text_that(field, "a family and a size, such as t3.small", walk, |text| {
                let part = |part: &str| {
                    !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                };
                text.len() <= 64 && text.split_once('.').is_some_and(|(family, size)| part(family) && part(size))
            })
        });
    let instance_profile = table.optional("instance_profile", walk, |field, walk| {
        let rule = "the name of an instance profile, not its ARN: 1 to 128 letters, digits and + = , . @ - _";
        reader::text_that(field, rule, walk, |text| {
            (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c))
        })
    });
    let key_name = table.optional("key_name", walk, |field, walk| {
        reader::text_that(field, "the name of a key pair: 1 to 255 printable characters", walk, |text| {
            (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        })
    });
    let root_volume_gib =
        table.optional("root_volume_gib", walk, |field, walk| reader::integer(field, 1..=65_536, walk));
    let user_data = table.optional("user_data", walk, user_script);
    let ready = table.optional("ready", walk, ready::read);
    let sound = table.has("ready") == ready.is_some();
    table.finish(walk);
    let (ami, instance_type) = (ami?, instance_type?);
    sound.then_some(Machine { ami, instance_type, instance_profile, key_name, root_volume_gib, user_data, ready })
}

/// A table that each service needs, in its own file or in the defaults.
pub(super) fn required_table<'n>(
    root: &mut Reader<'n>,
    name: &'static str,
    help: &str,
    walk: &mut Walk<'_>,
) -> Option<Reader<'n>> {
    if !root.has(name) && !walk.partial {
        walk.error(
            Place::START,
            format!("[{name}] is missing"),
            format!("{help}, here or in [defaults.{name}] of ionroller.toml"),
        );
    }
    root.table(name, name, walk)
}

fn ami(field: Field<'_>, version: Option<&Version>, baked: bool, walk: &mut Walk<'_>) -> Option<Ami> {
    let text = reader::text(field, walk)?;
    let id = |text: &str| {
        text.strip_prefix("ami-")
            .is_some_and(|hex| (8..=17).contains(&hex.len()) && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
    };
    if id(text) {
        return Some(Ami::Id(text.to_owned()));
    }
    let Some(pattern) = text.strip_prefix("name:") else {
        let help = "write ami- and 8 to 17 hex digits, or name: and a pattern such as \"name:checkout-{version}\"";
        walk.error(field.place(), format!("`{}` is not an AMI", reader::shorten(text)), help);
        return None;
    };
    if baked && !pattern.contains("{version}") {
        let help = "without [image] the AMI is the release: put {version} into the pattern";
        walk.error(field.place(), format!("`{}` finds the same AMI for every version", reader::shorten(text)), help);
        return None;
    }
    // While the version is broken, that is the only problem.
    let name = pattern.replace("{version}", version.map_or("0", Version::as_str));
    // What AWS allows in names, and the wildcards of its filters.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_*?".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
        let help = "AMI names hold 1 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _; * and ? match anything, {version} is the version";
        walk.error(field.place(), format!("`{}` is not a pattern of AMI names", reader::shorten(text)), help);
        return None;
    }
    version?;
    Some(Ami::Name(name))
}

/// The longest path that is looked for; it is repeated in messages.
const PATH_BYTES_MAX: usize = 1024;

fn user_script(field: Field<'_>, walk: &mut Walk<'_>) -> Option<UserScript> {
    let path = reader::text_that(
        field,
        "a path below the folder files beside ionroller.toml, such as files/checkout.sh",
        walk,
        |path| {
            path.starts_with("files/")
                && path.len() <= PATH_BYTES_MAX
                && !path.chars().any(|c| c == '\\' || c.is_control())
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        },
    )?;
    let content = script_content(&path, field.place(), walk)?;
    let first = content.lines().next().unwrap_or("");
    if first.starts_with("#cloud-config") || first.starts_with("#include") || content.starts_with("Content-Type:") {
        walk.error(
            field.place(),
            format!("{path} is not a script"),
            "cloud-init formats can't be appended to a boot script: write it as a shell script",
        );
        return None;
    }
    if let Some(conflict) = source::has_conflict(&content) {
        let help = "keep what is right of both sides; every machine would run the markers as commands";
        walk.error(field.place(), format!("{path} has an {conflict}"), help);
        return None;
    }
    if content.contains("\r\n") {
        walk.warning(
            field.place(),
            format!("{path} has Windows line ends"),
            "save it with LF line ends: the carriage returns become part of its commands",
        );
    }
    Some(UserScript { path, content })
}

fn script_content(path: &str, place: Place, walk: &mut Walk<'_>) -> Option<String> {
    let (problem, help) = match walk.files.files.get(path) {
        Some(FileContent::Bytes(bytes)) => match source::text_of(bytes) {
            Ok(text) if source::is_lfs_pointer(text) => (source::LFS_POINTER.to_owned(), source::NO_LFS.to_owned()),
            Ok(text) if text.contains('\0') => ("holds a NUL character".to_owned(), "boot scripts are text".to_owned()),
            Ok(text) => return Some(text.to_owned()),
            Err(good) => {
                let (line, column) = Lines::of(good).position(good.len());
                (format!("is not UTF-8 at line {line}, column {column}"), "save it as UTF-8".to_owned())
            }
        },
        Some(other) => (other.instead_of_a_file(), other.what_to_do().to_owned()),
        None if walk.files.files.range(format!("{path}/")..).next().is_some_and(|(next, _)| is_in(next, path)) => {
            (FileContent::Folder.instead_of_a_file(), "name one of its files".to_owned())
        }
        None => {
            let near = keys::nearest(path, walk.files.files.keys().map(String::as_str));
            let help =
                near.map_or("add the file, or correct the path".to_owned(), |near| format!("did you mean `{near}`?"));
            ("doesn't exist".to_owned(), help)
        }
    };
    walk.error(place, format!("{path} {problem}"), help);
    None
}

/// Whether a path lies in a folder.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// `[env]`.
pub(super) fn env(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> BTreeMap<String, String> {
    let pairs = root.map("env", walk, |entry, walk| {
        let label = format!("env.{}", reader::shorten(&entry.key));
        let field = Field { label: &label, node: &entry.node };
        let name = variable(entry, walk);
        let value = reader::text(field, walk)?.to_owned();
        if value.chars().any(|c| c.is_control() && c != '\t') {
            // The value is not repeated: keys and certificates look like this.
            let message = format!("`{label}` holds a line break or another control character");
            walk.error(
                field.place(),
                message,
                "docker takes one line for each variable: encode the value, as base64 for example",
            );
            return None;
        }
        if looks_secret(&entry.key, &value)
            && let Some(name) = &name
        {
            let help = format!(
                "move it to [secrets] as {name} = \"ssm:/…\": \
                 everyone who reads this repository or the launch template sees it here"
            );
            walk.warning(field.place(), format!("`{name}` looks like a secret"), help);
        }
        Some((name?, value))
    });
    pairs.into_iter().collect()
}

fn variable(entry: &Entry, walk: &mut Walk<'_>) -> Option<String> {
    let name = &entry.key;
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        walk.error(
            entry.place,
            format!("`{}` is not a valid name of a variable", reader::shorten(name)),
            "use letters, digits and underscores, not beginning with a digit",
        );
        return None;
    }
    misplaced(entry, walk);
    Some(name.clone())
}

/// A key of the top level that was written below the first table belongs to that table,
/// and in a table that takes any key nobody would notice.
pub(super) fn misplaced(entry: &Entry, walk: &mut Walk<'_>) {
    if matches!(entry.key.as_str(), "paused" | "redeploy") {
        walk.warning(
            entry.place,
            format!("`{}` has no effect in this table", entry.key),
            "move it to the top of the file, before the first table",
        );
    }
}

/// Whether a variable holds a secret, as far as its name and value tell. Only a warning
/// follows from it.
fn looks_secret(name: &str, value: &str) -> bool {
    const NAMES: [&str; 8] =
        ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL"];
    // Such a variable says where a secret is, or something about it.
    const ABOUT: [&str; 9] = ["_FILE", "_PATH", "_DIR", "_URL", "_URI", "_ARN", "_NAME", "_TTL", "_HEADER"];
    // What the tokens of well-known services begin with.
    const TOKENS: [&str; 6] = ["ghp_", "github_pat_", "glpat-", "xoxb-", "sk_live_", "hvs."];
    let name = name.to_ascii_uppercase();
    let switch = value.len() < 6 && (value.parse::<u32>().is_ok() || matches!(value, "true" | "false" | "yes" | "no"));
    let named = NAMES.iter().any(|word| name.contains(word)) && !ABOUT.iter().any(|end| name.ends_with(end));
    let access_key = |part: &str| {
        (part.starts_with("AKIA") || part.starts_with("ASIA"))
            && part.len() == 20
            && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    (named && !value.is_empty() && !switch)
        || value.contains("PRIVATE KEY-----")
        || TOKENS.iter().any(|token| value.starts_with(token))
        || password_in_url(value)
        || value.split(|c: char| !c.is_ascii_alphanumeric()).any(access_key)
}

/// `postgres://user:password@host`.
fn password_in_url(value: &str) -> bool {
    let authority = value.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let login = authority.and_then(|authority| authority.rsplit_once('@')).map(|(login, _)| login);
    login.and_then(|login| login.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

/// `[secrets]`.
pub(super) fn secrets(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> BTreeMap<String, SecretRef> {
    let pairs = root.map("secrets", walk, |entry, walk| {
        let label = format!("secrets.{}", reader::shorten(&entry.key));
        let name = variable(entry, walk);
        let reference = secret(Field { label: &label, node: &entry.node }, walk)?;
        Some((name?, reference))
    });
    pairs.into_iter().collect()
}

fn secret(field: Field<'_>, walk: &mut Walk<'_>) -> Option<SecretRef> {
    let text = reader::text(field, walk)?;
    let (store, name) = text.split_once(':').unwrap_or((text, ""));
    let reference = match store {
        "ssm" if parameter(name) => SecretRef::Ssm(name.to_owned()),
        "secretsmanager" if stored_secret(name) => SecretRef::SecretsManager(name.to_owned()),
        // The text is not repeated: it may be the secret itself.
        "ssm" => {
            let help = "write \"ssm:/path/of/parameter\", or \"ssm:NAME\" for a name without slashes";
            walk.error(field.place(), format!("`{}` is not the name of a parameter", field.label), help);
            return None;
        }
        "secretsmanager" => {
            let help = "write \"secretsmanager:NAME\" or \"secretsmanager:arn:…:secret:NAME\"";
            walk.error(field.place(), format!("`{}` is not the name of a secret", field.label), help);
            return None;
        }
        _ => {
            let help = "write \"ssm:PATH\" or \"secretsmanager:NAME\"; the secret itself never goes into this file";
            walk.error(field.place(), format!("`{}` is not a reference to a secret", field.label), help);
            return None;
        }
    };
    if name.starts_with("arn:") {
        same_region(name, field, walk)?;
    }
    Some(reference)
}

/// Names with slashes begin with one, which also keeps `file://…` away from the command
/// line that fetches the parameter.
fn parameter(name: &str) -> bool {
    let path = match name.strip_prefix("arn:") {
        Some(arn) if arn.contains(":parameter/") => arn,
        Some(_) => return false,
        None if name.contains('/') && !name.starts_with('/') => return false,
        None => name,
    };
    !path.is_empty()
        && name.len() <= 1024
        && !path.starts_with('-')
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/:".contains(c))
}

fn stored_secret(name: &str) -> bool {
    let name = match name.strip_prefix("arn:") {
        Some(arn) if arn.split(':').count() == 6 && arn.contains(":secret:") => arn.rsplit(':').next().unwrap_or(""),
        Some(_) => return false,
        None => name,
    };
    !name.is_empty()
        && name.len() <= 512
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c))
}

/// An ARN must be in the region of the scope.
pub(super) fn same_region(arn: &str, field: Field<'_>, walk: &mut Walk<'_>) -> Option<()> {
    let region = arn.split(':').nth(3).unwrap_or("");
    match walk.region {
        Some(wanted) if wanted.as_str() != region => {
            let message = format!("`{}` is in region {region}, but this scope is in {wanted}", field.label);
            walk.error(
                field.place(),
                message,
                format!("name one in {wanted}; services in {region} need a scope of their own"),
            );
            None
        }
        _ => Some(()),
    }
}

/// `[network]`.
pub(super) fn network(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Option<Network> {
    let mut table = required_table(root, "network", "add [network] with subnets and security_groups", walk)?;
    let subnets =
        table.required("subnets", "add subnets = [\"subnet-…\"]", walk, |field, walk| ids(field, "subnet-", walk));
    let security_groups =
        table.required("security_groups", "add security_groups = [\"sg-…\"]", walk, |field, walk| {
            ids(field, "sg-", walk)
        });
    table.finish(walk);
    Some(Network { subnets: subnets?, security_groups: security_groups? })
}

/// Ids that begin with `prefix`, sorted.
fn ids(field: Field<'_>, prefix: &str, walk: &mut Walk<'_>) -> Option<Vec<String>> {
    let mut ids = reader::list(field, walk, |field, walk| {
        reader::text_that(field, &format!("{prefix} and an id"), walk, |text| {
            text.len() <= 64
                && text.strip_prefix(prefix).is_some_and(|rest| {
                    !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                })
        })
    })?;
    if ids.is_empty() {
        walk.error(field.place(), format!("`{}` is empty", field.label), format!("name at least one {prefix}…"));
        return None;
    }
    if let Value::List(nodes) = &field.node.value {
        for (index, (id, node)) in ids.iter().zip(nodes).enumerate() {
            if ids.iter().take(index).any(|earlier| earlier == id) {
                walk.warning(node.place, format!("`{id}` stands in `{}` twice", field.label), "remove one of them");
            }
        }
    }
    ids.sort();
    ids.dedup();
    Some(ids)
}
