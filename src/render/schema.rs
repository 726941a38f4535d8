//! JSON Schemas of what the commands print with `-o json`, for programs that read it.
//!
//! They name every field, and each is always there. More fields may be added within a
//! `format_version`, so a reader must not mind fields that it doesn't know.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::desired::diagnostic::Severity;
use crate::desired::drift::{Field as Watched, Policy};
use crate::plan::action::Kind;
use crate::plan::strategy::{Fallback, Machines};
use crate::plan::types::{Change, Phase, Reason, RecordOutcome, Role, RollbackClass};

use super::json::FORMAT_VERSION;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

const CHANGES: &[Change] = &[
    Change::None,
    Change::Create,
    Change::Takeover,
    Change::Release,
    Change::Rollback,
    Change::Update,
    Change::Remove,
    Change::Blocked,
];

const PHASES: &[Phase] = &[
    Phase::Steady,
    Phase::Provisioning,
    Phase::Warming,
    Phase::Shifting,
    Phase::Baking,
    Phase::Draining,
    Phase::Retiring,
    Phase::RollingBack,
    Phase::Halted,
    Phase::Absent,
    Phase::Pending,
    Phase::Held,
    Phase::Rejected,
    Phase::Blocked,
];

const ROLLBACK_CLASSES: &[RollbackClass] = &[RollbackClass::Instant, RollbackClass::ScaleUp, RollbackClass::Full];

const MACHINES: &[Machines] =
    &[Machines::New, Machines::Replaced, Machines::InPlace, Machines::Back, Machines::Removed];

const FALLBACKS: &[Fallback] = &[Fallback::RollBack, Fallback::Hold];

const ROLES: &[Role] = &[Role::Live, Role::Candidate, Role::Warm, Role::Leftover];

const POLICIES: &[Policy] = &[Policy::Heal, Policy::Report, Policy::Ignore];

const SEVERITIES: &[Severity] = &[Severity::Error, Severity::Warning, Severity::Note];

const OUTCOMES: &[RecordOutcome] = &[
    RecordOutcome::Live,
    RecordOutcome::Candidate,
    RecordOutcome::Warm,
    RecordOutcome::Superseded,
    RecordOutcome::Rejected,
    RecordOutcome::RolledBack,
    RecordOutcome::Withdrawn,
];

const REASONS: &[Reason] = &[
    Reason::Capacity,
    Reason::Health,
    Reason::Bake,
    Reason::Warm,
    Reason::Drain,
    Reason::Freeze,
    Reason::Hold,
    Reason::Paused,
    Reason::Approval,
    Reason::Gate,
    Reason::Dependency,
    Reason::Slot,
    Reason::Limit,
    Reason::Preflight,
    Reason::Retry,
    Reason::Unknown,
    Reason::Fence,
    Reason::Rejected,
    Reason::Invalid,
    Reason::Error,
    Reason::Down,
];

const KINDS: &[Kind] = &[
    Kind::CreateLaunchTemplate,
    Kind::CreateTargetGroup,
    Kind::SetTargetGroup,
    Kind::CreateRule,
    Kind::SetRule,
    Kind::SetWeights,
    Kind::CreateGroup,
    Kind::SetCapacity,
    Kind::SetPolicies,
    Kind::SetGroup,
    Kind::SetMark,
    Kind::ClearMark,
    Kind::SetTags,
    Kind::DeleteRule,
    Kind::DeleteGroup,
    Kind::DeleteTargetGroup,
    Kind::DeleteLaunchTemplate,
];

/// A field: its name, its schema, and what it says.
type Field = (&'static str, Value, &'static str);

/// What a command's JSON looks like; none for a command that prints none.
pub fn of(command: &str) -> Option<Value> {
    Some(match command {
        "plan" => plan(),
        "status" => status(),
        "apply" => apply(),
        "validate" => validate(),
        "diff" => diff(),
        "history" => history(),
        "release" | "rollback" => committed(),
        "comment" => commented(),
        "hold" | "resume" | "retry" | "abort" => said(),
        _ => return None,
    })
}

