//! How a bug is let loose: on one thread, or by its name in the environment for a whole run,
//! as in `IONROLLER_MUTANT=SkipBake cargo test --no-default-features --lib plan::`.

use std::cell::Cell;

use super::Mutant;

thread_local! {
    static LOOSE: Cell<Option<Mutant>> = Cell::new(from_environment());
}

/// The variable that names one.
pub(super) const VARIABLE: &str = "IONROLLER_MUTANT";

fn from_environment() -> Option<Mutant> {
    let name = std::env::var(VARIABLE).ok()?;
    Some(Mutant::named(&name).unwrap_or_else(|| panic!("{VARIABLE} is {name}, which is none")))
}

impl Mutant {
    /// Whether this thread has it.
    pub(crate) fn on(self) -> bool {
        LOOSE.get() == Some(self)
    }

    /// The one of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }

    /// Its name.
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Does something with a bug let loose on this thread.
pub(super) fn with<T>(mutant: Option<Mutant>, does: impl FnOnce() -> T) -> T {
    LOOSE.set(mutant);
    let done = does();
    LOOSE.set(None);
    done
}
