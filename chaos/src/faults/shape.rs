//! The shapes of partitions: which links are cut, as a pure function.
//!
//! # Adding the next shape
//!
//! Add a variant to [`Shape`], say in `blocks` which directed links it cuts,
//! in `hurt` whose replicas count as taken away, and in `check` when it makes
//! no sense. Then give it a name in [`FaultKind`](super::FaultKind). Injection,
//! lease, proof and revert are the same for all shapes.

use super::Scene;
use crate::quorum::{minority, replica_azs};
use crate::runtime::Link;
use gameday_record::{Node, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// How nodes are cut off from each other. The sides are what the selectors of
/// a step resolved to: one of most shapes, several of a split. Where it says
/// "everybody else", a second side takes their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The side and everybody else, both ways.
    Isolate,
    /// What the side sends to everybody else.
    Deaf,
    /// What everybody else sends to the side.
    Mute,
    /// Each side and the other sides, both ways; who is on no side reaches all.
    Split,
    /// Everybody else falls into two halves, by AZ, that only the side reaches both of.
    Bridge,
    /// The sides are single nodes, in the order of a ring; each reaches a
    /// majority of them, its nearest neighbours, and no two the same.
    Ring,
    /// The side and the instruments of these AZs, or of all if none is named, both ways. Nodes
    /// reach each other.
    Clients(BTreeSet<String>),
}

/// The links of a partition, by what is expected of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// Cut.
    pub(super) cut: Vec<Link>,
    /// Not cut, from or to a node on a side.
    pub(super) open: Vec<Link>,
}

/// Where each unit stands; who is on no side is not in it.
type Places<'a> = BTreeMap<&'a str, usize>;

/// The links that a shape is about: between nodes, and between nodes and instruments.
pub(super) fn links(
    shape: &Shape,
    sides: &[Vec<String>],
    topology: &Topology,
    instruments: &[Node],
) -> Links {
    let places = places(shape, sides, topology, instruments);
    let touched: BTreeSet<&str> = sides.iter().flatten().map(String::as_str).collect();
    let nodes = topology.nodes.iter().map(|n| (n, true));
    let units: Vec<_> = nodes
        .chain(instruments.iter().map(|i| (i, false)))
        .collect();
    let mut out = Links::default();
    for (from, from_node) in &units {
        for (to, to_node) in &units {
            if from.name == to.name || !(*from_node || *to_node) {
                continue;
            }
            let place = |unit: &Node| places.get(unit.name.as_str()).copied();
            let on_a_side = |unit: &Node| touched.contains(unit.name.as_str());
            let link = Link {
                from: from.name.clone(),
                to: to.name.clone(),
            };
            if blocks(shape, sides.len(), place(from), place(to)) {
                out.cut.push(link);
            } else if on_a_side(from) || on_a_side(to) {
                out.open.push(link);
            }
        }
    }
    out
}

/// Those of them that there are where it is done.
pub(super) fn links_in(shape: &Shape, sides: &[Vec<String>], scene: &Scene) -> Links {
    let mut links = links(shape, sides, &scene.topology, &scene.instruments);
    for some in [&mut links.cut, &mut links.open] {
        some.retain(|link| scene.runtime.linked(&link.from, &link.to));
    }
    links
}

/// An instrument stands with the nodes of its AZ if all of them are on one
/// side, else on none; where it is about instruments, they are the other side.
fn places<'a>(
    shape: &Shape,
    sides: &'a [Vec<String>],
    topology: &'a Topology,
    instruments: &'a [Node],
) -> Places<'a> {
    let mut places: Places<'a> = match shape {
        Shape::Bridge => halves(&sides[0], topology),
        _ => {
            let of_side = |(i, side): (usize, &'a Vec<String>)| {
                side.iter().map(move |name| (name.as_str(), i))
            };
            sides.iter().enumerate().flat_map(of_side).collect()
        }
    };
    if let Shape::Clients(azs) = shape {
        let meant = |i: &&Node| azs.is_empty() || azs.contains(&i.az);
        let meant = instruments.iter().filter(meant);
        places.extend(meant.map(|i| (i.name.as_str(), sides.len())));
        return places;
    }
    for instrument in instruments {
        let of_az: BTreeSet<Option<usize>> = topology
            .in_az(&instrument.az)
            .map(|n| places.get(n.name.as_str()).copied())
            .collect();
        if let [Some(place)] = of_az.into_iter().collect::<Vec<_>>()[..]
            && *shape != Shape::Ring
        {
            places.insert(&instrument.name, place);
        }
    }
    places
}

