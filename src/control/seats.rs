//! How many clients there may be at a time: in all, of one user, and some that only admins may have.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Clients at a time.
const MAX: usize = 256;
/// Of them only admins have the last ones, so that nobody locks them out.
const FOR_ADMINS: usize = 32;
/// Clients of one user who is no admin.
const PER_USER: usize = 64;
const _: () = assert!(PER_USER < MAX - FOR_ADMINS);

/// All seats.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<Mutex<Taken>>);
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<u32, usize>,
}
/// The seat of one client; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    uid: u32,
}
impl Seats {
    /// A seat for a client of this user, if there is one.
    pub fn take(&self, uid: u32, admin: bool) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_user.get(&uid).copied().unwrap_or(0);
        let free = if admin { taken.all < MAX } else { taken.all < MAX - FOR_ADMINS && own < PER_USER };
        if !free {
            return None;
        }
        taken.all += 1;
        taken.by_user.insert(uid, own + 1);
        Some(Seat { seats: self.clone(), uid })
    }
}
impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let own = taken.by_user.get(&self.uid).copied().unwrap_or(0);
        match own.checked_sub(1).filter(|left| *left > 0) {
            Some(left) => taken.by_user.insert(self.uid, left),
            None => taken.by_user.remove(&self.uid),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seats: &Seats, uid: u32, admin: bool, times: usize) -> Vec<Seat> {
        std::iter::from_fn(|| seats.take(uid, admin)).take(times).collect()
    }

    #[test]
    fn one_user_has_so_many_and_others_still_have_some() {
        let seats = Seats::default();
        let first = take(&seats, 1000, false, 1000);
        assert_eq!(first.len(), PER_USER);
        assert_eq!(take(&seats, 1001, false, 5).len(), 5);
        drop(first);
        assert!(seats.take(1000, false).is_some());
    }

    #[test]
    fn a_thousand_clients_of_others_leave_room_for_admins() {
        let seats = Seats::default();
        let others: Vec<_> = (0..1000).filter_map(|n| seats.take(1000 + n, false)).collect();
        assert_eq!(others.len(), MAX - FOR_ADMINS);
        let admins = take(&seats, 0, true, 1000);
        assert_eq!(admins.len(), FOR_ADMINS);
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let seats = Seats::default();
        drop(take(&seats, 1000, false, 3));
        let taken = seats.0.lock().unwrap();
        assert_eq!((taken.all, taken.by_user.len()), (0, 0));
    }
}
