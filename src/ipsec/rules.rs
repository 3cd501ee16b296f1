//! The policies of one device and address family as rules, one for each pair of a remote and a local prefix, sorted so that the one that a
//! packet wants is the last one before its addresses.
//!
//! Prefixes never overlap in part. So what sorts last among all that begin at or before an address is the longest prefix around it, or
//! lies in the gap of a shorter one; which of the shorter ones there can be, the bits tell that both have in common. That goes for the
//! remote prefixes, and among the rules of one remote prefix for the local ones.
//!
//! The rules stand in pages that clones share: a change copies one page, and the list of pages. Those who read a clone never notice.
use super::admit::matches_without_ports;
use super::prefix::{Address, Prefix};
use super::spd::{Action, PolicyEntry};
use crate::esp::line::CACHE_LINE;
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use std::cmp::Ordering;
use std::hint::select_unpredictable;
use std::sync::Arc;

/// One pair of prefixes of one policy.
#[derive(Clone, Debug)]
pub(super) struct Rule<A: Address> {
    /// Where the remote and the local prefix begin, and their lengths, which would take as much room as addresses if they stood beside them.
    begins: (A, A),
    lengths: (u8, u8),
    /// Neither protocol nor ports: the addresses decide.
    plain: bool,
    /// Places of the selectors that the prefixes are of, local and remote.
    selectors: (u16, u16),
    /// That of the policy, so that the policy itself need not be looked at.
    pub(super) action: Action,
    /// Among equals the lowest wins.
    order: u64,
    pub(super) policy: Arc<PolicyEntry>,
    _aligned: [A::Aligned; 0],
}

// A lookup among many rules waits for the memory of the one that it finds.
const _: () = assert!(size_of::<Rule<u128>>() == CACHE_LINE && align_of::<Rule<u128>>() == CACHE_LINE);

impl<A: Address> Rule<A> {
    /// The rules of a policy in this address family.
    pub(super) fn of(policy: &Arc<PolicyEntry>, order: u64) -> Vec<Self> {
        let locals = prefixes(&policy.local);
        let mut rules = Vec::new();
        for (remote_ts, remote) in prefixes(&policy.remote) {
            for &(local_ts, local) in &locals {
                let any = |s: &Selector| s.proto == 0 && s.ports == (0, u16::MAX);
                let plain = any(&policy.local[usize::from(local_ts)]) && any(&policy.remote[usize::from(remote_ts)]);
                let (selectors, action, policy) = ((local_ts, remote_ts), policy.action, policy.clone());
                let (begins, lengths) = ((remote.first, local.first), (remote.len, local.len));
                rules.push(Self { begins, lengths, plain, selectors, action, order, policy, _aligned: [] });
            }
        }
        rules
    }

    fn remote(&self) -> Prefix<A> {
        Prefix { first: self.begins.0, len: self.lengths.0 }
    }

    fn local(&self) -> Prefix<A> {
        Prefix { first: self.begins.1, len: self.lengths.1 }
    }

    fn admits(&self, flow: &Flow) -> bool {
        if self.plain {
            return true;
        }
        let local = &self.policy.local[usize::from(self.selectors.0)];
        let remote = &self.policy.remote[usize::from(self.selectors.1)];
        if flow.later_fragment {
            matches_without_ports(local, flow.src, flow) && matches_without_ports(remote, flow.dst, flow)
        } else {
            local.matches(flow.src, flow, flow.sport) && remote.matches(flow.dst, flow, flow.dport)
        }
    }

    /// Of two with the same prefixes, the one that is to be taken comes later.
    fn compare(&self, other: &Self) -> Ordering {
        let prefixes = (self.remote(), self.local()).cmp(&(other.remote(), other.local()));
        prefixes.then_with(|| {
            let priority = self.policy.priority.cmp(&other.policy.priority);
            priority.then(other.order.cmp(&self.order)).then(self.selectors.cmp(&other.selectors))
        })
    }
}

/// The prefixes of selectors of this address family, each with the place of its selector.
fn prefixes<A: Address>(selectors: &[Selector]) -> Vec<(u16, Prefix<A>)> {
    let prefixes = |(place, selector): (u16, &Selector)| {
        let prefixes = selector.prefixes().into_iter().filter_map(|(addr, len)| Prefix::of(addr, len));
        prefixes.map(|prefix| (place, prefix)).collect::<Vec<_>>()
    };
    (0..=u16::MAX).zip(selectors).flat_map(prefixes).collect()
}

