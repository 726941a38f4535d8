//! The config folder as a value, and what each kind of commit makes of it.

use crate::desired::files::{ConfigFiles, FileContent};
use crate::names::ListenerArn;
use crate::time::Timestamp;

use super::script::{Event, Kind, Script};

/// Names of the services by number.
pub const NAMES: [&str; 4] = ["api", "mail", "shop", "web"];
/// What their files are called when they were renamed.
pub const OTHER_NAMES: [&str; 4] = ["api-new", "mail-new", "shop-new", "web-new"];
/// The steps that releases have.
const STEPS: [&str; 4] = ["[100]", "[10, 100]", "[25, 50, 100]", "[5, 25, 50, 100]"];

/// How long a group stays warm, in seconds.
pub const WARM: u64 = 600;

/// The folder at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub scope_broken: bool,
    pub defaults: u32,
    /// Nothing starts from then until then.
    pub frozen: Option<(Timestamp, Timestamp)>,
    /// By number; none: there is no file.
    pub services: Vec<Option<File>>,
    pub prune: bool,
    pub limits: (u32, u32),
}

/// A service's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub broken: bool,
    pub renamed: bool,
    pub version: u32,
    pub min: u32,
    pub max: u32,
    pub steps: usize,
    pub host: u32,
    /// By which number its rule's priority goes: its own at first.
    pub place: usize,
    pub hold_on_failure: bool,
    pub paused: bool,
}

impl Files {
    /// The first commit.
    pub fn first(script: &Script) -> Self {
        let file = |(place, _): (usize, &Kind)| {
            Some(File {
                place,
                broken: false,
                renamed: false,
                version: 0,
                min: 2,
                max: 4,
                steps: 0,
                host: 0,
                hold_on_failure: false,
                paused: false,
            })
        };
        Self {
            scope_broken: false,
            defaults: 0,
            frozen: None,
            services: script.kinds.iter().enumerate().map(file).collect(),
            prune: script.prune,
            limits: script.limits,
        }
    }

    /// The name that a service has at this commit.
    pub fn name(&self, s: usize) -> &'static str {
        let renamed = self.services.get(s).and_then(Option::as_ref).is_some_and(|file| file.renamed);
        if renamed { OTHER_NAMES[s] } else { NAMES[s] }
    }

    /// The texts.
    pub fn texts(&self, kinds: &[Kind]) -> ConfigFiles {
        let mut files = ConfigFiles::default();
        let mut add = |path: String, text: String| files.files.insert(path, FileContent::Bytes(text.into_bytes()));
        add("ionroller.toml".to_owned(), self.scope_text());
        // A service that never has anything keeps the scope from being empty.
        add("services/none.toml".to_owned(), "version = \n".to_owned());
        for (s, file) in self.services.iter().enumerate() {
            if let Some(file) = file {
                add(format!("services/{}.toml", self.name(s)), file.text(s, kinds[s]));
            }
        }
        files
    }

    fn scope_text(&self) -> String {
        if self.scope_broken {
            return "scope = \n".to_owned();
        }
        let mut text = format!(
            "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n\
             [limits]\nmax_concurrent_rollouts = {}\nmax_releases_per_change = {}\n\
             [prune]\nenabled = {}\nmax_services = 4\n[defaults.env]\nD = \"{}\"\n",
            self.limits.0, self.limits.1, self.prune, self.defaults
        );
        if let Some((from, until)) = self.frozen {
            text.push_str(&format!("[[freeze]]\nname = \"quiet\"\nfrom = {from}\nuntil = {until}\n"));
        }
        text
    }

    /// What a commit makes of them; none where it would change nothing.
    pub fn after(&self, event: &Event, history: &[Self], now: Timestamp) -> Option<Self> {
        let mut new = self.clone();
        // Whatever else a commit does, it mends the scope's file.
        new.scope_broken = false;
        match *event {
            Event::BreakScope => new.scope_broken = true,
            Event::Defaults { n } => new.defaults = n,
            Event::Freeze { secs } => {
                let now = Timestamp::from_secs(now.as_millis() / 1000);
                new.frozen = Some((now, now + crate::time::Span::from_secs(secs)));
            }
            Event::Override => {}
            Event::Revert { back } => {
                new = history.iter().rev().nth(back)?.clone();
                new.scope_broken = false;
            }
            Event::ForcePush { back, s, version } => {
                new = history.iter().rev().nth(back)?.clone();
                new.scope_broken = false;
                if let Some(Some(file)) = new.services.get_mut(s) {
                    file.version = version;
                }
            }
            Event::Delete { s } => *new.services.get_mut(s)? = None,
            Event::PutBack { s } => {
                let known =
                    history.iter().rev().find_map(|files| files.services.get(s)?.as_ref().filter(|f| !f.broken));
                *new.services.get_mut(s)? = Some(known?.clone());
            }
            Event::Trade { s, with } => {
                let place = |s: usize| Some(new.services.get(s)?.as_ref()?.place);
                let (mine, other) = (place(s)?, place(with)?);
                new.services.get_mut(s)?.as_mut()?.place = other;
                new.services.get_mut(with)?.as_mut()?.place = mine;
            }
            Event::Claim { s, of } => {
                let other = new.services.get(of)?.as_ref()?.place;
                new.services.get_mut(s)?.as_mut()?.place = other;
            }
            Event::Release { s, .. }
            | Event::Resize { s, .. }
            | Event::Retouch { s, .. }
            | Event::OnFailure { s, .. }
            | Event::Break { s }
            | Event::Rename { s }
            | Event::Pause { s, .. } => new.services.get_mut(s)?.as_mut()?.change(event),
            _ => return None,
        }
        let empty = matches!(event, Event::Override);
        (empty || new != *self).then_some(new)
    }
}

