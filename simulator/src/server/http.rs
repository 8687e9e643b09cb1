//! One request, from its headers to its answer.

use super::authn::{self, User};
use super::core::Server;
use super::object::{Entry, items};
use super::options::{self, Act, DeleteOptions};
use super::passing::{Accepts, Passed};
use super::path::{self, Query, ResourcePath, Route};
use super::rbac::{self, Wish};
use super::request_log::Request;
use super::status::Status;
use super::{aggregated, documents, other, resources};
use crate::faults::{Call, Fault};
use crate::schema::{FieldValidation, PatchKind, decode};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::body::Body;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// An answer before it is written.
pub(crate) enum Answer {
    /// JSON with a status code.
    Json(u16, Bytes),
    /// Text with a status code.
    Text(u16, String),
    /// A stream of watch events.
    Stream(Body),
    /// A response somebody else made.
    Whole(Response<Body>),
    /// What is handed over as it is, with a status code.
    Passed(u16, Passed),
    /// Like `Json`, with warnings.
    Warned(u16, Bytes, Vec<String>),
}

/// A request, read as far as every handler needs it.
pub(crate) struct Asked<'a> {
    pub(crate) server: &'a Server,
    pub(crate) parts: &'a Parts,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    pub(crate) user: User,
    pub(crate) client: Arc<str>,
    pub(crate) verb: &'static str,
}

