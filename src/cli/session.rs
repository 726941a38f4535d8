//! What the arguments stand for: a commit of a config repository, and a cloud.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cloud::Cloud;
use crate::cloud::lease::LeaseStore;
use crate::cloud::sim::world::World;
use crate::cloud::sim::{SimCloud, file as sim_file};
use crate::desired::spec::{Desired, ScopeConfig};
use crate::git::exchange::{Worker, this_program};
use crate::git::{Access, GitError, Repository, Source, Token};
use crate::names::{CommitId, ListenerArn, Region};
use crate::reconcile::pace::{Pace, RealTime};
use crate::reconcile::{ConfigRepository, Target};
use crate::settings::GitSettings;

use super::args::{CloudChoice, Common};
use super::error::CliError;

/// A commit of the config repository that the arguments name.
pub struct Commit {
    /// The repository.
    pub repository: ConfigRepository,
    /// What the commit says.
    pub desired: Arc<Desired>,
    /// Files were changed and not committed: they don't count, and a hint says so.
    pub uncommitted: bool,
    /// History is cut off.
    pub shallow: bool,
}

impl Commit {
    /// Reads the commit.
    pub fn read(common: &Common) -> Result<Self, CliError> {
        Self::read_as(common, ConfigRepository::desired)
    }

    /// Reads a commit that is going to be merged: only what the merge says is held against
    /// history.
    pub fn read_to_merge(common: &Common) -> Result<Self, CliError> {
        Self::read_as(common, ConfigRepository::past)
    }

    fn read_as(
        common: &Common,
        read: impl FnOnce(&ConfigRepository, &CommitId) -> Result<Arc<Desired>, GitError>,
    ) -> Result<Self, CliError> {
        let (repository, folder) = open(&common.repo, &common.path)?;
        let commit = repository.resolve(&common.reference)?;
        let uncommitted = common.reference == "HEAD" && repository.has_uncommitted_changes(&folder);
        let shallow = repository.is_shallow();
        let repository = ConfigRepository::new(repository, &folder);
        let desired = read(&repository, &commit)?;
        Ok(Self { repository, desired, uncommitted, shallow })
    }

    /// The commit as something to bring about.
    pub fn target(&self) -> Option<Target> {
        Target::new(Arc::clone(&self.desired), Some(self.repository.clone()))
    }
}

/// Opens the repository. A path inside it that is no root means the folder there.
pub fn open(repo: &str, path: &str) -> Result<(Repository, String), CliError> {
    match Source::parse(repo)? {
        Source::Local(place) => {
            let repository = Repository::open_local(&place)?;
            let folder = join(&repository.opened_at(), path);
            Ok((repository, folder))
        }
        Source::Remote(url) => {
            let dir = mirror_dir(url.to_string().as_str());
            let mut repository = Repository::open_mirror(&url, &dir, &access(&GitSettings::default())?)?;
            repository.fetch_all()?;
            Ok((repository, path.to_owned()))
        }
    }
}

/// How to be let in by a remote: the daemon's file first, then the environment.
pub fn access(settings: &GitSettings) -> Result<Access, CliError> {
    let mut access = Access::from_environment(|name| std::env::var_os(name))?;
    if let Some(file) = &settings.token_file {
        access.token = Some(Token::File(file.clone()));
    }
    access.username = settings.username.clone().or(access.username);
    access.ssh_key_file = settings.ssh_key_file.clone().or(access.ssh_key_file);
    access.known_hosts_file = settings.known_hosts_file.clone().or(access.known_hosts_file);
    access.worker = this_program().map(|program| Worker { program, own_group: false });
    Ok(access)
}

/// A folder inside another one, both relative to the root.
pub fn join(inside: &str, path: &str) -> String {
    match (inside.trim_end_matches('/'), path) {
        ("" | ".", path) => path.to_owned(),
        (inside, "." | "") => inside.to_owned(),
        (inside, path) => format!("{inside}/{path}"),
    }
}

/// Where one-shot commands keep the mirror of a remote repository.
fn mirror_dir(url: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = cache.or_else(home).unwrap_or_else(std::env::temp_dir);
    base.join("ionroller").join(crate::names::Digest::of(url.as_bytes()).short())
}

/// A cloud, and how to wait on its clock.
pub struct Connection {
    /// The cloud.
    pub cloud: Arc<dyn Cloud>,
    /// How to wait.
    pub pace: Arc<dyn Pace>,
    /// The world to save, and where.
    pub simulated: Option<(SimCloud, PathBuf)>,
}

