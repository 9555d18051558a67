//! Groups take turns, pass over who is not ready, and end with their last member.

use routing::{Chosen, Interest, SharedIndex, Subscriber};

const READY: Interest = Interest {
    live: true,
    durable: true,
};
const AWAY: Interest = Interest {
    live: false,
    durable: true,
};

fn member(session: u32) -> Subscriber {
    Subscriber {
        session,
        identifier: 0,
        options: 1,
        durable: false,
    }
}

fn index(sessions: &[u32]) -> SharedIndex {
    let mut index = SharedIndex::new([1, 2, 3, 4]);
    for session in sessions {
        assert_eq!(index.subscribe("g", "t/#", member(*session)), None);
    }
    index
}

fn chosen(index: &SharedIndex, ready: impl Fn(u32) -> bool) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    index.choose("t/1", ready, |_, name, one| {
        assert!(name == "g" || name == "h");
        chosen.push(one);
    });
    chosen
}

#[test]
fn members_take_turns() {
    let index = index(&[5, 6, 7]);
    let turns: Vec<Chosen> = (0..6).flat_map(|_| chosen(&index, |_| true)).collect();
    let expected = [5, 6, 7, 5, 6, 7].map(|session| Chosen::Here(member(session)));
    assert_eq!(turns, expected);
}

#[test]
fn who_is_not_ready_is_passed_over_unless_nobody_is() {
    let index = index(&[5, 6]);
    for _ in 0..3 {
        assert_eq!(
            chosen(&index, |session| session == 6),
            [Chosen::Here(member(6))]
        );
    }
    assert_eq!(chosen(&index, |_| false).len(), 1);
}

#[test]
fn each_group_chooses_for_itself() {
    let mut index = index(&[5]);
    index.subscribe("h", "t/+", member(5));
    index.subscribe("h", "u", member(6));
    assert_eq!(chosen(&index, |_| true).len(), 2);
}

#[test]
fn other_shards_take_their_turn() {
    let mut index = index(&[5]);
    index.announce("g", "t/#", 3, READY);
    index.announce("g", "t/#", 9, AWAY);
    let turns: Vec<Chosen> = (0..4).flat_map(|_| chosen(&index, |_| true)).collect();
    let here = Chosen::Here(member(5));
    assert_eq!(turns, [here, Chosen::Shard(3), here, Chosen::Shard(3)]);
    index.announce("g", "t/#", 3, Interest::default());
    assert_eq!(chosen(&index, |_| true), [here]);
    // Nobody is ready: those who are away wait for it.
    index.unsubscribe("g", "t/#", 5);
    assert_eq!(chosen(&index, |_| true), [Chosen::Shard(9)]);
    index.announce("g", "t/#", 9, Interest::default());
    assert!(index.is_empty());
}

#[test]
fn a_member_counts_once_and_a_group_ends_with_its_last() {
    let mut index = index(&[5, 6]);
    assert_eq!(index.subscribe("g", "t/#", member(5)), Some(member(5)));
    assert_eq!(index.len(), 2);
    assert!(index.holds("g", "t/#", 5) && !index.holds("h", "t/#", 5));
    assert_eq!(index.interest("g", "t/#", |session| session == 6), READY);
    assert_eq!(index.interest("g", "t/#", |_| false), AWAY);
    assert_eq!(index.unsubscribe("g", "t/#", 5), Some(member(5)));
    assert_eq!(index.unsubscribe("g", "t/#", 5), None);
    assert_eq!(index.choose_here("g", "t/#", |_| true), Some(member(6)));
    index.unsubscribe("g", "t/#", 6);
    assert!(index.is_empty());
    assert_eq!(index.interest("g", "t/#", |_| true), Interest::default());
}
