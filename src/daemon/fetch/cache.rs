//! Revocation lists that were fetched lately, and places that had none.
use crate::crypto::cert::Crl;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Places that are remembered.
const MAX_PLACES: usize = 64;
/// A list is fetched again after this, even if it says that it is good for longer: another may have been made out of turn, and this one comes
/// over plain `http` and nobody has looked at its signature yet, so that it may be anybody's.
const LONGEST: Duration = Duration::from_secs(600);
/// A place that had none is asked again after this.
const FAILED: Duration = Duration::from_secs(60);

/// An address, and whether it may be anywhere: what one connection may not ask tells another nothing.
pub(super) type Key = (String, bool);
/// By address.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: HashMap<Key, Known>,
}
#[derive(Debug)]
struct Known {
    crls: Vec<Arc<Crl>>,
    until: Duration,
}
impl Cache {
    /// What was found there, as long as it is good; the times are those of the wall clock.
    pub(super) fn get(&self, place: &Key, now: Duration) -> Option<Vec<Arc<Crl>>> {
        self.known.get(place).filter(|known| now < known.until).map(|known| known.crls.clone())
    }
    /// Remembers what was found, in the place of what is good for the shortest time.
    pub(super) fn put(&mut self, place: Key, crls: &[Arc<Crl>], now: Duration) {
        self.known.retain(|_, known| now < known.until);
        if self.known.len() >= MAX_PLACES
            && let Some(first) = self.known.iter().min_by_key(|(_, known)| known.until).map(|(place, _)| place.clone())
        {
            self.known.remove(&first);
        }
        let good = |crl: &Arc<Crl>| crl.next_update().unwrap_or(Duration::MAX).min(now + LONGEST);
        let until = crls.iter().map(good).min().map_or(now + FAILED, |until| until.max(now + FAILED));
        self.known.insert(place, Known { crls: crls.to_vec(), until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cert::tests::{Authority, NOW};

    #[test]
    fn lists_are_kept_while_they_are_good_and_failures_for_a_minute() {
        let (mut cache, root) = (Cache::default(), Authority::root("root"));
        let (good, old) = (Arc::new(root.crl(&[])), Arc::new(root.crl_until(&[], 2026)));
        let key = |url: &str| (url.to_owned(), false);
        cache.put(key("good"), &[good], NOW);
        cache.put(key("old"), &[old], NOW);
        cache.put(key("none"), &[], NOW);
        let found =
            |cache: &Cache, at| ["good", "old", "none"].map(|url| cache.get(&key(url), at).map(|crls| crls.len()));
        let seconds = Duration::from_secs;
        assert_eq!(found(&cache, NOW + seconds(59)), [Some(1), Some(1), Some(0)]);
        assert_eq!(found(&cache, NOW + seconds(61)), [Some(1), None, None]);
        assert_eq!(found(&cache, NOW + seconds(601)), [None, None, None]);
    }

    #[test]
    fn many_places_do_not_fill_the_memory() {
        let mut cache = Cache::default();
        for i in 0..1000u64 {
            cache.put((format!("http://{i}"), true), &[], NOW + Duration::from_millis(i));
        }
        assert_eq!(cache.known.len(), MAX_PLACES);
        assert!(cache.get(&("http://999".to_owned(), true), NOW + Duration::from_secs(2)).is_some());
    }
}
