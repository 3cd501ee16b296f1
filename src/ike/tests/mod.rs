//! Endpoints against each other and against attackers, over a simulated wire.