/// Who is not on the bridge, in two halves of whole AZs, in the order of the AZs.
fn halves<'a>(bridge: &[String], topology: &'a Topology) -> Places<'a> {
    let rest = |az: &'a str| topology.in_az(az).filter(|n| !bridge.contains(&n.name));
    let azs: Vec<&str> = topology
        .azs
        .iter()
        .map(String::as_str)
        .filter(|az| rest(az).next().is_some())
        .collect();
    let first = azs.len().div_ceil(2);
    let of_az = |(i, az): (usize, &&'a str)| {
        rest(az).map(move |n| (n.name.as_str(), usize::from(i >= first)))
    };
    azs.iter().enumerate().flat_map(of_az).collect()
}

/// Who is not on the bridge.
pub(super) fn beside(bridge: &[String], topology: &Topology) -> Vec<String> {
    let names = topology.nodes.iter().map(|n| n.name.clone());
    names.filter(|n| !bridge.contains(n)).collect()
}

/// Those of these nodes that clients call.
pub(super) fn called(nodes: &[String], topology: &Topology) -> Vec<String> {
    let called: BTreeSet<&str> = topology.endpoints().map(|n| n.name.as_str()).collect();
    let is = |name: &&String| called.contains(name.as_str());
    nodes.iter().filter(is).cloned().collect()
}

/// Whether nothing passes from one place to another, of `count` sides.
fn blocks(shape: &Shape, count: usize, from: Option<usize>, to: Option<usize>) -> bool {
    match shape {
        Shape::Isolate => {
            blocks(&Shape::Mute, count, from, to) || blocks(&Shape::Deaf, count, from, to)
        }
        Shape::Deaf => blocks(&Shape::Mute, count, to, from),
        Shape::Mute if count > 1 => from == Some(0) && to == Some(1),
        Shape::Mute => from.is_some() && to.is_none(),
        Shape::Split | Shape::Bridge | Shape::Clients(_) => {
            from.zip(to).is_some_and(|(f, t)| f != t)
        }
        Shape::Ring => from.zip(to).is_some_and(|(f, t)| !near(f, t, count)),
    }
}

/// Whether two of a ring of `n` reach each other: the nearest on either hand,
/// so many that each reaches just a majority, itself included. If that leaves
/// one over, it is the node opposite, or, where there is none, one more on
/// either hand.
fn near(a: usize, b: usize, n: usize) -> bool {
    let others = n / 2;
    let apart = a.abs_diff(b);
    let apart = apart.min(n - apart);
    match (others % 2, n % 2) {
        (0, _) => apart <= others / 2,
        (_, 0) => apart <= others / 2 || apart == n / 2,
        _ => apart <= others / 2 + 1,
    }
}

/// Which links these are, for people: `between b1 and everybody else`.
pub(super) fn describe(shape: &Shape, sides: &[Vec<String>]) -> String {
    let sides: Vec<String> = sides.iter().map(|s| s.join(", ")).collect();
    let others = match &sides[..] {
        [_, others, ..] => others.as_str(),
        _ => "everybody else",
    };
    match shape {
        Shape::Isolate => format!("between {} and {others}", sides[0]),
        Shape::Deaf => format!("from {others} to {}", sides[0]),
        Shape::Mute => format!("from {} to {others}", sides[0]),
        Shape::Split => format!("between {}", sides.join(" and ")),
        Shape::Bridge => format!("between nodes other than {}", sides[0]),
        Shape::Ring => format!("among {}", sides.join(", ")),
        Shape::Clients(azs) if azs.is_empty() => format!("between {} and clients", sides[0]),
        Shape::Clients(azs) => {
            let azs: Vec<&str> = azs.iter().map(String::as_str).collect();
            format!("between {} and clients in AZ {}", sides[0], azs.join(", "))
        }
    }
}