/// Of `plan`.
pub fn plan() -> Value {
    let mut summary: Vec<Field> = Vec::new();
    for word in ["none", "create", "takeover", "release", "rollback", "update", "remove", "blocked"] {
        summary.push((word, count(), "How many services have this change."));
    }
    summary.push(("waiting", count(), "How many services wait for something."));
    let freeze = object(vec![
        ("name", text(), "What people call it."),
        ("from", time(), "When it begins."),
        ("until", time(), "When it is over."),
        ("services", list(text()), "The services that it holds; empty: all."),
    ]);
    document(
        "The plan of a scope, as `ionroller plan -o json` prints it",
        vec![
            ("id", text(), "Names the plan: the same as long as the same would be done. apply --plan compares it."),
            ("scope", nullable("string"), "The scope; null when its file is broken."),
            ("commit", commit_or_null(), "The commit that was planned."),
            ("base", commit_or_null(), "The commit that it was merged into, or compared with."),
            ("observed_at", time_or_null(), "When AWS was read; null when it was not."),
            ("complete", json!({ "type": "boolean" }), "Everything that the plan rests on was read."),
            ("summary", object(summary), "Services by change."),
            ("services", list(planned_service()), "By name."),
            ("diagnostics", list(diagnostic()), "By file and place."),
            (
                "freezes",
                or_null(list(freeze)),
                "Freezes that are on or begin within two weeks, of services that the merge touches; null without --base.",
            ),
            ("scope_diff", nullable("string"), "What the merge changes in ionroller.toml, unified."),
        ],
    )
}

/// Of `status`.
pub fn status() -> Value {
    document("The status of a scope, as `ionroller status -o json` prints it", status_fields())
}

/// Of `apply`: the final status, and what is wrong.
pub fn apply() -> Value {
    let mut fields = status_fields();
    fields.push(("diagnostics", list(diagnostic()), "What is wrong."));
    document("How apply ended, as `ionroller apply -o json` prints it", fields)
}

/// Of `validate`.
pub fn validate() -> Value {
    let fields = vec![("diagnostics", list(diagnostic()), "Every problem of every file, by file and place.")];
    document("The problems of a folder, as `ionroller validate -o json` prints them", fields)
}

/// Of `diff`.
pub fn diff() -> Value {
    let service = object(vec![
        ("name", text(), "The service."),
        ("from", release_or_null(), "The running release."),
        ("to", release_or_null(), "The release that the file wants."),
        ("file_diff", nullable("string"), "The file as of the running release against the file now, unified."),
    ]);
    document(
        "The running release against the file, as `ionroller diff -o json` prints it",
        vec![
            ("services", list(service), "The one service that was asked for."),
            ("diagnostics", list(diagnostic()), "What is wrong."),
        ],
    )
}

/// Of `history`.
pub fn history() -> Value {
    let commit = object(vec![
        ("commit", text(), "The commit that asked for the release."),
        ("at", time(), "When it was committed."),
        ("author", text(), "The author's name."),
        ("subject", text(), "The first line of its message."),
    ]);
    let release = object(vec![
        ("version", text(), "Its version."),
        ("digest", text(), "Its digest."),
        ("outcome", or_null(words(OUTCOMES)), "What became of it; null when nothing of it is left in AWS."),
        ("group", nullable("string"), "The name of its resources."),
        ("created_at", time_or_null(), "When its launch template was made."),
        ("settled_at", time_or_null(), "When it settled, unless it was rolled back from since."),
        ("retired_at", time_or_null(), "When traffic left it, as long as its group stands."),
        ("rejected", or_null(verdict(Vec::new())), "Why it is not tried again."),
        ("commits", list(commit), "The commits that asked for it, newest first."),
    ]);
    document(
        "The past of a service, as `ionroller history -o json` prints it",
        vec![
            ("scope", text(), "The scope."),
            ("service", text(), "The service."),
            ("commit", commit_or_null(), "The commit whose past this is."),
            ("observed_at", time_or_null(), "When AWS was read."),
            ("releases", list(release), "Newest first."),
            ("diagnostics", list(diagnostic()), "What is wrong with the service."),
        ],
    )
}

/// Of `comment`.
pub fn commented() -> Value {
    let status = object(vec![
        ("commit", text(), "The commit that has it."),
        ("context", text(), "Whose it is."),
        ("state", json!({ "enum": ["success", "failure"] }), "What it says."),
        ("description", text(), "Why."),
    ]);
    document(
        "A comment on a pull request, as `ionroller comment -o json` prints it",
        vec![
            ("forge", json!({ "enum": ["github", "gitlab", "gitea"] }), "The kind of forge."),
            ("project", text(), "The repository there."),
            ("pull_request", or_null(count()), "The pull or merge request; null for a group of a merge queue."),
            ("comment", or_null(count()), "The comment's number on the forge; null where there is none."),
            ("url", nullable("string"), "Where people read it, if the forge says so."),
            ("outcome", json!({ "enum": ["created", "updated", "unchanged", "none"] }), "What became of the comment."),
            ("status", or_null(status), "The commit's status, if one was set."),
        ],
    )
}