/// Rules in a page at most.
const PAGE: usize = 128;
/// A full page gets room for so many more: if for one, what it had before would lie about in the heap as holes of as many sizes.
const GROWTH: usize = 16;
/// So many octets of sorted numbers are all compared: that has no branches, and what is not in the cache comes at once.
const FEW: usize = 256;

/// All rules, sorted.
#[derive(Clone, Debug)]
pub(super) struct Rules<A: Address> {
    /// Where the first remote prefix of each page begins.
    begins: Vec<A>,
    pages: Vec<Arc<Page<A>>>,
    remote_lengths: Lengths,
    local_lengths: Lengths,
}

impl<A: Address> Default for Rules<A> {
    fn default() -> Self {
        let lengths = || Lengths([0; 129]);
        Self { begins: Vec::new(), pages: Vec::new(), remote_lengths: lengths(), local_lengths: lengths() }
    }
}

impl<A: Address> Rules<A> {
    /// The rule for a packet: of those that admit it the one with the longest remote prefix, then the longest local one, then priority,
    /// then order.
    pub(super) fn lookup(&self, src: A, dst: A, flow: &Flow) -> Option<&Rule<A>> {
        let mut sought = Prefix { first: dst, len: A::BITS };
        loop {
            let place = self.last(sought, Prefix::LAST)?;
            let remote = self.at(place).remote();
            let longest = if remote.contains(dst) {
                if let Some(rule) = self.lookup_local(place, src, flow) {
                    return Some(rule);
                }
                remote.len.checked_sub(1)?
            } else {
                // What holds `dst` and sorts before `remote` holds that, too.
                remote.first.common(dst)
            };
            sought = Prefix::around(dst, self.remote_lengths.up_to(longest)?);
        }
    }

    /// The same among the rules with the remote prefix of the one in this place, which is the last of them.
    fn lookup_local(&self, mut place: Place, src: A, flow: &Flow) -> Option<&Rule<A>> {
        let remote = self.at(place).remote();
        loop {
            let rule = self.at(place);
            if rule.remote() != remote {
                return None;
            }
            let local = rule.local();
            let longest = if local.contains(src) {
                let equals = self.backwards(place).take_while(|rule| (rule.remote(), rule.local()) == (remote, local));
                let mut admitting = equals.filter(|rule| rule.admits(flow));
                if let Some(rule) = admitting.next() {
                    return Some(rule);
                }
                local.len.checked_sub(1)?
            } else if local.first > src {
                A::BITS
            } else {
                local.first.common(src)
            };
            place = self.last(remote, Prefix::around(src, self.local_lengths.up_to(longest)?))?;
        }
    }

    /// The last rule that is not behind these prefixes.
    fn last(&self, remote: Prefix<A>, local: Prefix<A>) -> Option<Place> {
        let not_behind = |rule: &Rule<A>| (rule.remote(), rule.local()) <= (remote, local);
        let pages = end(&self.begins, remote.first, |page| not_behind(&self.pages[page].rules[0]));
        let page = pages.checked_sub(1)?;
        let Page { steps, shift, rules } = &*self.pages[page];
        let step = remote.first.steps(self.begins[page], *shift);
        let rules = end(steps, step, |rule| rules.get(rule).is_some_and(not_behind));
        Some(Place { page, rule: rules.checked_sub(1)? })
    }

    fn at(&self, place: Place) -> &Rule<A> {
        &self.pages[place.page].rules[place.rule]
    }

    /// The rule in this place, and those before it.
    fn backwards(&self, place: Place) -> impl Iterator<Item = &Rule<A>> {
        let here = self.pages[place.page].rules[..=place.rule].iter();
        let before = self.pages[..place.page].iter().flat_map(|page| &page.rules);
        before.chain(here).rev()
    }

