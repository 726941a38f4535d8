//! The boot script.

use super::spec::ServiceSpec;

/// Temporary.
pub fn script(spec: &ServiceSpec) -> String {
    let mut text = "#!/bin/bash\nset -euo pipefail\n".to_owned();
    if let Some(user) = &spec.machine.user_data {
        text.push_str(&user.content);
    }
    text
}