/// Of `release` and `rollback`.
pub fn committed() -> Value {
    document(
        "A commit, as `ionroller release -o json` and `rollback -o json` print it",
        vec![
            ("service", text(), "The service."),
            ("from", text(), "The version that the file said."),
            ("to", text(), "The version that it says now."),
            ("commit", text(), "The new commit."),
            ("branch", text(), "The branch that it is on."),
            ("pushed_to", nullable("string"), "The remote that the branch was pushed to."),
            ("pull_request", nullable("string"), "The address of the pull request from the branch, with --open."),
        ],
    )
}

/// Of `hold`, `resume`, `retry` and `abort`.
pub fn said() -> Value {
    document(
        "An operator's word, as `ionroller hold -o json` and its like print it",
        vec![
            ("scope", text(), "The scope."),
            ("service", text(), "The service."),
            ("word", json!({ "enum": ["hold", "resume", "retry", "abort", "live-rollback"] }), "What was said."),
            ("changes", count(), "How many changes were made; 0: it was so already."),
        ],
    )
}

fn planned_service() -> Value {
    let action = object(vec![
        ("kind", words(KINDS), "The kind of change."),
        ("resource", text(), "`launch-template|target-group|group/NAME`, or the ARN of a rule or listener."),
        ("because", text(), "Why."),
        ("expects", list(text()), "What was read, and must still be so."),
    ]);
    let weight = object(vec![
        ("version", text(), "The release's version."),
        ("digest", text(), "The release's digest."),
        ("percent", percent(), "Its share of the traffic."),
    ]);
    let forecast = object(vec![
        ("after_secs", count(), "Seconds from now."),
        ("event", text(), "What happens."),
        ("instances", count(), "Machines of the service from then on."),
        ("weights", list(weight), "Who gets traffic from then on."),
    ]);
    let strategy = object(vec![
        ("machines", words(MACHINES), "What becomes of the machines."),
        ("steps", list(percent()), "The percents of the traffic that the new ones get; empty without a load balancer."),
        ("bake_secs", count(), "How long each step is watched."),
        ("on_failure", or_null(words(FALLBACKS)), "What a failure leads to."),
    ]);
    let peak = object(vec![
        ("instances", count(), "So many at once."),
        ("now", count(), "So many are meant to run now."),
        ("after_secs", count(), "From then on, in seconds from now."),
        ("for_secs", nullable("integer"), "For so long; null: they stay."),
    ]);
    object(vec![
        ("name", text(), "The service."),
        ("change", words(CHANGES), "The kind of difference."),
        ("phase", words(PHASES), "How far its rollout is."),
        ("from", release_or_null(), "What is live."),
        ("to", release_or_null(), "What the file wants."),
        ("because", text(), "Why there is a difference, or why there is none."),
        (
            "rollback",
            or_null(words(ROLLBACK_CLASSES)),
            "How fast this rollback is, or else a revert to the previous stable release would be; null: there is none.",
        ),
        ("rollback_until", time_or_null(), "Until when that is instant."),
        ("actions", list(action), "What one pass would do now."),
        ("waiting_on", or_null(wait()), "Why nothing moves."),
        ("forecast", list(forecast), "What follows if all goes well."),
        (
            "file_diff",
            nullable("string"),
            "The file as of the live release, or in the base, against the file now, unified. Without --show-values \
             the values of env and secrets are masked.",
        ),
        ("touched", json!({ "type": ["boolean", "null"] }), "Whether the merge changes it; null without --base."),
        ("changed_keys", or_null(list(text())), "What the merge changes of it, by key; null when it is not touched."),
        ("already", nullable("string"), "What was otherwise than the base says before the merge."),
        ("strategy", or_null(strategy), "How the change runs; null when nothing does."),
        ("peak", or_null(peak), "The most machines that it takes; null when that is not more than now, or not known."),
        ("settled_after_secs", nullable("integer"), "Seconds from now until it is over, a warm group aside."),
        ("drift", list(drift()), "What is the service's and is not as it was made."),
    ])
}

/// Something that somebody else has changed.
fn drift() -> Value {
    let fields: Vec<_> = Watched::ALL.iter().map(|field| json!(field)).collect();
    object(vec![
        ("resource", text(), "`group/NAME`, or the ARN of a rule or listener."),
        ("field", json!({ "type": "string", "enum": fields }), "What of it."),
        ("found", text(), "As it is."),
        ("expected", text(), "As it was made, or as the file says."),
        ("policy", words(POLICIES), "What is done about it, see `[drift]`."),
    ])
}

