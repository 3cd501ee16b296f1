//! The devices of one worker, and how they come and go while it runs.
//!
//! With thousands of tenants there are thousands of devices, so one is found by its number at once. The engine puts orders into a worker's
//! inbox and wakes it; the worker looks there only when it was woken.
use crate::ipsec::spd::DeviceId;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A worker's queue of each device.
#[derive(Debug)]
pub struct Devices<T> {
    /// By number, each with the order to serve it that it came with.
    queues: Vec<Option<(Generation, T)>>,
}

impl<T> Devices<T> {
    /// None yet.
    pub fn new() -> Self {
        Self { queues: Vec::new() }
    }

    /// The queue of a device.
    pub fn get_mut(&mut self, id: DeviceId) -> Option<&mut T> {
        self.queues.get_mut(usize::from(id.0))?.as_mut().map(|(_, queue)| queue)
    }

    /// Puts a queue in; the one that was there.
    pub fn insert(&mut self, id: DeviceId, generation: Generation, queue: T) -> Option<T> {
        let place = usize::from(id.0);
        if self.queues.len() <= place {
            self.queues.resize_with(place + 1, || None);
        }
        self.queues[place].replace((generation, queue)).map(|(_, queue)| queue)
    }

    /// Takes a queue out.
    pub fn remove(&mut self, id: DeviceId) -> Option<T> {
        self.queues.get_mut(usize::from(id.0))?.take().map(|(_, queue)| queue)
    }

    /// All that there are, by number.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceId, Generation, &T)> {
        // A place is a number that was put in.
        let numbered = self.queues.iter().enumerate().map(|(id, queue)| (DeviceId(id as u16), queue));
        numbered.filter_map(|(id, queue)| queue.as_ref().map(|(generation, queue)| (id, *generation, queue)))
    }

    /// The first one behind a number, or at it.
    pub fn next(&self, from: u16) -> Option<DeviceId> {
        self.iter().map(|(id, ..)| id).find(|id| id.0 >= from)
    }
}

impl<T> Default for Devices<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FromIterator<(DeviceId, T)> for Devices<T> {
    fn from_iter<I: IntoIterator<Item = (DeviceId, T)>>(queues: I) -> Self {
        let mut devices = Self::new();
        for (id, queue) in queues {
            devices.insert(id, 0, queue);
        }
        devices
    }
}

/// The how-many-th device this is that its connection has, so that news of one are not taken for those of the next: 31 bits.
pub type Generation = u32;

/// What the engine wants of one worker.
#[derive(Debug)]
pub enum Order<T> {
    /// Serve this queue from now on, instead of the one that it has of the device.
    Serve(DeviceId, Generation, T),
    /// Let go of the device.
    Leave(DeviceId),
}

/// Orders that one worker has not seen yet.
#[derive(Debug)]
pub struct Orders<T> {
    waiting: Mutex<Vec<Order<T>>>,
    /// How many there are, so that who finds none need not take the lock. The signal that follows an order makes it seen.
    count: AtomicUsize,
}

impl<T> Orders<T> {
    /// Behind those that wait. Wake the worker then.
    pub fn give(&self, order: Order<T>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(order);
        self.count.store(waiting.len(), Ordering::Relaxed);
    }

    /// All that wait, in order.
    pub fn take(&self) -> Vec<Order<T>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.count.store(0, Ordering::Relaxed);
        std::mem::take(&mut *waiting)
    }
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), count: AtomicUsize::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_number() {
        let mut devices: Devices<char> = [(DeviceId(3), 'c'), (DeviceId(1), 'a')].into_iter().collect();
        assert_eq!(devices.iter().map(|(id, _, queue)| (id.0, *queue)).collect::<Vec<_>>(), [(1, 'a'), (3, 'c')]);
        assert_eq!([0, 1, 2, 4].map(|from| devices.next(from).map(|id| id.0)), [Some(1), Some(1), Some(3), None]);
        assert_eq!(devices.insert(DeviceId(3), 7, 'd'), Some('c'));
        assert_eq!([2, 3, 999].map(|id| devices.get_mut(DeviceId(id)).copied()), [None, Some('d'), None]);
        assert_eq!([3, 3, 999].map(|id| devices.remove(DeviceId(id))), [Some('d'), None, None]);
    }

    #[test]
    fn orders_are_taken_once_and_in_order() {
        let orders = Orders::default();
        orders.give(Order::Leave(DeviceId(7)));
        orders.give(Order::Serve(DeviceId(7), 1, 'x'));
        let taken = orders.take();
        assert!(matches!(taken[..], [Order::Leave(DeviceId(7)), Order::Serve(DeviceId(7), 1, 'x')]), "{taken:?}");
        assert!(orders.take().is_empty());
    }
}
