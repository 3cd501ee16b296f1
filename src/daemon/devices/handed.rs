//! Devices that one daemon hands to another: they stay, with whatever the kernel knows of them and what waits in their queues.
use super::{Devices, Present, inside};
use crate::dataplane::devices::{Generation, Order};
use crate::io::tun::Queue;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// A connection, the path of its namespace, and the number of the namespace that is meant by it.
pub type Named = (Arc<str>, String, (u64, u64));

impl Devices {
    /// The queues of all devices that are there, each with its connection, and the how-many-th device of it that is.
    pub fn queues(&self) -> impl Iterator<Item = (&Arc<str>, Generation, BorrowedFd<'_>)> {
        self.by_connection.iter().flat_map(|(name, entry)| {
            let queues = entry.device.iter().flat_map(|device| device.hold.queues());
            queues.map(move |queue| (name, entry.generation, queue))
        })
    }

    /// Which namespaces the paths of processes stand for, whether or not a device is there, for who goes on with them.
    pub fn namespaces(&self) -> Vec<Named> {
        let all = self.by_connection.iter();
        all.filter_map(|(name, entry)| Some((name.clone(), entry.interface.namespace()?, entry.first?))).collect()
    }

    /// As another daemon has known them, where the paths are the same.
    pub fn remember(&mut self, namespaces: Vec<Named>) {
        for (connection, path, number) in namespaces {
            let entry = self.by_connection.get_mut(&connection);
            let same = entry.filter(|entry| entry.interface.namespace().is_some_and(|ours| ours == path));
            same.into_iter().for_each(|entry| entry.first = Some(number));
        }
    }

    /// The device of a connection is there already: another daemon has made it. Nothing is changed of it. What is not wanted here goes.
    pub fn adopt(&mut self, now: Duration, connection: &Arc<str>, queues: Vec<Queue>) {
        let as_many = queues.len() == self.inboxes.len();
        let Some(entry) = self.by_connection.get_mut(connection).filter(|_| as_many) else { return };
        let Some(hold) = queues.first().map(Queue::hold) else { return };
        let link = |name: &str| {
            let there = entry.interface.netns.as_ref().map(|_| hold.namespace()).transpose()?;
            inside(there.as_ref(), |netlink| Ok(netlink.link(name)?.index))
        };
        let found = hold.name().and_then(|name| Ok((link(&name)?, name)));
        let (link, name) = match found {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, %connection, "the device of a connection is made anew"),
        };
        entry.generation = (entry.generation + 1) & (Generation::MAX >> 1);
        entry.made_at = now;
        entry.device = Some(Present { hold, link, name });
        let (id, generation) = (entry.id, entry.generation);
        let mut queues = queues.into_iter();
        self.give(|_| queues.next().map(|queue| Order::Serve(id, generation, queue)));
    }
}
