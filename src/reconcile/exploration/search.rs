//! All states that can be reached, each visited once, breadth first; then backwards from the
//! ends, to see that every state can come to one.

use std::collections::HashMap;

use super::kept::Kept;
use super::same::fingerprint;
use super::{After, Small, State, Step};

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    /// States in which all is as it should be, and stays.
    pub ends: usize,
    /// States that were reached, and whose steps were not looked at: the bound was reached,
    /// and nothing is said of what follows from them, nor of who comes to an end.
    pub frontier: usize,
    /// What broke, with the way that leads there.
    pub broken: Option<String>,
}

/// How a state was reached first.
struct Node {
    from: u32,
    step: Step,
}

/// A state whose steps were not looked at yet.
type Open = (u32, Kept);

/// Where a step of one frontier state leads.
struct Edge<'a> {
    from: &'a Open,
    step: Step,
    leads: Result<(u128, Box<State>), String>,
}

/// So many states are expanded before what they lead to is looked through: what is known
/// already is not kept.
const PORTION: usize = 512;

/// A search under way.
struct Search<'a> {
    small: &'a Small,
    threads: usize,
    known: HashMap<u128, u32>,
    nodes: Vec<Node>,
    edges: Vec<(u32, u32)>,
    ends: Vec<u32>,
    found: Found,
}

/// Searches until everything was seen, something broke, or there are too many states.
pub(super) fn search(small: &Small, states_max: usize, threads: usize, tell_depth: &mut dyn FnMut(&Found)) -> Found {
    let first = small.first();
    let mut search = Search {
        small,
        threads,
        known: HashMap::from([(fingerprint(&first), 0)]),
        nodes: vec![Node { from: 0, step: Step::Wait }],
        edges: Vec::new(),
        ends: Vec::new(),
        found: Found::default(),
    };
    let mut frontier = vec![(0, Kept::first(&first))];
    while !frontier.is_empty() {
        let mut reached = Vec::new();
        for portion in frontier.chunks(PORTION) {
            if let Err(broken) = search.expand(portion, &mut reached) {
                search.found.broken = Some(broken);
                search.found.states = search.nodes.len();
                return search.found;
            }
        }
        search.found.depth += usize::from(!reached.is_empty());
        frontier = reached;
        search.found.states = search.nodes.len();
        search.found.frontier = frontier.len();
        tell_depth(&search.found);
        if search.nodes.len() > states_max {
            break;
        }
    }
    search.close()
}

impl Search<'_> {
    /// Every step of some states of a frontier.
    fn expand(&mut self, portion: &[Open], reached: &mut Vec<Open>) -> Result<(), String> {
        for Edge { from: (from, kept), step, leads } in self.look(portion) {
            self.found.steps += 1;
            let (print, state) = leads.map_err(|why| tell(self.small, &self.nodes, *from, Some(step), &why))?;
            let next = u32::try_from(self.nodes.len()).unwrap();
            let to = *self.known.entry(print).or_insert(next);
            if to == next {
                self.nodes.push(Node { from: *from, step });
                reached.push((to, kept.next(&state)));
            }
            if to != *from {
                self.edges.push((*from, to));
            }
        }
        Ok(())
    }

    fn look<'a>(&mut self, portion: &'a [Open]) -> Vec<Edge<'a>> {
        let small = self.small;
        let work = |part: &'a [Open]| {
            let (mut edges, mut ends) = (Vec::new(), Vec::new());
            for from in part {
                let state = from.1.state();
                if small.is_end(&state) {
                    ends.push(from.0);
                }
                for (step, after) in small.moves(&state) {
                    let leads = match after {
                        After::State(new) => Ok((fingerprint(&new), new)),
                        After::Broken(why) => Err(why),
                    };
                    edges.push(Edge { from, step, leads });
                }
            }
            (edges, ends)
        };
        let share = portion.len().div_ceil(self.threads).max(1);
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let parts: Vec<_> = portion.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
            for part in parts {
                let (edges, ends) = part.join().unwrap();
                all.extend(edges);
                self.ends.extend(ends);
            }
        });
        all
    }

    /// Whether every state can come to an end, where all were seen.
    fn close(mut self) -> Found {
        self.found.ends = self.ends.len();
        if self.found.frontier == 0
            && let Some(lost) = no_way_to(&self.ends, self.edges, self.nodes.len())
        {
            self.found.broken = Some(tell(self.small, &self.nodes, lost, None, "from here nothing leads to the end"));
        }
        self.found
    }
}

/// The first state, by depth, from which no end can be reached.
fn no_way_to(ends: &[u32], mut edges: Vec<(u32, u32)>, count: usize) -> Option<u32> {
    edges.sort_unstable_by_key(|(_, to)| *to);
    let mut comes = vec![false; count];
    let mut todo = ends.to_vec();
    while let Some(state) = todo.pop() {
        if !std::mem::replace(&mut comes[state as usize], true) {
            let first = edges.partition_point(|(_, to)| *to < state);
            todo.extend(edges[first..].iter().take_while(|(_, to)| *to == state).map(|(from, _)| *from));
        }
    }
    comes.iter().position(|comes| !comes).and_then(|lost| u32::try_from(lost).ok())
}

/// The way to a state, and what is wrong there.
fn tell(small: &Small, nodes: &[Node], to: u32, last: Option<Step>, why: &str) -> String {
    let mut steps: Vec<Step> = last.into_iter().collect();
    let mut at = to;
    while at != 0 {
        steps.push(nodes[at as usize].step);
        at = nodes[at as usize].from;
    }
    let mut state = small.first();
    let mut lines = Vec::new();
    for step in steps.into_iter().rev() {
        lines.push(small.describe(&state, step));
        if let Some(new) = small.after(&state, step) {
            state = new;
        }
    }
    lines.push(why.to_owned());
    lines.join("\n")
}
