//! Every packet that is not delivered has one of these reasons; the name is the counter, the log line and the documentation.
macro_rules! drops {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a packet was not delivered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Drop { $($(#[$doc])* $name,)* }
        impl Drop {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Drop] = &[$(Drop::$name,)*];
            /// The public name.
            pub const fn name(self) -> &'static str { match self { $(Drop::$name => $text,)* } }
        }
    };
}
drops! {
    /// Shorter than header, IV and ICV, or no multiple of the cipher's block.
    TooShort = "too_short",
    /// No SA has this SPI.
    UnknownSpi = "unknown_spi",
    /// The sequence number was received before.
    Replayed = "replayed",
    /// Left of the replay window.
    TooOld = "too_old",
    /// The ICV is wrong.
    BadIcv = "bad_icv",
    /// Padding or pad length is wrong though the ICV is right.
    BadPadding = "bad_padding",
    /// Next header is not what the mode allows.
    BadNextHeader = "bad_next_header",
    /// The inner packet is malformed.
    Malformed = "malformed",
    /// The inner packet is not within the SA's selectors (RFC 4301 section 5.2).
    SelectorMismatch = "selector_mismatch",
    /// A non-first fragment on a child with ports, or in transport mode a fragment that makes no whole packet with others (RFC 4301 sections
    /// 7.3 and 4.1).
    LaterFragment = "later_fragment",
    /// The outer header says CE, the inner one that the flow cannot bear it (RFC 6040 section 4.2).
    EcnDrop = "ecn",
    /// A dummy packet: authentic, counted, not delivered (RFC 4303 section 2.6).
    Dummy = "dummy",
    /// No policy matches.
    NoPolicy = "no_policy",
    /// The policy is `mode = "drop"`.
    PolicyDrop = "policy_drop",
    /// The policy protects, but no SA is there.
    NoSa = "no_sa",
    /// The SA's sequence numbers are used up.
    SequenceExhausted = "sequence_exhausted",
    /// Larger than the path takes.
    TooBig = "too_big",
    /// The hop limit ended.
    HopLimit = "hop_limit",
    /// A queue was full.
    QueueFull = "queue_full",
    /// The device or the socket refused it.
    Device = "device",
}