    /// Adds one, in the place of one that is equal as `remove` means it: there are never two, so that one `remove` is always enough.
    pub(super) fn insert(&mut self, rule: Rule<A>) {
        self.remove(&rule);
        self.remote_lengths.0[usize::from(rule.remote().len)] += 1;
        self.local_lengths.0[usize::from(rule.local().len)] += 1;
        let at = self.pages.partition_point(|page| page.rules[0].compare(&rule).is_lt()).saturating_sub(1);
        let Some(page) = self.pages.get_mut(at) else {
            self.begins.push(rule.begins.0);
            return self.pages.push(Arc::new(Page::new(vec![rule])));
        };
        let page = Arc::make_mut(page);
        let place = page.rules.partition_point(|other| other.compare(&rule).is_lt());
        if page.rules.len() == page.rules.capacity() {
            page.rules.reserve_exact(GROWTH);
        }
        page.rules.insert(place, rule);
        let behind = (page.rules.len() > PAGE).then(|| Page::new(page.rules.split_off(PAGE / 2)));
        page.index();
        self.begins[at] = page.rules[0].begins.0;
        if let Some(behind) = behind {
            self.begins.insert(at + 1, behind.rules[0].begins.0);
            self.pages.insert(at + 1, Arc::new(behind));
        }
    }

    /// Takes away the one that is equal in prefixes, priority, order and selectors, if there is one.
    pub(super) fn remove(&mut self, rule: &Rule<A>) {
        let pages = self.pages.partition_point(|page| page.rules[0].compare(rule).is_le());
        let Some(at) = pages.checked_sub(1) else { return };
        let Ok(place) = self.pages[at].rules.binary_search_by(|other| other.compare(rule)) else { return };
        self.remote_lengths.0[usize::from(rule.remote().len)] -= 1;
        self.local_lengths.0[usize::from(rule.local().len)] -= 1;
        let page = Arc::make_mut(&mut self.pages[at]);
        page.rules.remove(place);
        if page.rules.is_empty() {
            self.begins.remove(at);
            self.pages.remove(at);
        } else {
            page.index();
            self.begins[at] = page.rules[0].begins.0;
        }
    }
}

/// Neighbours.
#[derive(Clone, Debug)]
struct Page<A: Address> {
    /// Where the remote prefix of each rule begins, in steps from the first one's; what is left is as high as can be.
    steps: [u32; PAGE],
    /// Binary logarithm of a step.
    shift: u8,
    /// At least one.
    rules: Vec<Rule<A>>,
}

impl<A: Address> Page<A> {
    fn new(rules: Vec<Rule<A>>) -> Self {
        let mut page = Self { steps: [u32::MAX; PAGE], shift: 0, rules };
        page.index();
        page
    }

    /// The rules have changed.
    fn index(&mut self) {
        let begin = |rule: &Rule<A>| rule.begins.0;
        let (first, last) = (begin(&self.rules[0]), begin(&self.rules[self.rules.len() - 1]));
        self.shift = (0..A::BITS).find(|shift| last.steps(first, *shift) < u32::MAX).unwrap_or(0);
        let steps = self.rules.iter().map(|rule| begin(rule).steps(first, self.shift));
        let steps = steps.chain(std::iter::repeat(u32::MAX));
        self.steps.iter_mut().zip(steps).for_each(|(place, step)| *place = step);
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    page: usize,
    rule: usize,
}

/// How many rules have a prefix of each length.
#[derive(Clone, Debug)]
struct Lengths([u32; 129]);

impl Lengths {
    /// The longest that there is, up to this one.
    fn up_to(&self, longest: u8) -> Option<u8> {
        (0..=longest).rev().find(|len| self.0[usize::from(*len)] > 0)
    }
}

/// How many come before the first that begins behind `addr`, or begins there and is behind what is sought.
fn end<A: Copy + Ord>(begins: &[A], addr: A, not_behind: impl Fn(usize) -> bool) -> usize {
    let end = begin_up_to(begins, addr);
    if end == 0 || begins[end - 1] < addr {
        return end;
    }
    // Mostly that is one, and to see so is quicker than to search.
    let several = end > 1 && begins[end - 2] == addr;
    let mut doubtful = if several { begins[..end].partition_point(|begin| *begin < addr) } else { end - 1 }..end;
    while !doubtful.is_empty() {
        let middle = doubtful.start + doubtful.len() / 2;
        if not_behind(middle) {
            doubtful.start = middle + 1;
        } else {
            doubtful.end = middle;
        }
    }
    doubtful.start
}

/// How many begin at `addr` or before.
fn begin_up_to<A: Copy + Ord>(begins: &[A], addr: A) -> usize {
    let (mut from, mut len) = (0, begins.len());
    while len > FEW / size_of::<A>() {
        let half = len / 2;
        from = select_unpredictable(begins[from + half] <= addr, from + half, from);
        len -= half;
    }
    // Summed up in as many bits as the compared ones have, mostly.
    from + begins[from..from + len].iter().map(|begin| u32::from(*begin <= addr)).sum::<u32>() as usize
}
