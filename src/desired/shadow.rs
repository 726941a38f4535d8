//! Rules that no request reaches: another rule of the listener, whose priority comes first,
//! matches all that they match.

use std::collections::{BTreeMap, BTreeSet};

use super::spec::RuleSpec;

/// A rule among others of one listener; none: the default action, which comes last.
#[derive(Clone, Copy)]
pub(super) struct Listed<'r> {
    /// Names its service among the others.
    pub service: usize,
    pub rule: Option<&'r RuleSpec>,
}

/// The rules of one listener, found by what they match.
pub(super) struct ByMatch<'r> {
    by_host: BTreeMap<String, Vec<Listed<'r>>>,
    by_path: BTreeMap<&'r str, Vec<Listed<'r>>>,
    /// Those with a wildcard.
    wide: Vec<Listed<'r>>,
}

impl<'r> ByMatch<'r> {
    pub(super) fn of(listed: &[Listed<'r>]) -> Self {
        let mut found = Self { by_host: BTreeMap::new(), by_path: BTreeMap::new(), wide: Vec::new() };
        for entry in listed {
            let Some(rule) = entry.rule else { continue };
            let patterns = if rule.hosts.is_empty() { &rule.paths } else { &rule.hosts };
            if patterns.iter().any(|pattern| pattern.contains(['*', '?'])) {
                found.wide.push(*entry);
            }
            for host in &rule.hosts {
                found.by_host.entry(host.to_ascii_lowercase()).or_default().push(*entry);
            }
            if rule.hosts.is_empty() {
                for path in &rule.paths {
                    found.by_path.entry(path).or_default().push(*entry);
                }
            }
        }
        found
    }

    /// The services whose rules match all that this one matches, and come first; none when
    /// something is left for it.
    pub(super) fn shadows(&self, of: Listed<'r>) -> Option<BTreeSet<usize>> {
        let any = [String::new()];
        let (hosts, paths) = of.rule.map_or((&any[..0], &any[..0]), |rule| (&rule.hosts, &rule.paths));
        let mut shadows = BTreeSet::new();
        for host in if hosts.is_empty() { &any } else { hosts } {
            for path in if paths.is_empty() { &any } else { paths } {
                let host = host.to_ascii_lowercase();
                let same = self.by_host.get(&host).into_iter().chain(self.by_path.get(path.as_str())).flatten();
                let first = |other: &&Listed<'r>| {
                    let priority = |listed: &Listed<'r>| listed.rule.map_or(u32::MAX, |rule| rule.priority);
                    other.service != of.service && priority(other) < priority(&of)
                };
                let covers = |other: &&Listed<'r>| other.rule.is_some_and(|rule| covers(rule, &host, path));
                // Of several the one that comes first gets the requests.
                let shadow = same.chain(&self.wide).filter(first).filter(covers);
                let shadow = shadow.min_by_key(|other| other.rule.map(|rule| rule.priority))?;
                shadows.insert(shadow.service);
            }
        }
        Some(shadows)
    }
}

/// Whether a rule matches all that one pattern of hosts and one of paths match together; an
/// empty pattern matches anything.
fn covers(rule: &RuleSpec, host: &str, path: &str) -> bool {
    let host_too = rule.hosts.is_empty() || rule.hosts.iter().any(|wide| contains(&wide.to_ascii_lowercase(), host));
    // Every path begins with a slash.
    let path = if path.is_empty() { "/*" } else { path };
    host_too && (rule.paths.is_empty() || rule.paths.iter().any(|wide| contains(wide, path)))
}

