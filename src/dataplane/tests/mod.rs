//! The worker as a whole, over queues in memory.
