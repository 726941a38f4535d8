//! The forge that the arguments, CI or the Git remote name, and the token for it.

use std::time::Duration;

use crate::forge::{self, Ci, Forge, ForgeError, Place, PlaceError, Token, token_from_environment, token_from_file};

use super::args::Forge as Flags;
use super::error::CliError;
use super::ui::Ui;

/// What the run is part of, if it is part of any.
pub fn ci() -> Result<Option<Ci>, CliError> {
    Ok(Ci::detect(&variable, &|path| std::fs::read_to_string(path).ok())?)
}

/// The repository that the flags name, on top of what CI or a Git remote tells.
pub fn place(
    flags: &Flags,
    ci: Option<&Ci>,
    remote: impl FnOnce() -> Option<(String, String)>,
) -> Result<Place, CliError> {
    let Flags { forge: kind, forge_url, project, .. } = flags;
    let (api, project) = (forge_url.as_deref(), project.as_deref());
    if let Some(ci) = ci {
        return Ok(ci.place.clone().with(*kind, api, project)?);
    }
    if let (Some(kind), Some(api), Some(project)) = (kind, api, project) {
        return Ok(Place::of_remote(api, project, Some(*kind), Some(api), None)?);
    }
    let Some((web, path)) = remote() else {
        return Err(CliError::user("there is nothing that tells which forge the repository is on")
            .hint("--forge KIND --forge-url URL --project OWNER/NAME"));
    };
    Ok(Place::of_remote(&web, &path, *kind, api, project)?)
}

/// Connects, with the token that the flags or the environment have.
pub fn connect(flags: &Flags, place: &Place) -> Result<Box<dyn Forge>, CliError> {
    Ok(forge::connect(place, token(flags, place)?)?)
}

fn token(flags: &Flags, place: &Place) -> Result<Token, CliError> {
    let token = match &flags.token_file {
        Some(file) => token_from_file(file),
        None => token_from_environment(place, &variable),
    };
    token.map_err(CliError::user)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Waits for a busy forge, and says so.
pub fn wait(ui: &Ui) -> impl Fn(&ForgeError, Duration) + '_ {
    |error, pause| {
        ui.tell(&format!("{error}; again in {} s", pause.as_secs()));
        std::thread::sleep(pause);
    }
}

impl From<PlaceError> for CliError {
    fn from(error: PlaceError) -> Self {
        let made = Self::user(error.to_string());
        match error {
            PlaceError::UnknownForge(_) => made.hint("--forge github, gitlab or gitea (Forgejo, too) says it"),
            PlaceError::NoRepository(_) => made.hint("--project says it"),
        }
    }
}