/// Whether one pattern matches all that the other does: `*` stands for any characters, `?` for
/// one. It may say no where the answer is yes, and never the other way round.
fn contains(wide: &str, narrow: &str) -> bool {
    let (wide, narrow): (Vec<char>, Vec<char>) = (wide.chars().collect(), narrow.chars().collect());
    // Whether what is left of the narrow one is matched, for each number of its characters.
    let mut matched = vec![false; narrow.len() + 1];
    matched[narrow.len()] = true;
    for pattern in wide.iter().rev() {
        let mut before = vec![false; narrow.len() + 1];
        for at in (0..=narrow.len()).rev() {
            before[at] = match (pattern, narrow.get(at)) {
                ('*', None) => matched[at],
                ('*', Some(_)) => matched[at] || before[at + 1],
                (_, None) => false,
                ('?', Some(next)) => *next != '*' && matched[at + 1],
                (exact, Some(next)) => exact == next && matched[at + 1],
            };
        }
        matched = before;
    }
    matched[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_contains_what_it_matches() {
        let yes = [("a", "a"), ("*", "a"), ("*", "*"), ("/*", "/api/*"), ("*.b", "a.b"), ("*.b", "*.a.b"), ("?", "?")];
        let more = [("a?c", "abc"), ("/a*", "/a"), ("*.*.com", "*.x.com"), ("/*x*", "/*x?"), ("**", "a")];
        for (wide, narrow) in yes.into_iter().chain(more) {
            assert!(contains(wide, narrow), "{wide} contains {narrow}");
        }
        let no =
            [("a", "b"), ("a", "*"), ("?", "*"), ("*.b", "b"), ("/api/*", "/api"), ("a?", "a"), ("?", ""), ("a", "?")];
        for (wide, narrow) in no {
            assert!(!contains(wide, narrow), "{wide} does not contain {narrow}");
        }
    }

    fn rule(priority: u32, hosts: &[&str], paths: &[&str]) -> RuleSpec {
        let all = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        RuleSpec { priority, hosts: all(hosts), paths: all(paths) }
    }

    fn shadows(rules: &[Option<RuleSpec>]) -> Vec<Option<Vec<usize>>> {
        let listed: Vec<Listed<'_>> =
            rules.iter().enumerate().map(|(service, rule)| Listed { service, rule: rule.as_ref() }).collect();
        let known = ByMatch::of(&listed);
        listed.iter().map(|entry| known.shadows(*entry).map(|all| all.into_iter().collect())).collect()
    }

    #[test]
    fn who_gets_no_request() {
        let (a, b) = (&["a.example.com"][..], &["b.example.com"][..]);
        let both = &["A.example.com", "b.example.com"][..];
        let wide = &["*.example.com"][..];
        let table: [(&[RuleSpec], Option<&[usize]>); 12] = [
            (&[rule(1, a, &[]), rule(2, a, &[])], Some(&[0])),
            (&[rule(2, a, &[]), rule(1, a, &[])], None),
            (&[rule(1, a, &[]), rule(2, b, &[])], None),
            (&[rule(1, a, &["/x"]), rule(2, a, &[])], None),
            (&[rule(1, a, &[]), rule(2, a, &["/x"])], Some(&[0])),
            (&[rule(1, &[], &["/*"]), rule(2, a, &[])], Some(&[0])),
            (&[rule(1, &[], &["/x"]), rule(2, a, &["/x"])], Some(&[0])),
            (&[rule(1, wide, &[]), rule(2, both, &[])], Some(&[0])),
            (&[rule(1, a, &[]), rule(2, wide, &[])], None),
            // Each of its hosts has a rule before it.
            (&[rule(1, a, &[]), rule(2, b, &[]), rule(3, both, &[])], Some(&[0, 1])),
            (&[rule(1, a, &[]), rule(3, both, &[])], None),
            (&[rule(1, a, &["/x", "/y"]), rule(2, a, &["/y", "/x"])], Some(&[0])),
        ];
        for (rules, expected) in table {
            let rules: Vec<_> = rules.iter().cloned().map(Some).collect();
            assert_eq!(shadows(&rules).pop().flatten().as_deref(), expected, "{rules:?}");
        }
        assert_eq!(shadows(&[Some(rule(9, &[], &["/*"])), None]), [None, Some(vec![0])], "a default action");
        assert_eq!(shadows(&[Some(rule(9, a, &["/*"])), None]), [None, None]);
    }
}
