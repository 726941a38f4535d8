//! Scripts that once broke something, as short as they could be made.

#[expect(unused_imports, reason = "what a printed script names")]
use super::script::{Event::*, Kind::*, Script};