impl File {
    fn change(&mut self, event: &Event) {
        match *event {
            Event::Release { version, min, steps, .. } => {
                (self.broken, self.version, self.min, self.max) = (false, version, min, min + 2);
                self.steps = steps % STEPS.len();
            }
            Event::Resize { min, max, .. } => (self.min, self.max) = (min, max.max(min)),
            Event::Retouch { host, .. } => self.host = host,
            Event::OnFailure { hold, .. } => self.hold_on_failure = hold,
            Event::Break { .. } => self.broken = true,
            Event::Rename { .. } => self.renamed = !self.renamed,
            Event::Pause { on, .. } => self.paused = on,
            _ => {}
        }
    }

    fn text(&self, s: usize, kind: Kind) -> String {
        if self.broken {
            return "version = \n".to_owned();
        }
        let paused = if self.paused { "paused = \"wait\"\n" } else { "" };
        let ready = if self.version == READY {
            "instance_profile = \"shop\"\nready = { command = \"true\", timeout = \"2m\" }\n"
        } else {
            ""
        };
        let failure = if self.hold_on_failure { "on_failure = \"hold\"\n" } else { "" };
        format!(
            "version = \"{version}\"\n{paused}[machine]\nami = \"ami-0123456789abcdef0\"\n\
             instance_type = \"t3.small\"\n{ready}[network]\nsubnets = [\"subnet-a\", \"subnet-b\"]\n\
             security_groups = [\"sg-a\"]\n[capacity]\nmin = {}\nmax = {}\n\
             scaling = [{{ metric = \"cpu\", target = 60 }}]\n{}\
             [rollout]\nsteps = {}\nbake = \"1m\"\nhealthy_deadline = \"5m\"\n{failure}\
             [retention]\nwarm = \"{WARM}s\"\nrecords = 2\n",
            self.min,
            self.max,
            self.traffic(s, kind),
            STEPS[self.steps],
            version = version(s, self.version),
        )
    }

    fn traffic(&self, s: usize, kind: Kind) -> String {
        let listener = listener(s, kind);
        let rule = match kind {
            Kind::Worker => return String::new(),
            Kind::Rule => {
                let (priority, host) = (10 * (self.place + 1), self.host);
                format!("rule = {{ priority = {priority}, hosts = [\"{}-{host}.example.com\"] }}\n", NAMES[s])
            }
            Kind::Network => "protocol = \"TCP\"\n".to_owned(),
            Kind::Adopt => "adopt = true\n".to_owned(),
            Kind::Default => String::new(),
        };
        let (interval, delay) = (10 + self.host % 3, 20 + 5 * self.host);
        format!(
            "[load_balancer]\nlistener = \"{listener}\"\nport = 80\nderegistration_delay = \"{delay}s\"\n\
             health_check = {{ interval = \"{interval}s\" }}\n{rule}"
        )
    }
}

/// The machines of this version must become ready first, in each service.
const READY: u32 = 3;

/// A version of a service: no two services share one, since the simulated machines behave
/// as their version says.
pub fn version(s: usize, version: u32) -> String {
    format!("{version}.{s}")
}

/// Where a service's traffic comes in.
pub fn listener(s: usize, kind: Kind) -> ListenerArn {
    let text = match kind {
        Kind::Rule | Kind::Worker => "app/shared/50dc/f2f7".to_owned(),
        Kind::Default | Kind::Adopt => format!("app/own{s}/50dc/f2f7"),
        Kind::Network => format!("net/raw{s}/50dc/f2f7"),
    };
    let text = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/{text}");
    ListenerArn::parse(&text).unwrap()
}

/// Which service a name belongs to.
pub fn number(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name).or_else(|| OTHER_NAMES.iter().position(|known| *known == name))
}
