//! Who asks.

use super::core::Server;
use super::state::State;
use super::status::Status;
use super::token;
use ::http::header::AUTHORIZATION;
use ::http::request::Parts;

/// Who is at the other end of a connection, as far as TLS knows. A request without one comes from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It showed the administrator's certificate.
    Administrator,
    /// It showed none.
    Unknown,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    /// Who shows no token: in process nobody needs one, over TLS the client certificate is the
    /// administrator's.
    pub(crate) fn administrator() -> Self {
        Self::named("kubernetes-admin", &["kubeadm:cluster-admins", "system:masters"])
    }

    /// Who shows neither a token nor a certificate.
    fn anonymous() -> Self {
        let groups = vec!["system:unauthenticated".to_owned()];
        Self { name: "system:anonymous".to_owned(), uid: String::new(), groups }
    }

    /// Whether nobody knows who it is.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name == "system:anonymous"
    }

    fn named(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        groups.push("system:authenticated".to_owned());
        Self { name: name.to_owned(), uid: String::new(), groups }
    }

    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let group = format!("system:serviceaccounts:{namespace}");
        let mut user = Self::named(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &group],
        );
        uid.clone_into(&mut user.uid);
        user
    }

    /// Whether everything is allowed.
    pub(crate) fn is_administrator(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters" || group.starts_with("system:bootstrappers"))
    }
}

/// Finds out who asks, by token, certificate and impersonation headers.
pub(crate) fn authenticate(server: &Server, state: &State, parts: &Parts) -> Result<User, Status> {
    let headers = &parts.headers;
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let user = match authorization.and_then(|value| value.strip_prefix("Bearer ")) {
        None if parts.extensions.get() == Some(&Peer::Unknown) => User::anonymous(),
        None => User::administrator(),
        Some(token) => by_token(server, state, token.trim()).ok_or_else(Status::unauthorized)?,
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(other) = header("impersonate-user") else { return Ok(user) };
    if !user.is_administrator() {
        let why = format!(
            "users \"{other}\" is forbidden: User \"{}\" cannot impersonate resource \"users\" in API group \"\" at the \
             cluster scope",
            user.name
        );
        return Err(Status::new(403, "Forbidden", why));
    }
    if let Some((namespace, name)) =
        other.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
    {
        return Ok(User::service_account(namespace, name, ""));
    }
    let groups: Vec<&str> =
        headers.get_all("impersonate-group").iter().filter_map(|value| value.to_str().ok()).collect();
    Ok(User::named(other, &groups))
}

pub(crate) fn by_token(server: &Server, state: &State, token: &str) -> Option<User> {
    let now = server.clock().now();
    if let Some(account) = server.account_of(state, token, now) {
        return Some(User::service_account(&account.namespace, &account.name, &account.uid));
    }
    let id = token::bootstrap_token(state, token, now)?;
    Some(User::named(&format!("system:bootstrap:{id}"), &["system:bootstrappers"]))
}
