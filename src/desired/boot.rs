//! The boot script of a release's machines, for Amazon Linux 2023.
//!
//! With an image it installs docker where that is missing and runs the container as the
//! systemd unit `ionroller-app`. Without one the AMI holds the service, and the script
//! only writes the environment to `/run/ionroller/env`. The user's script comes last.
//!
//! Whoever can read the launch template can read this script, so it holds references to
//! secrets and no secret: `/usr/local/lib/ionroller/environment` fetches them on the
//! machine, at every boot, into a file on tmpfs that only root can read.
//!
//! A machine that can't finish the script is powered off, and so is one whose container
//! fails five times before it has once run for five minutes: the group replaces both, so
//! the planner sees machines missing. Without this a worker would pass for good as soon as
//! its machine runs.
//!
//! With `machine.ready` the group waits for each machine in a launch hook. The script ends that
//! wait when the machine is ready, and says so at once when it can't finish.
//!
//! Every text from a service file goes through `quote`. The template is no part of the
//! release digest: changing it here changes only machines of releases to come.

mod quote;
mod ready;

use super::spec::{Image, SecretRef, ServiceSpec};

const HEAD: &str = include_str!("boot/head.sh");
const ENVIRONMENT: &str = include_str!("boot/environment.sh");
const ENDED: &str = include_str!("boot/ended.sh");
const PUT_DOCKER: &str = include_str!("boot/put_docker.sh");
const PUT_QUOTED: &str = include_str!("boot/put_quoted.sh");

/// Where the script puts the scripts that outlive it.
const LIB: &str = "/usr/local/lib/ionroller";
const DOCKER: &str = "/usr/bin/docker";

/// The boot script of a service: plain text, not base64. It may be longer than AWS takes;
/// the loader reports that. The fields `digest` and `user_data` of the spec are not read.
pub fn boot_script(spec: &ServiceSpec) -> String {
    let mut script = format!(
        "#!/bin/bash\n# Written by ionroller for {} {}. Runs once, as root, at the first boot.\n{}",
        spec.name,
        spec.version,
        powers_off(spec, HEAD)
    );
    if let Some(ready) = &spec.machine.ready {
        ready::put(&mut script, spec, ready);
    }
    let registry = spec.image.as_ref().and_then(|image| ecr(&image.repository));
    if !spec.secrets.is_empty() || registry.is_some() || spec.machine.ready.is_some() {
        script.push_str("\ncommand -v aws >/dev/null || retry dnf install --assumeyes awscli-2\n");
    }
    if has_environment(spec) {
        place(&mut script, "0700", &format!("{LIB}/environment"), &environment(spec));
    }
    match &spec.image {
        Some(image) => container(&mut script, spec, image),
        None if has_environment(spec) => {
            place(&mut script, "0644", "/etc/systemd/system/ionroller-environment.service", &environment_unit());
            script.push_str("systemctl daemon-reload\nsystemctl enable --now ionroller-environment.service\n");
        }
        None => {}
    }
    if spec.machine.ready.is_some() {
        ready::mark(&mut script);
    }
    user_script(&mut script, spec);
    if spec.machine.ready.is_some() {
        ready::ask(&mut script);
    }
    script
}

/// A script that may power the machine off, which tells its group first if that waits.
fn powers_off(spec: &ServiceSpec, script: &str) -> String {
    if spec.machine.ready.is_some() { ready::gives_up(script) } else { script.to_owned() }
}

fn has_environment(spec: &ServiceSpec) -> bool {
    !(spec.env.is_empty() && spec.secrets.is_empty())
}

/// Appends the lines that write a file.
fn place(script: &mut String, mode: &str, path: &str, content: &str) {
    script.push_str(&format!("\nplace {mode} {} {}", quote::shell(path), quote::here_document(content)));
}

/// The script that writes `/run/ionroller/env`.
fn environment(spec: &ServiceSpec) -> String {
    let put = if spec.image.is_some() { PUT_DOCKER } else { PUT_QUOTED };
    let mut script = format!("#!/bin/bash\n# Writes the environment of {}.\n{ENVIRONMENT}{put}\n", spec.name);
    if !spec.secrets.is_empty() {
        script.push_str("find_region\n");
    }
    script.push_str("{\n");
    for (name, value) in &spec.env {
        script.push_str(&format!("  put {name} {}\n", quote::shell(value)));
    }
    for (name, reference) in &spec.secrets {
        let fetch = match reference {
            SecretRef::Ssm(path) => {
                format!("aws ssm get-parameter --with-decryption --query Parameter.Value --name {}", quote::shell(path))
            }
            SecretRef::SecretsManager(id) => {
                format!("aws secretsmanager get-secret-value --query SecretString --secret-id {}", quote::shell(id))
            }
        };
        script.push_str(&format!("  secret {name} {fetch}\n"));
    }
    script.push_str("} >\"$FILE.new\"\nmv \"$FILE.new\" \"$FILE\"\n");
    script
}

