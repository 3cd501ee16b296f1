//! Public-key work that nobody waits for in place: it goes to threads of its own, or is run at once by a test.
use super::ke::{BadPublic, Group};
use super::secret::Secret;

/// What is to be computed.
#[derive(Debug)]
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
}
/// What was computed.
#[derive(Debug)]
pub enum Done {
    /// g^ir, or why there is none with this public value.
    Agreed(Result<Secret, BadPublic>),
    /// Nothing: too much is being computed already.
    Refused,
}
impl Work {
    /// Does it, here and now.
    pub fn run(self) -> Done {
        match self {
            Self::Agree { group, private, public } => Done::Agreed(group.agree(&private, &public)),
        }
    }
}
impl Done {
    /// g^ir, if it is one.
    pub fn agreed(self) -> Option<Secret> {
        match self {
            Self::Agreed(result) => result.ok(),
            Self::Refused => None,
        }
    }
}
