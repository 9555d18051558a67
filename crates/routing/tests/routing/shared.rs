//! Groups take turns, pass over who is not free, and end with their last member.

use routing::{Chosen, GroupId, GroupInterest, SharedIndex, Standing, Subscriber};

fn elsewhere(connected: u32, members: u32) -> GroupInterest {
    GroupInterest {
        connected,
        members,
        durable: false,
    }
}

fn member(session: u32) -> Subscriber {
    Subscriber {
        session,
        identifier: 0,
        options: 1,
        durable: false,
    }
}

fn index(sessions: &[u32]) -> (SharedIndex, GroupId) {
    let mut index = SharedIndex::new([1, 2, 3, 4]);
    let mut group = GroupId::default();
    for session in sessions {
        let joined = index.subscribe("g", "t/#", member(*session));
        assert_eq!(joined.replaced, None);
        group = joined.id;
    }
    (index, group)
}

fn chosen(index: &SharedIndex, standing: impl Fn(u32) -> Standing) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    index.choose("t/1", standing, |group, one| {
        assert!(index.exists(group));
        chosen.push(one);
    });
    chosen
}

fn free(_: u32) -> Standing {
    Standing::Free
}

fn offline(_: u32) -> Standing {
    Standing::Offline
}

#[test]
fn members_take_turns() {
    let (index, _) = index(&[5, 6, 7]);
    let turns: Vec<Chosen> = (0..6).flat_map(|_| chosen(&index, free)).collect();
    let expected = [5, 6, 7, 5, 6, 7].map(|session| Chosen::Here(member(session)));
    assert_eq!(turns, expected);
}

#[test]
fn who_is_busy_or_offline_is_passed_over_unless_nobody_is_free() {
    let (index, _) = index(&[5, 6, 7]);
    for _ in 0..3 {
        let standing = |session| match session {
            5 => Standing::Busy,
            6 => Standing::Free,
            _ => Standing::Offline,
        };
        assert_eq!(chosen(&index, standing), [Chosen::Here(member(6))]);
        let standing = |session| match session {
            5 => Standing::Busy,
            _ => Standing::Offline,
        };
        assert_eq!(chosen(&index, standing), [Chosen::Busy(member(5))]);
    }
    assert!(matches!(chosen(&index, offline)[..], [Chosen::Offline(_)]));
}

#[test]
fn each_group_chooses_for_itself() {
    let (mut index, _) = index(&[5]);
    index.subscribe("h", "t/+", member(5));
    index.subscribe("h", "u", member(6));
    assert_eq!(chosen(&index, free).len(), 2);
}

#[test]
fn other_shards_take_as_many_turns_as_they_have_connected_members() {
    let (mut index, group) = index(&[5]);
    index.announce("g", "t/#", 3, elsewhere(2, 2));
    index.announce("g", "t/#", 9, elsewhere(0, 1));
    let turns: Vec<Chosen> = (0..4).flat_map(|_| chosen(&index, free)).collect();
    let here = Chosen::Here(member(5));
    let there = Chosen::Shard(3);
    assert_eq!(turns, [here, there, there, here]);
    assert_eq!(index.connected_elsewhere(group), Some(3));
    index.announce("g", "t/#", 3, GroupInterest::default());
    assert_eq!(index.connected_elsewhere(group), None);
    assert_eq!(chosen(&index, free), [here]);
    // Nobody is connected: those who are offline wait for it.
    index.unsubscribe(group, 5);
    assert_eq!(chosen(&index, free), [Chosen::OfflineElsewhere(9)]);
    assert_eq!(
        index.choose_of(group, free),
        Some(Chosen::OfflineElsewhere(9))
    );
    assert_eq!(index.choose_here(group, free), None);
    index.announce("g", "t/#", 9, GroupInterest::default());
    assert!(index.is_empty() && !index.exists(group));
}

#[test]
fn a_shard_with_busy_members_leaves_the_turn_to_others() {
    let (mut index, _) = index(&[5]);
    index.announce("g", "t/#", 3, elsewhere(1, 1));
    for _ in 0..3 {
        assert_eq!(chosen(&index, |_| Standing::Busy), [Chosen::Shard(3)]);
    }
}

#[test]
fn a_group_is_durable_while_a_member_of_it_is_wherever_it_is() {
    let (mut index, group) = index(&[5]);
    let durable = |index: &SharedIndex| {
        let mut found = Vec::new();
        index.durable("t/1", |group| found.push(group));
        found
    };
    assert_eq!(durable(&index), []);
    let lasting = Subscriber {
        durable: true,
        ..member(5)
    };
    index.subscribe("g", "t/#", lasting);
    assert_eq!(durable(&index), [group]);
    assert!(index.interest(group, |_| true).durable);
    index.subscribe("g", "t/#", member(5));
    assert_eq!(durable(&index), []);
    let there = GroupInterest {
        durable: true,
        ..elsewhere(0, 1)
    };
    index.announce("g", "t/#", 1, there);
    assert_eq!(durable(&index), [group]);
}

#[test]
fn a_member_counts_once_and_a_group_ends_with_its_last() {
    let (mut index, group) = index(&[5, 6]);
    let again = index.subscribe("g", "t/#", member(5));
    assert_eq!((again.id, again.replaced), (group, Some(member(5))));
    assert_eq!(index.len(), 2);
    assert_eq!(index.text(group).as_deref(), Some("$share/g/t/#"));
    assert_eq!(index.id("g", "t/#"), Some(group));
    assert_eq!(index.id("h", "t/#"), None);
    assert!(index.member(group, 5).is_some() && index.member(group, 7).is_none());
    let told = index.interest(group, |session| session == 6);
    assert_eq!(told, elsewhere(1, 2));
    assert_eq!(index.unsubscribe(group, 5), Some(member(5)));
    assert_eq!(index.unsubscribe(group, 5), None);
    assert_eq!(index.members(group), [member(6)]);
    index.unsubscribe(group, 6);
    assert!(index.is_empty());
    assert_eq!(index.text(group), None);
    assert_eq!(index.interest(group, |_| true), GroupInterest::default());
    // The name comes back as another group.
    assert_ne!(index.subscribe("g", "t/#", member(5)).id, group);
}