/// Why this shape makes no sense with these sides.
pub(super) fn check(
    shape: &Shape,
    sides: &[Vec<String>],
    topology: &Topology,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = sides.iter().flatten().find(|n| !seen.insert(n.as_str())) {
        return Err(format!("{twice} would be on two sides at once"));
    }
    if let Shape::Clients(azs) = shape {
        if let Some(az) = azs.iter().find(|az| !topology.azs.contains(*az)) {
            return Err(format!(
                "there is no AZ '{az}' to cut clients of off; there are {}",
                topology.azs.join(", ")
            ));
        }
        // Whom clients never call they do not miss.
        return match called(&sides.concat(), topology).is_empty() {
            true => Err(format!(
                "no client calls any of these nodes, so it would change nothing for clients: they \
                 call the {} of an AZ",
                topology.endpoint_roles().join(" or ")
            )),
            false => Ok(()),
        };
    }
    if *shape == Shape::Ring && sides.len() < 4 {
        return Err(format!(
            "a ring of majorities needs at least 4 nodes; here are {}",
            sides.len()
        ));
    }
    if links(shape, sides, topology, &[]).cut.is_empty() {
        let why = match shape {
            Shape::Bridge => "the nodes beside the bridge stand in one AZ: it would cut nothing",
            _ => "it would do nothing: there is nobody on the other side",
        };
        return Err(why.into());
    }
    Ok(())
}

/// Whose replicas count as taken away: the smaller side. Of a ring that is
/// everybody, since each loses somebody; of clients nobody, since nodes reach each other.
pub(super) fn hurt(shape: &Shape, sides: &[Vec<String>], topology: &Topology) -> Vec<String> {
    let sides: Vec<Vec<String>> = match shape {
        Shape::Ring => return sides.concat(),
        Shape::Clients(_) => return Vec::new(),
        Shape::Isolate | Shape::Deaf | Shape::Mute if sides.len() == 1 => return sides.concat(),
        Shape::Isolate | Shape::Deaf | Shape::Mute | Shape::Split => sides.to_vec(),
        Shape::Bridge => {
            let mut halves_of = vec![Vec::new(), Vec::new()];
            for (node, half) in halves(&sides[0], topology) {
                halves_of[half].push(node.to_string());
            }
            halves_of
        }
    };
    let weight = |side: &Vec<String>| {
        (
            replica_azs(topology, |n| side.iter().any(|s| s == n)).len(),
            side.len(),
        )
    };
    let largest = (0..sides.len()).rev().max_by_key(|i| weight(&sides[*i]));
    let rest = sides
        .iter()
        .enumerate()
        .filter(|(i, _)| Some(*i) != largest);
    rest.flat_map(|(_, side)| side.clone()).collect()
}

