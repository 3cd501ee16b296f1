//! Who may ask: roles by peer credentials, and a barrier against browsers (a page must not reach the socket through a proxy or a rebound name).
use super::problem::Problem;
use crate::io::peer;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::os::fd::AsFd;

/// Its members are operators.
pub const OPERATORS: &str = "sandhog";
/// Its members observe.
pub const OBSERVERS: &str = "sandhog-observe";
/// Who the kernel cannot name in our user namespace comes as this one.
const UNMAPPED: u32 = 65_534;

/// What a client may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    None,
    /// Look at connections, SAs, events and figures.
    Observe,
    /// Bring tunnels up and down and change the configuration; no secrets, captures, upgrade.
    Operator,
    /// Everything.
    Admin,
}
impl Role {
    /// The word for it in problems and in the description of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Observe => "observe",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// One client: who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it may do here.
    pub role: Role,
    /// Its user.
    pub uid: u32,
    /// Its process, if the kernel tells.
    pub pid: Option<i32>,
}
impl Caller {
    /// Who has no credentials has no rights.
    pub const NOBODY: Self = Self { role: Role::None, uid: UNMAPPED, pid: None };
}

/// Who has which role: resolved once, when the daemon starts.
#[derive(Clone, Copy, Debug)]
pub struct Roles {
    owner: u32,
    operators: Option<u32>,
    observers: Option<u32>,
    most: Role,
}
impl Roles {
    /// `owner`: the daemon's own user. The system is asked for the groups, wherever it has them: before a daemon confines itself.
    pub fn of(owner: u32) -> Self {
        Self { owner, operators: peer::group(OPERATORS), observers: peer::group(OBSERVERS), most: Role::Admin }
    }
    /// The same people, none of whom may do more than observe.
    pub fn observing(self) -> Self {
        Self { most: Role::Observe, ..self }
    }
    /// The client at the other end of a socket.
    pub fn caller(&self, socket: &impl AsFd, uid: u32, gid: u32, pid: Option<i32>) -> Caller {
        // A kernel that does not tell the groups leaves the primary one.
        let mut groups = peer::groups(socket).unwrap_or_default();
        groups.push(gid);
        Caller { role: self.role(uid, &groups), uid, pid }
    }
    fn role(&self, uid: u32, groups: &[u32]) -> Role {
        let member = |group: Option<u32>| group.is_some_and(|group| groups.contains(&group));
        let role = match () {
            () if uid == 0 || uid == self.owner => Role::Admin,
            () if uid == UNMAPPED => Role::None,
            () if member(self.operators) => Role::Operator,
            () if member(self.observers) => Role::Observe,
            () => Role::None,
        };
        role.min(self.most)
    }
}

/// Refuses whoever has no role at all, and requests that a browser sent. What a resource demands besides is checked with the resource.
pub async fn check(request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().copied().unwrap_or(Caller::NOBODY);
    match permit(caller.role, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn forbidden(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code, "Not allowed", detail)
}

/// What a resource demands.
///
/// # Errors
/// `access.role` says what the client has and what it needs.
pub fn demand(caller: Caller, least: Role) -> Result<(), Problem> {
    if caller.role >= least {
        return Ok(());
    }
    let (has, needs) = (caller.role.name(), least.name());
    let detail = format!(
        "this needs the role {needs}, and you have the role {has} here: root and the daemon's user are admins, the group \
         {OPERATORS} operates, the group {OBSERVERS} observes, and nobody does more than observe on the observe socket"
    );
    Err(forbidden("access.role", detail))
}

fn permit(role: Role, headers: &HeaderMap) -> Result<(), Problem> {
    demand(Caller { role, ..Caller::NOBODY }, Role::Observe)?;
    if headers.contains_key(header::ORIGIN) {
        return Err(forbidden("access.origin", "requests of web pages (with an Origin header) are refused"));
    }
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    let local = |host: &[u8]| matches!(host, b"" | b"localhost" | b"sandhog");
    match hosts.as_slice() {
        [] => Ok(()),
        [host] if local(host.as_bytes()) => Ok(()),
        _ => Err(forbidden("access.host", "the Host header must be localhost: use http://localhost/v1/...")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn roles() -> Roles {
        Roles { owner: 998, operators: Some(50), observers: Some(51), most: Role::Admin }
    }

    #[test]
    fn only_root_and_the_daemons_user_are_admins() {
        assert_eq!(roles().role(0, &[]), Role::Admin);
        assert_eq!(roles().role(998, &[]), Role::Admin);
        assert_eq!(roles().role(1000, &[7]), Role::None);
    }

    #[test]
    fn groups_give_roles_and_the_greater_one_counts() {
        assert_eq!(roles().role(1000, &[50]), Role::Operator);
        assert_eq!(roles().role(1000, &[51]), Role::Observe);
        assert_eq!(roles().role(1000, &[7, 51, 50]), Role::Operator);
        let none = Roles { operators: None, observers: None, ..roles() };
        assert_eq!(none.role(1000, &[50, 51]), Role::None, "a group that does not exist has no members");
    }

    #[test]
    fn an_unmapped_user_has_no_role_whatever_its_groups() {
        assert_eq!(roles().role(UNMAPPED, &[50, 51]), Role::None);
    }

    #[test]
    fn nobody_does_more_than_observe_on_the_observe_socket() {
        let observing = roles().observing();
        assert_eq!(observing.role(0, &[]), Role::Observe);
        assert_eq!(observing.role(1000, &[50]), Role::Observe);
        assert_eq!(observing.role(1000, &[]), Role::None);
    }

    #[test]
    fn browsers_are_refused() {
        let code = |list: &[(&'static str, &'static str)]| permit(Role::Admin, &headers(list)).map_err(|p| p.code);
        assert_eq!(code(&[]), Ok(()));
        assert_eq!(code(&[("host", "localhost")]), Ok(()));
        assert_eq!(code(&[("host", "evil.example")]), Err("access.host".into()));
        assert_eq!(code(&[("host", "localhost"), ("host", "evil.example")]), Err("access.host".into()));
        assert_eq!(code(&[("host", "localhost"), ("origin", "null")]), Err("access.origin".into()));
        assert_eq!(permit(Role::None, &headers(&[])).unwrap_err().code, "access.role");
    }
}