impl Connection {
    /// Saves a simulated world; a real one needs nothing.
    pub fn save(&self) -> Result<(), CliError> {
        match &self.simulated {
            Some((cloud, file)) => sim_file::save(file, &cloud.world())
                .map_err(|why| CliError::user(format!("cannot write the simulated world {why}"))),
            None => Ok(()),
        }
    }
}

/// Connects to the cloud that the arguments choose, for the scope that a commit names.
pub async fn connect(
    choice: &CloudChoice,
    scope: &ScopeConfig,
    listeners: Vec<ListenerArn>,
) -> Result<Connection, CliError> {
    match choice {
        CloudChoice::Sim(file) => {
            let known =
                sim_file::load(file).map_err(|why| CliError::user(format!("cannot read the simulated world {why}")))?;
            // A listener that a later commit names exists, too: the world is as the files have it.
            let mut world = known.unwrap_or_else(|| World::for_places(listeners.clone()));
            listeners.into_iter().for_each(|listener| world.add_listener(listener));
            let cloud = SimCloud::new(world);
            Ok(Connection {
                pace: Arc::new(super::simulated::Jumping(cloud.clone())),
                simulated: Some((cloud.clone(), file.clone())),
                cloud: Arc::new(cloud),
            })
        }
        CloudChoice::Aws => Ok(Connection { cloud: aws(scope).await?, pace: Arc::new(RealTime), simulated: None }),
    }
}

#[cfg(feature = "aws")]
async fn aws(scope: &ScopeConfig) -> Result<Arc<dyn Cloud>, CliError> {
    let cloud = crate::cloud::aws::AwsCloud::connect(&aws_settings(scope)?).await?;
    cloud.check_account().await?;
    Ok(Arc::new(cloud))
}

/// The table of leases in DynamoDB.
#[cfg(feature = "aws")]
pub async fn lease_table(scope: &ScopeConfig, table: &str) -> Result<Arc<dyn LeaseStore>, CliError> {
    Ok(Arc::new(crate::cloud::aws::LeaseTable::connect(&aws_settings(scope)?, table).await?))
}

#[cfg(not(feature = "aws"))]
pub async fn lease_table(scope: &ScopeConfig, _: &str) -> Result<Arc<dyn LeaseStore>, CliError> {
    aws(scope).await?;
    Err(CliError::user("this build has no AWS in it"))
}

#[cfg(feature = "aws")]
fn aws_settings(scope: &ScopeConfig) -> Result<crate::cloud::aws::Connection, CliError> {
    use crate::cloud::aws::{Connection as Settings, Limiter};
    let limiter = match std::env::var(CALL_RATE_VARIABLE).ok().filter(|text| !text.is_empty()) {
        None => Limiter::default(),
        Some(text) => Limiter::with_factor(call_rate(&text).ok_or_else(|| {
            CliError::usage(format!("{CALL_RATE_VARIABLE} is `{text}`, which is no factor"))
                .hint("write a number from 0.01 to 100; 1 is the usual rate")
        })?),
    };
    Ok(Settings {
        region: Some(scope.region.clone()),
        role_arn: scope.role_arn.clone(),
        external_id: scope.external_id.clone(),
        account: scope.account.clone(),
        limiter: Arc::new(limiter),
    })
}

/// Multiplies our own limits on calls to AWS: below 1 where others need a share of the
/// account's allowance, above it where AWS has raised that.
#[cfg(feature = "aws")]
const CALL_RATE_VARIABLE: &str = "IONROLLER_AWS_CALL_RATE";

#[cfg(feature = "aws")]
fn call_rate(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|factor| (0.01..=100.0).contains(factor))
}

/// The region of the environment or the profile, as every AWS tool finds it.
#[cfg(feature = "aws")]
pub async fn usual_region() -> Option<Region> {
    crate::cloud::aws::AwsCloud::usual_region().await
}

/// A build without AWS knows none.
#[cfg(not(feature = "aws"))]
pub async fn usual_region() -> Option<Region> {
    None
}

#[cfg(not(feature = "aws"))]
async fn aws(_: &ScopeConfig) -> Result<Arc<dyn Cloud>, CliError> {
    Err(CliError::user("this build has no AWS in it")
        .hint("build it with the default features, or use --cloud sim:FILE"))
}
