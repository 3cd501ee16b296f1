//! Who may ask: roles by SO_PEERCRED, and a barrier against browsers (a page must not reach the socket through a proxy or a rebound name).
use super::problem::Problem;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Nothing.
    None,
}
impl Role {
    /// Root and the daemon's own user are admins.
    pub fn of(uid: u32, daemon: u32) -> Self {
        if uid == 0 || uid == daemon { Self::Admin } else { Self::None }
    }
}

/// Refuses whoever has no role, and requests that a browser sent.
pub async fn check(request: Request, next: Next) -> Response {
    let role = request.extensions().get::<Role>().copied().unwrap_or(Role::None);
    match permit(role, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn permit(role: Role, headers: &HeaderMap) -> Result<(), Problem> {
    let forbidden = |code, detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, code, "Not allowed", detail));
    if role == Role::None {
        return forbidden("access.role", "only root and the daemon's own user may use the control socket");
    }
    if headers.contains_key(header::ORIGIN) {
        return forbidden("access.origin", "requests of web pages (with an Origin header) are refused");
    }
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    let local = |host: &[u8]| matches!(host, b"" | b"localhost" | b"sandhog");
    match hosts.as_slice() {
        [] => Ok(()),
        [host] if local(host.as_bytes()) => Ok(()),
        _ => forbidden("access.host", "the Host header must be localhost: use http://localhost/v1/..."),
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

    #[test]
    fn only_root_and_the_daemons_user_are_admins() {
        assert_eq!(Role::of(0, 998), Role::Admin);
        assert_eq!(Role::of(998, 998), Role::Admin);
        assert_eq!(Role::of(1000, 998), Role::None);
        assert_eq!(Role::of(65534, 0), Role::None);
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