fn status_fields() -> Vec<Field> {
    let committed = || {
        or_null(object(vec![
            ("version", text(), "The release's version."),
            ("digest", text(), "The release's digest."),
            ("commit", nullable("string"), "The commit that it comes from."),
        ]))
    };
    let marks = json!({ "type": "object", "additionalProperties": text() });
    let group = object(vec![
        ("name", text(), "Its name."),
        ("version", text(), "Its release's version."),
        ("digest", text(), "Its release's digest."),
        ("role", words(ROLES), "Its part."),
        ("weight", or_null(percent()), "Its share of the traffic; null when the rule does not name it."),
        ("desired_capacity", count(), "Machines that it aims at."),
        ("healthy", count(), "Machines that are well."),
        ("marks", marks, "ionroller's tags on it, without their prefix."),
    ]);
    let held =
        object(vec![("since", time(), "Since when."), ("who", text(), "Who said so."), ("reason", text(), "Why.")]);
    let service = object(vec![
        ("name", text(), "The service."),
        ("desired", committed(), "What the file wants."),
        ("live", committed(), "What serves."),
        ("phase", words(PHASES), "How far its rollout is."),
        ("groups", list(group), "The server groups that stand."),
        ("waiting_on", or_null(wait()), "Why nothing moves."),
        ("held", or_null(held), "Who holds it."),
        (
            "rejected",
            or_null(verdict(vec![("digest", text(), "The release's digest.")])),
            "Why the desired release is not tried.",
        ),
        ("drift", list(drift()), "What is the service's and is not as it was made."),
    ]);
    vec![
        ("scope", nullable("string"), "The scope."),
        ("commit", commit_or_null(), "The commit that the files are from."),
        ("observed_at", time_or_null(), "When AWS was read."),
        ("services", list(service), "By name."),
    ]
}

fn verdict(more: Vec<Field>) -> Value {
    let mut fields: Vec<Field> = vec![
        ("since", time(), "Since when."),
        ("code", text(), "One word for the kind of failure."),
        ("reason", text(), "What was seen."),
    ];
    fields.extend(more);
    object(fields)
}

fn wait() -> Value {
    object(vec![
        ("reason", words(REASONS), "The kind of reason."),
        ("detail", text(), "For people."),
        ("since", time_or_null(), "Since when, if known."),
        ("until", time_or_null(), "Until when at the latest, if there is such a time."),
    ])
}

fn diagnostic() -> Value {
    let place = || json!({ "type": ["integer", "null"], "minimum": 1 });
    object(vec![
        ("severity", words(SEVERITIES), "How bad it is."),
        ("file", nullable("string"), "Relative to the repository's root."),
        ("line", place(), "From 1."),
        ("column", place(), "In characters, from 1."),
        ("message", text(), "What is wrong."),
        ("help", nullable("string"), "What to do."),
    ])
}

fn release_or_null() -> Value {
    or_null(object(vec![("version", text(), "Its version."), ("digest", text(), "Its digest, 64 hex digits.")]))
}

fn document(title: &str, fields: Vec<Field>) -> Value {
    let version = json!({ "const": FORMAT_VERSION });
    let mut all: Vec<Field> =
        vec![("format_version", version, "The form of this document. No field is lost within it.")];
    all.extend(fields);
    let mut schema = object(all);
    schema["$schema"] = json!(DRAFT);
    schema["title"] = json!(title);
    schema
}

fn object(fields: Vec<Field>) -> Value {
    let required: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
    let properties: Map<String, Value> = fields
        .into_iter()
        .map(|(name, mut schema, description)| {
            schema["description"] = json!(description);
            (name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn words<T: Serialize>(all: &[T]) -> Value {
    json!({ "enum": all })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn nullable(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn percent() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 100 })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn time_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn commit_or_null() -> Value {
    json!({ "type": ["string", "null"], "pattern": "^[0-9a-f]{40}$" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new word of an enumeration makes this fail to compile, so that nobody forgets the
    /// lists above.
    #[test]
    fn every_word_is_listed() {
        for change in CHANGES {
            use Change::*;
            match change {
                None | Create | Takeover | Release | Rollback | Update | Remove | Blocked => {}
            }
        }
        for phase in PHASES {
            use Phase::*;
            match phase {
                Steady | Provisioning | Warming | Shifting | Baking | Draining | Retiring | RollingBack | Halted
                | Absent | Pending | Held | Rejected | Blocked => {}
            }
        }
        for reason in REASONS {
            use Reason::*;
            match reason {
                Capacity | Health | Bake | Warm | Drain | Freeze | Hold | Paused | Approval | Gate | Dependency
                | Slot | Limit | Preflight | Retry | Unknown | Fence | Rejected | Invalid | Error | Down => {}
            }
        }
        for outcome in OUTCOMES {
            use RecordOutcome::*;
            match outcome {
                Live | Candidate | Warm | Superseded | Rejected | RolledBack | Withdrawn => {}
            }
        }
        assert_eq!((CHANGES.len(), PHASES.len(), REASONS.len(), OUTCOMES.len(), KINDS.len()), (8, 14, 21, 7, 17));
    }
}
