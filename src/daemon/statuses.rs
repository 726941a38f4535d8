//! Tells the forge how each release stands, as a status of the commit that released it.
//!
//! A task of its own: reconciling never waits for it. Of each service only the newest
//! message is kept, so a forge that is down for a day costs no memory, and hears in the end
//! how things stand then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::forge::{self, ErrorKind, Forge, ForgeError, Place, State, Status, Token};
use crate::git::Source;
use crate::names::{Scope, ServiceName};
use crate::notifications::{Message, Told, Verdict, news};
use crate::plan::types::Plan;
use crate::settings::Settings;

use super::Shared;

/// Between two requests. GitHub asks for a second between those that change something.
const PACE: Duration = Duration::from_secs(1);

/// After a failure that somebody must mend. The token may be replaced meanwhile.
pub(super) const NEEDS_SOMEBODY: Duration = Duration::from_secs(300);

/// The repository on the forge that the daemon's file names; none where nothing is done
/// there. The error is for people.
///
/// # Errors
/// The file does not say which it is.
pub fn check(settings: &Settings) -> Result<Option<Place>, String> {
    let asked = &settings.forge;
    if !asked.statuses && !asked.auto_revert {
        return Ok(None);
    }
    let web = match Source::parse(&settings.repo) {
        Ok(Source::Remote(url)) => url.web(),
        Ok(Source::Local(_)) if asked.auto_revert => {
            return Err("[forge]: `auto_revert` pushes to `repo`, which must be a URL for that".to_owned());
        }
        Ok(Source::Local(_)) | Err(_) => None,
    };
    let (api, project) = (asked.url.as_deref(), asked.project.as_deref());
    let (web, path) = match (web, api, project) {
        (Some(web), ..) => web,
        (None, Some(api), Some(project)) => (api.to_owned(), project.to_owned()),
        (None, ..) => {
            return Err("[forge]: `repo` is on no server, so `kind`, `url` and `project` must say where".to_owned());
        }
    };
    let place = Place::of_remote(&web, &path, asked.kind, api, project);
    place.map(Some).map_err(|error| format!("[forge]: {error}; `kind`, `url` and `project` say it"))
}

/// The way to the forge, with the token as it is now.
pub(super) fn connect(settings: &Settings) -> Result<Option<Arc<dyn Forge>>, ForgeError> {
    let unusable = |message: String| ForgeError { kind: ErrorKind::Unusable, message, hint: None, wait: None };
    let Some(place) = check(settings).map_err(unusable)? else { return Ok(None) };
    let file = settings.forge.token_file.as_ref().or(settings.git.token_file.as_ref());
    let token: Result<Token, String> = match file {
        Some(file) => forge::token_from_file(file),
        None => forge::token_from_environment(&place, &|name| std::env::var(name).ok()),
    };
    Ok(Some(Arc::from(forge::connect(&place, token.map_err(unusable)?)?)))
}

/// What is still to be told, and what is under way.
#[derive(Default)]
struct Queue {
    told: Told,
    waiting: BTreeMap<ServiceName, (Scope, Message)>,
    under_way: Option<(Scope, Message)>,
    failures: u32,
    /// What the log said last, so that it says it once.
    said: Option<String>,
}

