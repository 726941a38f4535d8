//! Trying again: after as long as the forge asks for, else after 1 s, doubling.

use std::time::Duration;

use super::error::ForgeError;

/// The longest wait where the forge does not say how long.
const LONGEST: Duration = Duration::from_secs(60);

/// How long to go on with what may pass.
pub struct Patience<'a> {
    /// All waits together take no longer than this.
    pub budget: Duration,
    /// Waits, and may say so.
    pub wait: &'a dyn Fn(&ForgeError, Duration),
}

impl Patience<'_> {
    /// Does something until it is done, can't be done, or takes too long.
    ///
    /// # Errors
    /// The last one.
    pub fn run<T>(&self, mut attempt: impl FnMut() -> Result<T, ForgeError>) -> Result<T, ForgeError> {
        let mut waited = Duration::ZERO;
        let mut tries: u32 = 0;
        loop {
            let error = match attempt() {
                Ok(done) => return Ok(done),
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => error,
            };
            let pause = pause(&error, tries);
            tries += 1;
            if waited + pause > self.budget {
                let again = match error.wait {
                    Some(wait) => format!("; it wants to be left alone for {} s", wait.as_secs()),
                    None if tries > 1 => format!("; tried {tries} times"),
                    None => String::new(),
                };
                return Err(ForgeError { message: error.message.clone() + &again, ..error });
            }
            (self.wait)(&error, pause);
            waited += pause;
        }
    }
}

/// How long to wait after so many failures before this one.
pub fn pause(error: &ForgeError, failures: u32) -> Duration {
    match error.wait {
        Some(wait) => wait,
        None => (Duration::from_secs(1) * 2_u32.pow(failures.min(6))).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::forge::ErrorKind;

    fn error(kind: ErrorKind, wait: Option<u64>) -> ForgeError {
        ForgeError { wait: wait.map(Duration::from_secs), ..ForgeError::new(kind, "no") }
    }

    /// What `run` gives for these failures and then success, and the seconds it waited.
    fn run(budget: u64, failures: &[ForgeError]) -> (Result<(), ForgeError>, Vec<u64>) {
        let waits = RefCell::new(Vec::new());
        let wait = |_: &ForgeError, pause: Duration| waits.borrow_mut().push(pause.as_secs());
        let patience = Patience { budget: Duration::from_secs(budget), wait: &wait };
        let mut left = failures.iter().cloned();
        let done = patience.run(|| left.next().map_or(Ok(()), Err));
        (done, waits.into_inner())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_again_later_each_time() {
        let down = || error(ErrorKind::Unavailable, None);
        assert_eq!(run(60, &[down(), down(), down()]), (Ok(()), vec![1, 2, 4]));
        let (done, waits) = run(6, &[down(), down(), down(), down()]);
        assert_eq!((done.unwrap_err().message, waits), ("no; tried 3 times".to_owned(), vec![1, 2]));
    }

    #[test]
    fn the_forge_s_own_word_counts() {
        let limited = |seconds| error(ErrorKind::Limited, Some(seconds));
        assert_eq!(run(60, &[limited(7), limited(0)]), (Ok(()), vec![7, 0]));
        let (done, waits) = run(60, &[limited(3600)]);
        assert_eq!(done.unwrap_err().message, "no; it wants to be left alone for 3600 s");
        assert!(waits.is_empty());
    }

    #[test]
    fn what_can_not_pass_is_not_tried_again() {
        for kind in [ErrorKind::Token, ErrorKind::Rights, ErrorKind::NotFound, ErrorKind::Refused] {
            assert!(matches!(run(60, &[error(kind, None)]), (Err(_), waits) if waits.is_empty()));
        }
    }
}
