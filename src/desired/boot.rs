//! The boot script of a release's machines.

use super::spec::ServiceSpec;

/// The finished boot script.
pub fn boot_script(spec: &ServiceSpec) -> String {
    let script = spec.machine.user_data.as_ref();
    script.map(|script| script.content.clone()).unwrap_or_default()
}