/// Tells what is new until it is stopped.
pub(super) async fn run(shared: Shared) {
    let (mut plans, mut followed) = (shared.plan.subscribe(), shared.followed.subscribe());
    let mut queue = Queue::default();
    let mut not_before = Instant::now();
    let mut answer: Option<oneshot::Receiver<Result<(), ForgeError>>> = None;
    loop {
        if answer.is_none() && Instant::now() >= not_before {
            answer = queue.start(&followed.borrow().settings);
        }
        let has_more = answer.is_none() && !queue.waiting.is_empty();
        tokio::select! {
            changed = plans.changed() => {
                if changed.is_err() {
                    return;
                }
                let plan = plans.borrow_and_update().clone();
                queue.take(plan.as_deref(), is_wanted(&followed.borrow().settings, &shared));
            }
            said = answered(&mut answer) => {
                answer = None;
                not_before = Instant::now() + queue.ended(said);
            }
            () = tokio::time::sleep_until(not_before), if has_more => {}
            // What was wrong may be mended; and where statuses are new, all is told.
            _ = followed.changed() => {
                not_before = Instant::now();
                followed.mark_unchanged();
                let plan = plans.borrow().clone();
                queue.take(plan.as_deref(), is_wanted(&followed.borrow().settings, &shared));
            }
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Of several daemons, the one that acts tells. One that takes over tells how things stand.
fn is_wanted(settings: &Settings, shared: &Shared) -> bool {
    settings.forge.statuses && shared.acts.load(Ordering::Relaxed)
}

async fn answered(answer: &mut Option<oneshot::Receiver<Result<(), ForgeError>>>) -> Result<(), ForgeError> {
    match answer {
        Some(answer) => answer.await.unwrap_or_else(|_| Err(ended_early())),
        None => std::future::pending().await,
    }
}

fn ended_early() -> ForgeError {
    let message = "the request ended early".to_owned();
    ForgeError { kind: ErrorKind::Unavailable, message, hint: None, wait: None }
}

impl Queue {
    /// Takes in what is new in a plan.
    fn take(&mut self, plan: Option<&Plan>, wanted: bool) {
        if !wanted {
            *self = Self { under_way: self.under_way.take(), ..Self::default() };
            return;
        }
        let Some(plan) = plan else { return };
        let Some(scope) = &plan.scope else { return };
        let (told, messages) = news(&self.told, plan);
        self.told = told;
        for message in messages {
            self.waiting.insert(message.service.clone(), (scope.clone(), message));
        }
    }

    /// Begins with what matters most.
    fn start(&mut self, settings: &Settings) -> Option<oneshot::Receiver<Result<(), ForgeError>>> {
        let next = self.waiting.values().min_by_key(|(_, message)| (message.verdict, message.service.clone()));
        let service = next?.1.service.clone();
        self.under_way = self.waiting.remove(&service);
        let (scope, message) = self.under_way.as_ref()?;
        let status = status(scope, message);
        let (tell, answer) = oneshot::channel();
        let settings = settings.clone();
        // A thread of its own: a runtime that ends waits for its own threads, and a forge that
        // does not answer must not hold up the end of the daemon.
        let begun = std::thread::Builder::new().name("forge".to_owned()).spawn(move || {
            let done = connect(&settings).and_then(|forge| forge.map_or(Ok(()), |forge| forge.set_status(&status)));
            let _ = tell.send(done);
        });
        if begun.is_err() {
            tracing::warn!("no thread could be started to tell the forge");
        }
        Some(answer)
    }

    /// Notes how a request ended, and says how long to rest.
    fn ended(&mut self, answer: Result<(), ForgeError>) -> Duration {
        let message = self.under_way.take();
        let Err(error) = answer else {
            self.failures = 0;
            if let Some((_, message)) = message {
                let Message { service, commit, verdict, text } = message;
                tracing::debug!(%service, commit = commit.short(), ?verdict, text, "the forge was told");
            }
            if self.said.take().is_some() {
                tracing::info!("the forge takes statuses again");
            }
            return PACE;
        };
        let lost = matches!(error.kind, ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::TooLong);
        let text = error.to_string();
        if self.said.as_ref() != Some(&text) {
            let hint = error.hint.as_deref().unwrap_or_default();
            let follows = if lost { "this one is left out" } else { "it is tried again" };
            tracing::warn!(error = text, hint, "a status could not be set; {follows}");
            self.said = Some(text);
        }
        if lost {
            return PACE;
        }
        // Unless there is something newer to tell.
        if let Some((scope, message)) = message {
            self.waiting.entry(message.service.clone()).or_insert((scope, message));
        }
        self.failures += 1;
        match error.may_pass() {
            true => forge::pause(&error, self.failures - 1),
            false => NEEDS_SOMEBODY,
        }
    }
}

fn status(scope: &Scope, message: &Message) -> Status {
    let state = match message.verdict {
        Verdict::Pending => State::Pending,
        Verdict::Success => State::Success,
        Verdict::Failure => State::Failure,
    };
    let context = format!("ionroller/{scope}/{}", message.service);
    Status { commit: message.commit.to_string(), context, state, description: message.text.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifications::tests::{plan, steady};

    fn told() -> Plan {
        Plan { scope: Some(Scope::parse("prod").unwrap()), ..plan('1', vec![steady("1", '1')]) }
    }

    fn error(kind: ErrorKind, wait: Option<Duration>) -> ForgeError {
        ForgeError { kind, message: "no".to_owned(), hint: None, wait }
    }

    #[test]
    fn who_takes_over_tells_how_things_stand() {
        let mut queue = Queue::default();
        queue.take(Some(&told()), true);
        assert_eq!(queue.waiting.len(), 1);
        queue.take(Some(&told()), false);
        assert!(queue.waiting.is_empty(), "another daemon tells it");
        queue.take(Some(&told()), true);
        queue.take(Some(&told()), true);
        assert_eq!(queue.waiting.len(), 1);
    }

    #[test]
    fn what_failed_is_kept_unless_there_is_something_newer_or_it_is_lost() {
        let service = ServiceName::parse("web").unwrap();
        let mut queue = Queue::default();
        queue.take(Some(&told()), true);
        let started = |queue: &mut Queue| {
            queue.under_way = queue.waiting.remove(&service);
        };
        started(&mut queue);
        let down = || Err(error(ErrorKind::Unavailable, None));
        assert_eq!(queue.ended(down()), Duration::from_secs(1));
        started(&mut queue);
        assert_eq!(queue.ended(down()), Duration::from_secs(2));
        started(&mut queue);
        let limited = error(ErrorKind::Limited, Some(Duration::from_secs(40)));
        assert_eq!(queue.ended(Err(limited)), Duration::from_secs(40));
        // Meanwhile it got new settings, and only that is worth telling.
        started(&mut queue);
        let newer = Plan { scope: told().scope, ..plan('2', vec![steady("2", '2')]) };
        queue.take(Some(&newer), true);
        assert_eq!(queue.ended(Err(error(ErrorKind::Rights, None))), NEEDS_SOMEBODY);
        assert_eq!(queue.waiting[&service].1.text, "2 is live");
        started(&mut queue);
        assert_eq!(queue.ended(Err(error(ErrorKind::NotFound, None))), PACE);
        assert!(queue.waiting.is_empty(), "the forge does not know the commit");
    }
}
