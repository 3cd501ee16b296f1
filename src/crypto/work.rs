//! Public-key work that nobody waits for in place: it goes to threads of its own, or is run at once by a test.
use super::cert::{Fault, Verified, Verify};
use super::constant_time_eq;
use super::ke::{BadPublic, Group, Method};
use super::prf::Prf;
use super::secret::Secret;
use super::sign::{Scheme, SigningKey};
use std::sync::Arc;

/// What is to be computed.
#[derive(Clone, Debug)]
pub enum Work {
    /// g^ir.
    Agree {
        /// Group.
        group: Group,
        /// Our private value.
        private: Secret,
        /// The peer's public value, whose length and range were checked.
        public: Vec<u8>,
    },
    /// The responder's half of an additional key exchange.
    Answer {
        /// Method.
        method: Method,
        /// Our private value.
        private: Secret,
        /// The initiator's public value, whose length and range were checked.
        public: Vec<u8>,
    },
    /// The end of an additional key exchange that we began.
    Conclude {
        /// Method.
        method: Method,
        /// Our private value.
        private: Secret,
        /// The responder's public value, whose length and range were checked.
        public: Vec<u8>,
    },
    /// A signature of ours.
    Sign {
        /// Our key.
        key: Arc<SigningKey>,
        /// How.
        scheme: Scheme,
        /// What is to be signed.
        message: Vec<u8>,
    },
    /// A peer's certificates and its signature.
    Verify(Box<Verify>),
    /// Which of these pre-shared keys has made an AUTH payload. All of them are tried, whichever it is.
    Which {
        /// The negotiated PRF.
        prf: Prf,
        /// The keys.
        keys: Vec<Secret>,
        /// What was signed.
        message: Vec<u8>,
        /// AUTH.
        auth: Vec<u8>,
    },
}
/// What was computed.
#[derive(Debug)]
pub enum Done {
    /// The shared secret, or why there is none with this public value.
    Agreed(Result<Secret, BadPublic>),
    /// Our public value and the shared secret, or why there are none.
    Answered(Result<(Vec<u8>, Secret), BadPublic>),
    /// The signature; `None` if the key cannot sign that way.
    Signed(Option<Vec<u8>>),
    /// The proof, or the reason.
    Verified(Box<Result<Verified, Fault>>),
    /// The place of the first of the keys that has made it.
    Which(Option<usize>),
    /// Nothing: too much is being computed already.
    Refused,
}
impl Work {
    /// Does it, here and now.
    pub fn run(self) -> Done {
        match self {
            Self::Agree { group, private, public } => Done::Agreed(group.agree(&private, &public)),
            Self::Answer { method, private, public } => Done::Answered(method.answer(&private, &public)),
            Self::Conclude { method, private, public } => Done::Agreed(method.agree(&private, &public)),
            Self::Sign { key, scheme, message } => Done::Signed(key.sign(scheme, &message)),
            Self::Verify(verify) => Done::Verified(Box::new(verify.run())),
            Self::Which { prf, keys, message, auth } => {
                let made = |key: &Secret| constant_time_eq(prf.by_shared_key(key, &message).expose(), &auth);
                let which: Vec<bool> = keys.iter().map(made).collect();
                Done::Which(which.iter().position(|made| *made))
            }
        }
    }
}
impl Done {
    /// The shared secret, if it is one.
    pub fn agreed(self) -> Option<Secret> {
        match self {
            Self::Agreed(result) => result.ok(),
            Self::Answered(_) | Self::Signed(_) | Self::Verified(_) | Self::Which(_) | Self::Refused => None,
        }
    }
    /// Our public value and the shared secret.
    pub fn answered(self) -> Option<(Vec<u8>, Secret)> {
        match self {
            Self::Answered(result) => result.ok(),
            Self::Agreed(_) | Self::Signed(_) | Self::Verified(_) | Self::Which(_) | Self::Refused => None,
        }
    }
}