/// Writes the environment again after a reboot. Units that read it say
/// `After=ionroller-environment.service`.
fn environment_unit() -> String {
    format!(
        "[Unit]\nDescription=Environment of the service\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={LIB}/environment\nRestart=on-failure\nRestartSec=5\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

/// Appends docker, the pull script and the container's unit.
fn container(script: &mut String, spec: &ServiceSpec, image: &Image) {
    script.push_str("\ncommand -v docker >/dev/null || retry dnf install --assumeyes docker\n");
    place(script, "0700", &format!("{LIB}/pull"), &pull(spec, image));
    place(script, "0700", &format!("{LIB}/ended"), &ended(spec));
    place(script, "0644", "/etc/systemd/system/ionroller-app.service", &container_unit(spec, image));
    script.push_str(&format!(
        "# What an image of a running machine may have brought along.\nrm -rf \"$ROOT/var/lib/ionroller\"\n\
         systemctl daemon-reload\nsystemctl enable --now docker.service\nretry \"$ROOT{LIB}/pull\"\n\
         systemctl enable --now ionroller-app.service\n"
    ));
}

/// The script that pulls the image where it is missing. A container that starts again
/// runs the build that it ran before, also when its tag has moved.
fn pull(spec: &ServiceSpec, image: &Image) -> String {
    let reference = quote::shell(&image.reference(&spec.version));
    let mut script = format!(
        "#!/bin/bash\n# Pulls the image of {}.\nset -euo pipefail\n\nIMAGE={reference}\n\
         if docker image inspect \"$IMAGE\" >/dev/null 2>&1; then exit 0; fi\n",
        spec.name
    );
    if let Some((host, region)) = ecr(&image.repository) {
        // The password is good for twelve hours, so it is kept on tmpfs.
        script.push_str(&format!(
            "export DOCKER_CONFIG=\"${{IONROLLER_BOOT_ROOT:-}}/run/ionroller/docker\"\n\
             mkdir -p \"$DOCKER_CONFIG\"\nchmod 0700 \"${{DOCKER_CONFIG%/*}}\" \"$DOCKER_CONFIG\"\n\
             aws ecr get-login-password --region {} |\n  docker login --username AWS --password-stdin {} >/dev/null\n",
            quote::shell(region),
            quote::shell(host)
        ));
    }
    script.push_str("docker pull --quiet \"$IMAGE\"\n");
    script
}

/// The script that runs each time the container has ended.
fn ended(spec: &ServiceSpec) -> String {
    format!("#!/bin/bash\n# Counts how often the container of {} failed.\n{}", spec.name, powers_off(spec, ENDED))
}

/// Host and region of a repository in Amazon's registry.
fn ecr(repository: &str) -> Option<(&str, &str)> {
    let (host, _) = repository.split_once('/')?;
    let mut parts = host.split('.');
    let account = parts.next()?;
    let registry = account.len() == 12
        && account.chars().all(|c| c.is_ascii_digit())
        && parts.next() == Some("dkr")
        && matches!(parts.next(), Some("ecr" | "ecr-fips"));
    let region = parts.next().filter(|_| registry)?;
    (parts.next() == Some("amazonaws")).then_some((host, region))
}

fn container_unit(spec: &ServiceSpec, image: &Image) -> String {
    let mut run: Vec<String> = ["run", "--name", "ionroller-app", "--log-driver", "local"].map(str::to_owned).into();
    let mut option = |name: &str, value: &str| run.extend([name.to_owned(), quote::unit(value)]);
    if has_environment(spec) {
        option("--env-file", "/run/ionroller/env");
    }
    for port in &image.ports {
        option("--publish", &format!("{}:{}", port.host, port.container));
    }
    for volume in &image.volumes {
        option("--volume", &format!("{}:{}", volume.host, volume.container));
    }
    run.push(quote::unit(&image.reference(&spec.version)));
    run.extend(image.command.iter().map(|argument| quote::unit(argument)));
    let environment = if has_environment(spec) { format!("ExecStartPre={LIB}/environment\n") } else { String::new() };
    format!(
        "[Unit]\nDescription={} {}\nRequires=docker.service\nAfter=docker.service network-online.target\n\
         Wants=network-online.target\n# Never give up; {LIB}/ended says when a new machine is no good.\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\nStateDirectory=ionroller\n{environment}ExecStartPre={LIB}/pull\nExecStartPre=-{DOCKER} rm --force ionroller-app\n\
         ExecStartPre=/usr/bin/touch /var/lib/ionroller/started\n\
         ExecStart={DOCKER} {}\nExecStop={DOCKER} stop --time 25 ionroller-app\n\
         ExecStopPost={LIB}/ended\nRestart=always\nRestartSec=5\n\
         # A pull may take long.\nTimeoutStartSec=infinity\nTimeoutStopSec=40\n\
         # How docker run ends when its container is stopped.\nSuccessExitStatus=143\n\n\
         [Install]\nWantedBy=multi-user.target\n",
        spec.name,
        spec.version,
        run.join(" ")
    )
}

/// Appends the user's script as a file of its own, so that its first line may name any
/// interpreter; without such a line it runs under `bash -e`.
fn user_script(script: &mut String, spec: &ServiceSpec) {
    let Some(user) = &spec.machine.user_data else { return };
    let path = format!("{LIB}/user-data");
    script.push_str("\n# What follows is machine.user_data of the service file.");
    place(script, "0700", &path, &user.content);
    let run = if user.content.starts_with("#!") { "" } else { "/bin/bash -e " };
    if spec.image.is_none() && has_environment(spec) {
        // In a shell of its own: the service's variables may have the names of ours.
        script.push_str(&format!(
            "/bin/bash -ec 'set -a; . \"$1\"; set +a; exec {run}\"$2\"' ionroller \"$ROOT/run/ionroller/env\" \"$ROOT{path}\"\n"
        ));
    } else {
        script.push_str(&format!("{run}\"$ROOT{path}\"\n"));
    }
}
