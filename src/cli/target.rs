//! Names of what a command is about: `NAME`, `NAME#ID` for one peer of a connection that has several, `NAME/CHILD`, `NAME#ID/CHILD`.
use super::client::escape;

/// A connection, one of its peers, one of its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As the configuration calls it.
    pub connection: String,
    /// As `status` numbers them.
    pub peer: Option<u32>,
    /// As the configuration calls it.
    pub child: Option<String>,
}
impl Target {
    /// Where its orders go: `/v1/connections/NAME[/children/CHILD]/VERB?QUERY`.
    pub fn path(&self, verb: &str, timeout: u64) -> String {
        let child = self.child.as_ref().map(|child| format!("/children/{}", escape(child))).unwrap_or_default();
        let peer = self.peer.map(|peer| format!("&peer={peer}")).unwrap_or_default();
        format!("{}{child}/{verb}?timeout={timeout}{peer}", self.connection_path())
    }
    /// The resource of the connection.
    pub fn connection_path(&self) -> String {
        format!("/v1/connections/{}", escape(&self.connection))
    }
}
impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (owner, child) = match text.split_once('/') {
            Some((_, "")) => return Err("there is no name behind the slash".into()),
            Some((owner, child)) => (owner, Some(child.to_owned())),
            None => (text, None),
        };
        let (connection, peer) = match owner.split_once('#') {
            Some((connection, id)) => {
                let id =
                    id.parse().map_err(|_| format!("{id:?} is no number of a peer; `sandhog status` shows them"))?;
                (connection, Some(id))
            }
            None => (owner, None),
        };
        if connection.is_empty() {
            return Err("a connection has a name".into());
        }
        Ok(Self { connection: connection.to_owned(), peer, child })
    }
}
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.connection)?;
        self.peer.map_or(Ok(()), |peer| write!(f, "#{peer}"))?;
        self.child.as_ref().map_or(Ok(()), |child| write!(f, "/{child}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        text.parse::<Target>().unwrap().path("up", 30)
    }

    #[test]
    fn a_slash_names_a_child_and_a_hash_a_peer() {
        assert_eq!(path("a"), "/v1/connections/a/up?timeout=30");
        assert_eq!(path("a/b c"), "/v1/connections/a/children/b%20c/up?timeout=30");
        assert_eq!(path("a#7"), "/v1/connections/a/up?timeout=30&peer=7");
        assert_eq!(path("a#7/b"), "/v1/connections/a/children/b/up?timeout=30&peer=7");
        for text in ["a", "a/b", "a#7/b"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "#1", "/b", "a/", "a#", "a#x", "a#-1", "a#4294967296"] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
