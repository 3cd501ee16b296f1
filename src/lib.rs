//! Sandhog, a userspace IPsec gateway: IKEv2 and ESP on a TUN device.
//!
//! # A packet's path
//!
//! ```text
//!  UDP ─ io::udp ─ wire::encap ─┬─ ESP ─ ipsec::sad ─ esp::inbound ─ selectors ─ merge ─ io::tun ─ TUN      workers
//!                               └─ IKE ───────────────┐
//!  TUN ─ io::tun ─ ipsec::spd ─┬─ Protect ─ segment ─ esp::outbound ─ io::udp ─ UDP                         workers
//!                              └─ no SA: Acquire ─────┤
//!  control socket, config file ─ Command ─────────────┤
//!                                                     ▼
//!                    daemon::engine ─ ike::Endpoint ─ Output { Event | Transmit }                      engine thread
//!                            Event ─ daemon::install ─ new ipsec::tables
//! ```
//!
//! One folder is one standard, in the order in which a packet meets them. The protocol does no IO: `ike` and `esp` take bytes, time and
//! randomness and give bytes and events. `ike` never sees `esp`; they meet in `daemon::install`.
//!
//! # Who may import whom (`tidy` enforces it)
//!
//! | level | module | may import |
//! | --- | --- | --- |
//! | 7 | `cli` | `control`, `config`; `demo` also `daemon` and `io` |
//! | 6 | `daemon` | everything below |
//! | 5 | `control` | `config`, status types of `ike`, `ipsec`, `dataplane`; `io::peer`, `wire::ip` |
//! | 4 | `dataplane` | `ipsec`, `esp`, `io`, `wire` |
//! | 4 | `config` | `ike::policy` and `ike::diagnose`, `ipsec`, `crypto`, `io::plain`, `wire` |
//! | 3 | `ipsec` | `esp`, `wire` |
//! | 2 | `ike`, `esp` | `crypto`, `wire`, `frozen` (never each other) |
//! | 1.5 | `frozen` | `crypto`, `wire` |
//! | 1 | `crypto` | `wire::registry` |
//! | 0 | `io`, `wire` | nothing of ours |
//!
//! # Invariants
//!
//! 1. No (key, nonce) seals two packets: `esp::outbound` reserves numbers right before sealing and never gives one back.
//! 2. Traffic of a configured child never passes in the clear: `daemon::backstop` stands before the device and outlives the process.
//! 3. No answer of a peer is used unchecked: `ike::negotiate` compares it with what was asked, and `ike::auth` returns a proof.
//! 4. `unsafe` stands in `io` only.
//! 5. Every dropped packet is an `esp::drop::Drop`, every failed negotiation an `ike::diagnose::Failure`.
pub mod cli;
pub mod config;
pub mod control;
pub mod crypto;
pub mod daemon;
pub mod dataplane;
pub mod esp;
pub mod frozen;
pub mod ike;
pub mod io;
pub mod ipsec;
pub mod wire;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tidy;