/// In how many AZs a shape hurts replicas at most, of `all`, if its sides have
/// replicas in at most so many AZs each.
pub(super) fn most_azs(shape: &Shape, sides: &[usize], all: usize) -> usize {
    let total: usize = sides.iter().sum();
    let most = match shape {
        Shape::Isolate | Shape::Deaf | Shape::Mute => total,
        Shape::Split => total - sides.iter().max().copied().unwrap_or(0),
        Shape::Bridge => minority(all).max(all / 2),
        Shape::Ring => all,
        Shape::Clients(_) => 0,
    };
    most.min(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Role;
    use proptest::prelude::*;

    fn unit(name: String, az: &str, role: &str) -> Node {
        Node {
            name,
            az: az.into(),
            role: role.into(),
        }
    }

    /// So many storage nodes and a router in each of the AZs a, b, c, and a canary.
    fn cluster(storage: usize) -> (Topology, Vec<Node>) {
        let azs = ["a", "b", "c"];
        let topology = Topology {
            azs: azs.map(String::from).to_vec(),
            nodes: azs
                .iter()
                .flat_map(|az| {
                    let storage =
                        (1..=storage).map(move |i| unit(format!("s-{az}{i}"), az, "storage"));
                    storage.chain([unit(format!("r-{az}"), az, "router")])
                })
                .collect(),
            roles: [("storage", true), ("router", false)]
                .map(|(name, replicas)| {
                    let endpoint = !replicas;
                    (name.to_string(), Role { replicas, endpoint })
                })
                .into(),
            ..Topology::default()
        };
        let canaries = azs.map(|az| unit(format!("canary-{az}"), az, "canary"));
        (topology, canaries.to_vec())
    }

    fn sides(of: &[&str]) -> Vec<Vec<String>> {
        of.iter()
            .map(|side| side.split(' ').map(String::from).collect())
            .collect()
    }

    fn has(links: &[Link], from: &str, to: &str) -> bool {
        links.iter().any(|l| l.from == from && l.to == to)
    }

    #[test]
    fn an_az_is_cut_off_with_its_canary() {
        let (topology, canaries) = cluster(1);
        let l = links(&Shape::Isolate, &sides(&["s-b1 r-b"]), &topology, &canaries);
        // Both ways: 2 inside × 4 outside, 2 nodes × 2 foreign canaries, 1 canary × 4 foreign nodes.
        assert_eq!(l.cut.len(), 32);
        assert!(has(&l.cut, "s-b1", "r-a") && has(&l.cut, "r-a", "s-b1"));
        assert!(has(&l.cut, "canary-a", "r-b") && has(&l.cut, "canary-b", "r-a"));
        // Both ways: the two nodes, and the canary and each of them.
        assert_eq!(l.open.len(), 6);
        assert!(has(&l.open, "canary-b", "r-b") && has(&l.open, "s-b1", "canary-b"));
    }

    #[test]
    fn a_single_node_is_cut_off_from_its_own_az_too() {
        let (topology, canaries) = cluster(1);
        let l = links(&Shape::Isolate, &sides(&["s-b1"]), &topology, &canaries);
        // Both ways: 5 nodes and 3 canaries.
        assert_eq!((l.cut.len(), l.open.len()), (16, 0));
        assert!(has(&l.cut, "s-b1", "r-b") && has(&l.cut, "canary-b", "s-b1"));
    }

    #[test]
    fn one_way_cuts_one_direction_and_keeps_the_other() {
        let (topology, canaries) = cluster(1);
        let side = sides(&["s-b1 r-b"]);
        let deaf = links(&Shape::Deaf, &side, &topology, &canaries);
        let mute = links(&Shape::Mute, &side, &topology, &canaries);
        assert!(has(&deaf.cut, "s-a1", "s-b1") && has(&deaf.open, "s-b1", "s-a1"));
        assert!(has(&mute.cut, "s-b1", "s-a1") && has(&mute.open, "s-a1", "s-b1"));
        assert!(has(&deaf.cut, "canary-a", "r-b") && has(&mute.cut, "r-b", "canary-a"));
        assert!(has(&deaf.open, "r-b", "canary-a") && has(&mute.open, "canary-a", "r-b"));
        assert_eq!((deaf.cut.len(), mute.cut.len()), (16, 16));
        // The other way 8 of nodes and 4 of foreign canaries, 6 within: what canary-b and other
        // nodes send each other is from and to no node on the side.
        assert_eq!((deaf.open.len(), mute.open.len()), (18, 18));
    }

    #[test]
    fn a_second_side_takes_the_place_of_everybody_else() {
        let (topology, canaries) = cluster(1);
        let both = sides(&["s-b1", "s-a1 r-a"]);
        let of = |shape| links(&shape, &both, &topology, &canaries);
        let (mute, deaf, all) = (of(Shape::Mute), of(Shape::Deaf), of(Shape::Isolate));
        // Canary a stands with its AZ, canary b with nobody.
        assert_eq!((mute.cut.len(), deaf.cut.len(), all.cut.len()), (3, 3, 6));
        assert!(has(&mute.cut, "s-b1", "r-a") && has(&mute.open, "r-a", "s-b1"));
        assert!(has(&deaf.cut, "r-a", "s-b1") && has(&deaf.open, "s-b1", "s-c1"));
        assert!(has(&all.cut, "canary-a", "s-b1") && has(&all.open, "canary-b", "s-b1"));
        assert_eq!(hurt(&Shape::Isolate, &both, &topology), ["s-b1"]);
        assert_eq!(describe(&Shape::Deaf, &both), "from s-a1, r-a to s-b1");
        let alone = sides(&["s-b1"]);
        assert_eq!(
            describe(&Shape::Mute, &alone),
            "from s-b1 to everybody else"
        );
    }

    #[test]
    fn a_split_leaves_those_on_no_side_alone() {
        let (topology, canaries) = cluster(1);
        let l = links(
            &Shape::Split,
            &sides(&["s-a1 r-a", "s-b1"]),
            &topology,
            &canaries,
        );
        assert_eq!(l.cut.len(), 6);
        assert!(has(&l.open, "s-a1", "s-c1") && has(&l.open, "s-b1", "r-b"));
        // Canary a stands with AZ a; canary b on no side, for r-b is on none.
        assert!(has(&l.cut, "canary-a", "s-b1") && has(&l.cut, "s-b1", "canary-a"));
        assert!(has(&l.open, "canary-b", "s-b1") && has(&l.open, "r-a", "canary-b"));
    }

    #[test]
    fn a_bridge_reaches_both_halves_and_they_do_not_reach_each_other() {
        let (topology, canaries) = cluster(1);
        let l = links(&Shape::Bridge, &sides(&["s-b1 r-b"]), &topology, &canaries);
        // Both ways: 2 × 2 nodes, and a canary and 2 nodes from either half.
        assert_eq!(l.cut.len(), 16);
        assert!(has(&l.cut, "s-a1", "r-c") && has(&l.cut, "r-c", "s-a1"));
        assert!(has(&l.open, "s-b1", "s-a1") && has(&l.open, "s-c1", "s-b1"));
        assert!(has(&l.cut, "canary-a", "r-c") && !has(&l.cut, "canary-b", "r-c"));
        assert!(has(&l.open, "canary-a", "r-b") && has(&l.open, "s-b1", "canary-c"));
        assert_eq!(
            hurt(&Shape::Bridge, &sides(&["s-b1 r-b"]), &topology),
            ["r-c", "s-c1"]
        );
        let whole = sides(&["s-b1 r-b s-c1 r-c"]);
        let refused = check(&Shape::Bridge, &whole, &topology);
        assert!(refused.unwrap_err().contains("one AZ"));
    }

    fn clients(azs: &[&str]) -> Shape {
        Shape::Clients(azs.iter().map(|az| az.to_string()).collect())
    }

    #[test]
    fn clients_are_cut_off_and_nodes_reach_each_other() {
        let (topology, canaries) = cluster(1);
        let side = sides(&["s-b1 r-b"]);
        let l = links(&clients(&[]), &side, &topology, &canaries);
        // Both ways, 3 clients of 2 nodes.
        assert_eq!(l.cut.len(), 12);
        assert!(has(&l.cut, "canary-b", "r-b") && has(&l.cut, "r-b", "canary-a"));
        // Both ways, among the two, and they and the other 4.
        assert_eq!(l.open.len(), 18);
        assert!(has(&l.open, "r-b", "s-a1") && has(&l.open, "s-b1", "r-b"));

        let l = links(&clients(&["a", "c"]), &side, &topology, &canaries);
        assert_eq!((l.cut.len(), l.open.len()), (8, 22));
        assert!(has(&l.open, "canary-b", "r-b") && has(&l.cut, "canary-c", "s-b1"));

        let all = |shape: &Shape| {
            let hurt = hurt(shape, &side, &topology);
            (hurt.len(), most_azs(shape, &[1], 3), describe(shape, &side))
        };
        let told = "between s-b1, r-b and clients".to_string();
        assert_eq!(all(&clients(&[])), (0, 0, told.clone()));
        assert_eq!(all(&clients(&["a", "c"])), (0, 0, told + " in AZ a, c"));
        assert_eq!(called(&side[0], &topology), ["r-b"]);
    }

    #[test]
    fn clients_that_would_notice_nothing_are_refused() {
        let (topology, _) = cluster(1);
        let checked = |azs: &[&str], of: &[&str]| check(&clients(azs), &sides(of), &topology);
        assert_eq!(checked(&["b"], &["r-b"]), Ok(()));
        let storage = checked(&[], &["s-a1 s-b1"]).unwrap_err();
        assert!(storage.contains("no client calls"), "{storage}");
        let nowhere = checked(&["a", "d"], &["r-b"]).unwrap_err();
        assert!(nowhere.contains("no AZ 'd'"), "{nowhere}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (topology, _) = cluster(1);
        let refused = |shape, of: &[&str]| check(&shape, &sides(of), &topology).unwrap_err();
        assert!(refused(Shape::Split, &["s-a1 r-a", "s-b1 r-a"]).contains("r-a would be on two"));
        assert!(refused(Shape::Ring, &["s-a1", "s-b1", "s-c1"]).contains("at least 4"));
        let all = "s-a1 r-a s-b1 r-b s-c1 r-c";
        for shape in [Shape::Isolate, Shape::Deaf, Shape::Mute] {
            assert!(refused(shape, &[all]).contains("do nothing"));
        }
    }

    #[test]
    fn the_smaller_sides_are_the_ones_hurt() {
        let (topology, _) = cluster(2);
        let hurt = |shape, of: &[&str]| hurt(&shape, &sides(of), &topology);
        assert_eq!(hurt(Shape::Split, &["s-a1", "s-b1 s-c1"]), ["s-a1"]);
        assert_eq!(hurt(Shape::Split, &["s-a1", "s-b1"]), ["s-b1"]);
        assert_eq!(
            hurt(Shape::Split, &["s-a1 s-a2 r-a", "s-b1 s-c1"]),
            ["s-a1", "s-a2", "r-a"]
        );
        assert_eq!(hurt(Shape::Split, &["s-a1", "s-b1", "s-c1"]).len(), 2);
        assert_eq!(most_azs(&Shape::Split, &[1, 2], 3), 1);
        assert_eq!(most_azs(&Shape::Bridge, &[1], 3), 1);
        assert_eq!(most_azs(&Shape::Isolate, &[2, 2], 3), 3);
    }

    #[test]
    fn in_a_ring_everybody_reaches_a_majority_and_no_two_the_same() {
        for n in 4..40 {
            let reached =
                |a: usize| -> BTreeSet<usize> { (0..n).filter(|b| near(a, *b, n)).collect() };
            let all: BTreeSet<_> = (0..n).map(reached).collect();
            assert_eq!(all.len(), n, "{n}: two reach the same");
            for set in &all {
                assert!(set.len() > n / 2 && set.len() < n, "{n}: {set:?}");
            }
        }
    }

    fn shape() -> impl Strategy<Value = Shape> {
        prop_oneof![
            Just(Shape::Isolate),
            Just(Shape::Deaf),
            Just(Shape::Mute),
            Just(Shape::Split),
            Just(Shape::Bridge),
            Just(Shape::Ring),
            Just(Shape::Clients(BTreeSet::new())),
            Just(Shape::Clients(["c".to_string()].into())),
        ]
    }

    proptest! {
        #[test]
        fn every_link_is_cut_or_not_and_only_one_way_shapes_are_one_way(
            shape in shape(),
            storage in 1_usize..4,
            // On which side each node is; 3 is none.
            on in prop::collection::vec(0_usize..4, 12),
        ) {
            let (topology, canaries) = cluster(storage);
            let place = |side: usize| -> Vec<String> {
                let nodes = topology.nodes.iter().zip(&on);
                nodes.filter(|(_, s)| **s == side).map(|(n, _)| n.name.clone()).collect()
            };
            let sides: Vec<Vec<String>> = match shape {
                Shape::Split => (0..3).map(place).filter(|s| !s.is_empty()).collect(),
                Shape::Ring => place(0).into_iter().map(|n| vec![n]).collect(),
                _ => vec![place(0)],
            };
            let l = links(&shape, &sides, &topology, &canaries);
            let cut: BTreeSet<&Link> = l.cut.iter().collect();
            prop_assert_eq!(cut.len(), l.cut.len());
            prop_assert!(l.open.iter().all(|link| !cut.contains(link)));
            let known = |name: &str| topology.node(name).is_some();
            prop_assert!(l.cut.iter().chain(&l.open).all(|k| known(&k.from) || known(&k.to)));
            let on_a_side = |name: &String| sides.iter().any(|side| side.contains(name));
            prop_assert!(l.open.iter().all(|k| on_a_side(&k.from) || on_a_side(&k.to)));
            for link in &cut {
                let back = Link { from: link.to.clone(), to: link.from.clone() };
                let both = cut.contains(&back);
                prop_assert_eq!(both, !matches!(shape, Shape::Deaf | Shape::Mute));
            }
            let hurt = hurt(&shape, &sides, &topology);
            prop_assert!(hurt.iter().all(|n| known(n)));
        }
    }
}
