//! All states that can be reached, each visited once, breadth first; then backwards from the
//! ends, to see that every state can come to one.

use std::collections::HashMap;

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
    /// What broke, with the way that leads there.
    pub broken: Option<String>,
    /// The bound on states was reached: nothing is said of the rest.
    pub cut_off: bool,
}

/// How a state was reached first.
struct Node {
    from: u32,
    step: Step,
}

/// Where a step of one frontier state leads.
struct Edge {
    from: u32,
    step: Step,
    leads: Result<(u128, Box<State>), String>,
}

/// Searches until everything was seen, something broke, or there are too many states.
pub(super) fn search(small: &Small, states_max: usize, tell_depth: &mut dyn FnMut(usize, usize)) -> Found {
    let first = small.first();
    let mut known = HashMap::from([(fingerprint(&first), 0_u32)]);
    let mut nodes = vec![Node { from: 0, step: Step::Wait }];
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut ends: Vec<u32> = Vec::new();
    let mut frontier = vec![(0_u32, first)];
    let mut found = Found::default();
    while !frontier.is_empty() {
        let mut reached = Vec::new();
        for edge in expand(small, &frontier, &mut ends) {
            found.steps += 1;
            let (print, state) = match edge.leads {
                Ok(leads) => leads,
                Err(why) => {
                    found.broken = Some(tell(small, &nodes, edge.from, Some(edge.step), &why));
                    found.states = nodes.len();
                    return found;
                }
            };
            let next = u32::try_from(nodes.len()).unwrap();
            let to = *known.entry(print).or_insert(next);
            if to == next {
                nodes.push(Node { from: edge.from, step: edge.step });
                reached.push((to, *state));
            }
            if to != edge.from {
                edges.push((edge.from, to));
            }
        }
        found.depth += usize::from(!reached.is_empty());
        frontier = reached;
        found.states = nodes.len();
        tell_depth(found.depth, found.states);
        if nodes.len() > states_max {
            found.cut_off = true;
            break;
        }
    }
    found.ends = ends.len();
    if !found.cut_off
        && let Some(lost) = no_way_to(&ends, &edges, nodes.len())
    {
        let lost = u32::try_from(lost).unwrap();
        found.broken = Some(tell(small, &nodes, lost, None, "from here nothing leads to the end"));
    }
    found
}

/// Every step of every state of a frontier, on all processors.
fn expand(small: &Small, frontier: &[(u32, State)], ends: &mut Vec<u32>) -> Vec<Edge> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let share = frontier.len().div_ceil(threads).max(1);
    let work = |part: &[(u32, State)]| {
        let (mut edges, mut ends) = (Vec::new(), Vec::new());
        for (from, state) in part {
            if small.is_end(state) {
                ends.push(*from);
            }
            for (step, after) in small.moves(state) {
                let leads = match after {
                    After::State(new) => Ok((fingerprint(&new), new)),
                    After::Broken(why) => Err(why),
                };
                edges.push(Edge { from: *from, step, leads });
            }
        }
        (edges, ends)
    };
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let parts: Vec<_> = frontier.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        for part in parts {
            let (edges, more) = part.join().unwrap();
            all.extend(edges);
            ends.extend(more);
        }
    });
    all
}

/// The first state, by depth, from which no end can be reached.
fn no_way_to(ends: &[u32], edges: &[(u32, u32)], count: usize) -> Option<usize> {
    let mut backwards: Vec<Vec<u32>> = vec![Vec::new(); count];
    for (from, to) in edges {
        backwards[*to as usize].push(*from);
    }
    let mut comes = vec![false; count];
    let mut todo = ends.to_vec();
    while let Some(state) = todo.pop() {
        if !std::mem::replace(&mut comes[state as usize], true) {
            todo.extend(&backwards[state as usize]);
        }
    }
    comes.iter().position(|comes| !comes)
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