impl Asked<'_> {
    pub(crate) fn header(&self, name: &str) -> &str {
        header_text(&self.parts.headers, name)
    }

    /// Whether the answer may be handed over as it is.
    pub(crate) fn accepts_passing(&self) -> bool {
        self.parts.extensions.get::<Accepts>().is_some()
    }

    /// Who writes, and how.
    pub(crate) fn act(&self) -> Act {
        let manager = self.query.get("fieldManager");
        let manager = if manager.is_empty() {
            self.client.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned()
        } else {
            manager.to_owned()
        };
        Act {
            client: self.client.clone(),
            user: self.user.name.clone(),
            groups: self.user.groups.clone(),
            now: self.server.clock().now(),
            dry_run: !self.query.get("dryRun").is_empty(),
            manager,
            force: self.query.flag("force"),
            validation: self.validation().unwrap_or_default(),
            track: true,
        }
    }

    /// Refuses a write that asks for a dry run in a way that nobody knows.
    pub(crate) fn check_dry_run(&self) -> Result<(), Status> {
        let kind = match self.verb {
            "create" => "CreateOptions",
            "update" => "UpdateOptions",
            "patch" => "PatchOptions",
            // Where a delete looks for it depends on whether it has a body.
            _ => return Ok(()),
        };
        options::check_dry_run(kind, self.query.get("dryRun"))
    }

    fn validation(&self) -> Result<FieldValidation, Status> {
        FieldValidation::from_query(Some(self.query.get("fieldValidation")))
    }

    /// The body as an object; empty when there is none.
    pub(crate) fn object(&self) -> Result<serde_json::Value, Status> {
        if self.body.is_empty() {
            return Ok(serde_json::Value::Object(serde_json::Map::new()));
        }
        if self.header("content-type").contains("protobuf") {
            return super::protobuf::decode(&self.body);
        }
        Ok(decode(&self.body, self.validation()?)?.0)
    }

    /// The delete options in the body; without a body, those in the query. The real server does not mix
    /// them: a dry run asked for in the query of a delete with a body is none.
    pub(crate) fn delete_options(&self) -> Result<DeleteOptions, Status> {
        if !self.body.is_empty() {
            let body = self.object()?;
            items(&body, "/dryRun").iter().try_for_each(|how| {
                options::check_dry_run("DeleteOptions", how.as_str().unwrap_or_default())
            })?;
            return Ok(DeleteOptions::from_body(&body));
        }
        let mut options = serde_json::json!({});
        if !self.query.get("propagationPolicy").is_empty() {
            options["propagationPolicy"] = self.query.get("propagationPolicy").into();
        }
        if let Ok(seconds) = self.query.get("gracePeriodSeconds").parse::<i64>() {
            options["gracePeriodSeconds"] = seconds.into();
        }
        options::check_dry_run("DeleteOptions", self.query.get("dryRun"))?;
        let dry_run = !self.query.get("dryRun").is_empty();
        Ok(DeleteOptions { dry_run, ..DeleteOptions::from_body(&options) })
    }

    /// The kind of patch in the body.
    pub(crate) fn patch_type(&self) -> Result<PatchKind, Status> {
        let patch = PatchKind::from_content_type(self.header("content-type"));
        if patch == Some(PatchKind::Apply) && self.query.get("fieldManager").is_empty() {
            let why = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
            return Err(Status::new(422, "Invalid", why));
        }
        patch.ok_or_else(|| {
            Status::new(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )
        })
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The answer to a body that broke off.
pub(crate) fn unreadable(why: &str) -> Response<Body> {
    status_response(&Status::bad_request(format!("the body could not be read: {why}")))
}

/// Answers one request.
pub(crate) async fn handle(server: &Server, parts: Parts, body: Bytes) -> Response<Body> {
    let route = path::parse(parts.uri.path());
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let verb = verb_of(&parts.method, &route, &query);
    let agent = header_text(&parts.headers, "user-agent");
    let client: Arc<str> = agent.split(' ').next().unwrap_or("").into();
    let (label, short) = match &route {
        Route::Resource(path) => (path.label(), path.short()),
        Route::Other => (String::new(), String::new()),
    };
    let url = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let at = server.clock().now();
    let call = Call { client: agent, verb, resource: &short };
    let answer = answer(server, &parts, body, &route, query, verb, client.clone(), &call).await;
    let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
    server.requests().record(Request { at, client, verb, resource: label.into(), url, status });
    answer.unwrap_or_else(|Broken| broken())
}

/// The connection breaks in place of an answer.
struct Broken;

#[allow(clippy::too_many_arguments)]
async fn answer(
    server: &Server,
    parts: &Parts,
    body: Bytes,
    route: &Route,
    query: Query,
    verb: &'static str,
    client: Arc<str>,
    call: &Call<'_>,
) -> Result<Response<Body>, Broken> {
    let faults = server.faults();
    if let Some(fault) = faults.on_call(&["slow"], call) {
        tokio::time::sleep(fault.delay.unwrap_or(Duration::from_secs(1))).await;
    }
    if faults.on_call(&["dropped-connection", "api-server-away"], call).is_some()
        || faults.silence(call).await
    {
        return Err(Broken);
    }
    if let Some(status) = refused_by_fault(server, route, call) {
        return Ok(status_response(&status));
    }
    let loses = faults.on_call(&["lost-response"], call).is_some();
    let response = match decide(server, parts, body, route, query, verb, client).await {
        Ok(answer) => {
            if let Answer::Json(_, body) | Answer::Warned(_, body, _) = &answer {
                server.wrote(body.len());
            }
            write(answer)
        }
        Err(status) => {
            if status.message.starts_with("etcdserver:") {
                let timeout = server.state().etcd_timeout;
                tokio::time::sleep(timeout).await;
            }
            status_response(&status)
        }
    };
    if loses { Err(Broken) } else { Ok(response) }
}

fn refused_by_fault(server: &Server, route: &Route, call: &Call<'_>) -> Option<Status> {
    let faults = server.faults();
    let names = ["too-many-requests", "internal-error", "unavailable"];
    let fault = faults.on_call(&names, call).or_else(|| {
        // A review changes nothing, so there is nothing that could have changed meanwhile.
        let changes = !["get", "list", "watch"].contains(&call.verb) && !call.resource.ends_with("reviews");
        changes.then(|| faults.on_call(&["conflict"], call))?
    })?;
    Some(fault_status(&fault, route))
}

fn fault_status(fault: &Fault, route: &Route) -> Status {
    match fault.name.as_str() {
        "too-many-requests" => Status::new(
            429,
            "TooManyRequests",
            "The server has received too many requests and has asked us to try again later",
        )
        .retry_after(1),
        "internal-error" => Status::internal("a fault was raised"),
        "conflict" => {
            let Route::Resource(path) = route else { return Status::internal("a fault was raised") };
            let name = path.name.clone().unwrap_or_default();
            let resource = crate::schema::Resource::new(&path.group, &path.version, &path.plural, "", false);
            Status::modified(&resource, &name)
        }
        _ => Status::new(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    }
}

async fn decide(
    server: &Server,
    parts: &Parts,
    body: Bytes,
    route: &Route,
    query: Query,
    verb: &'static str,
    client: Arc<str>,
) -> Result<Answer, Status> {
    let user = {
        let state = server.state();
        let user = authn::authenticate(server, &state, parts)?;
        let wish = wish(route, parts.uri.path(), verb);
        if !rbac::allowed(&state, &user, &wish) {
            return Err(rbac::denial(&user, &wish));
        }
        user
    };
    let asked = Asked { server, parts, query, body, user, client, verb };
    if let Some(answer) = aggregated::answer(&asked, route).await {
        return answer;
    }
    match route {
        Route::Other => {
            let foreign = documents::foreign(&asked).await;
            other::answer(&asked, &foreign)
        }
        Route::Resource(path) => resources::answer(&asked, path),
    }
}

fn wish(route: &Route, path: &str, verb: &'static str) -> Wish {
    match route {
        Route::Other => Wish { verb: verb.to_owned(), path: path.to_owned(), ..Wish::default() },
        Route::Resource(found) => {
            let own = found.plural == "namespaces" && found.group.is_empty();
            Wish {
                verb: verb.to_owned(),
                group: found.group.clone(),
                resource: found.short(),
                namespace: if own { found.name.clone() } else { found.namespace.clone() }.unwrap_or_default(),
                name: found.name.clone().unwrap_or_default(),
                path: String::new(),
            }
        }
    }
}

fn verb_of(method: &Method, route: &Route, query: &Query) -> &'static str {
    let Route::Resource(ResourcePath { name, watch, .. }) = route else {
        return if *method == Method::GET { "get" } else { "create" };
    };
    match *method {
        Method::GET | Method::HEAD if *watch || (name.is_none() && query.flag("watch")) => "watch",
        Method::GET | Method::HEAD if name.is_some() => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_some() => "delete",
        Method::DELETE => "deletecollection",
        _ => "get",
    }
}

/// An answer that is an object.
pub(crate) fn object(code: u16, kind: &super::kinds::Kind, entry: &Entry, asked: &Asked<'_>) -> Answer {
    let form = super::render::Form::of(asked.header("accept"), asked.query.get("includeObject"));
    let entry = super::read::at_version(kind, entry);
    if form == super::render::Form::Json && asked.accepts_passing() {
        return Answer::Passed(code, Passed::Object(entry.object.clone()));
    }
    Answer::Json(code, form.one(kind, &entry))
}

fn write(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Json(code, body) => json(code, body),
        Answer::Passed(code, passed) => {
            let mut response = json(code, Bytes::new());
            response.extensions_mut().insert(passed);
            response
        }
        Answer::Warned(code, body, warnings) => {
            let mut response = json(code, body);
            for warning in warnings {
                let text = warning.replace(['\\', '"'], "'");
                if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
                    response.headers_mut().append(header::WARNING, value);
                }
            }
            response
        }
        Answer::Text(code, text) => {
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = code_of(code);
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        }
        Answer::Stream(body) => {
            let mut response = Response::new(body);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Answer::Whole(response) => response,
    }
}

fn code_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn json(code: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code_of(code);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A status as a response.
pub(crate) fn status_response(status: &Status) -> Response<Body> {
    let mut response = json(status.code, status.to_value().to_string().into());
    if let Some(seconds) = status.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A response whose connection breaks before its body.
fn broken() -> Response<Body> {
    let error = io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
    let stream = futures::stream::once(async move { Err::<Bytes, _>(error) });
    Response::new(Body::from_stream(stream))
}
