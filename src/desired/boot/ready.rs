//! `machine.ready`: what says on a machine that it is ready.
//!
//! The machine's group waits for that in a launch hook. The boot script asks at its end, and
//! `ionroller-ready` at each later boot: a machine may be rebooted while it waits, or come out of a
//! warm pool. A machine that waits in no hook is left alone.

use crate::desired::spec::{Ready, ReadyCheck, ServiceSpec};
use crate::names::READY_HOOK;

use super::{LIB, place, quote};

const READY: &str = include_str!("ready.sh");

/// Appends what writes the script that asks. It comes first, since a boot script that can't
/// finish says so by it.
pub(super) fn put(script: &mut String, spec: &ServiceSpec, ready: &Ready) {
    place(script, "0700", &format!("{LIB}/ready"), &text(spec, ready));
}

/// Appends what marks the machine as one that may wait, now and after a reboot.
pub(super) fn mark(script: &mut String) {
    place(script, "0644", "/etc/systemd/system/ionroller-ready.service", &unit());
    script.push_str(&format!(
        "\"$ROOT{LIB}/ready\" mark\nsystemctl daemon-reload\nsystemctl enable ionroller-ready.service\n"
    ));
}

/// Appends what asks until the machine is ready, and tells its group.
pub(super) fn ask(script: &mut String) {
    script.push_str(&format!("\n\"$ROOT{LIB}/ready\" first\n"));
}

/// A script that says before it powers the machine off that its group need not wait for it.
pub(super) fn gives_up(script: &str) -> String {
    let mut text = String::new();
    for line in script.lines() {
        let rest = line.trim_start();
        if rest.starts_with("systemctl --no-block poweroff") {
            let indentation = line.strip_suffix(rest).unwrap_or("");
            text.push_str(&format!(
                "{indentation}timeout 30 \"${{IONROLLER_BOOT_ROOT:-}}{LIB}/ready\" abandon >&2 || true\n"
            ));
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn text(spec: &ServiceSpec, ready: &Ready) -> String {
    let check = match &ready.check {
        ReadyCheck::Http(address) => format!(
            "  local code\n  code=\"$(curl --silent --show-error --noproxy '*' --globoff --max-time 5 \\\n    \
             --output /dev/null --write-out '%{{http_code}}' {})\" || return\n  \
             if [[ \"$code\" != 2?? ]]; then echo \"it answered $code\"; return 1; fi\n",
            quote::shell(address)
        ),
        ReadyCheck::Command(command) => format!("  timeout 30 /bin/bash -c {}\n", quote::shell(command)),
    };
    format!(
        "#!/bin/bash\n# Says when a machine of {} is ready.\n\nHOOK={READY_HOOK}\nTIMEOUT={}\n\
         check() {{\n{check}}}\n{READY}",
        spec.name,
        ready.timeout.as_secs_ceil()
    )
}

fn unit() -> String {
    format!(
        "[Unit]\nDescription=Says when the machine is ready\n\
         After=network-online.target ionroller-app.service\nWants=network-online.target\n\n\
         [Service]\nType=oneshot\nExecStart={LIB}/ready again\nTimeoutStartSec=infinity\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}
