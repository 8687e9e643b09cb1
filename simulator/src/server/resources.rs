//! Requests about objects: from path and verb to the state.

use super::http::{Answer, Asked, object};
use super::kinds::Kind;
use super::object::{items, text};
use super::options::Subresource;
use super::passing::Passed;
use super::path::ResourcePath;
use super::read::{Selection, at_version};
use super::render::Form;
use super::state::Written;
use super::status::Status;
use super::verbs::Deleted;
use super::watch::{self, Watcher};
use super::{admission, eviction, reviews, scale};
use axum::body::Body;
use futures::StreamExt;
use serde_json::{Value, json};
use std::convert::Infallible;

/// Kinds whose delete answers the object even when it is gone.
const ANSWER_OBJECT: &[&str] = &[
    "pods",
    "services",
    "serviceaccounts",
    "persistentvolumes",
    "persistentvolumeclaims",
    "podtemplates",
    "resourcequotas",
];

/// Answers a request about objects.
pub(crate) fn answer(asked: &Asked<'_>, path: &ResourcePath) -> Result<Answer, Status> {
    asked.check_dry_run()?;
    let kind = asked
        .server
        .state()
        .kinds
        .by_path(&path.group, &path.version, &path.plural)
        .ok_or_else(Status::no_such_path)?;
    let everywhere = path.namespace.is_none() && ["list", "watch", "deletecollection"].contains(&asked.verb);
    if path.namespace.is_some() != kind.resource.namespaced && !(kind.resource.namespaced && everywhere) {
        return Err(Status::no_such_path());
    }
    let subresource = Subresource::parse(&path.subresource).ok_or_else(Status::no_such_path)?;
    let namespace = path.namespace.as_deref().unwrap_or("");
    let target = Target { asked, kind: &kind, namespace, path };
    match &path.name {
        None => target.collection(),
        Some(name) => target.one(name, subresource),
    }
}

/// What a request is about.
struct Target<'a> {
    asked: &'a Asked<'a>,
    kind: &'a Kind,
    namespace: &'a str,
    path: &'a ResourcePath,
}

impl Target<'_> {
    fn form(&self) -> Form {
        Form::of(self.asked.header("accept"), self.asked.query.get("includeObject"))
    }

    fn selection(&self) -> Result<Selection, Status> {
        Selection::parse(self.kind, self.path.namespace.as_deref(), &self.asked.query)
    }

    fn written(&self, code: u16, written: Written) -> Answer {
        let code = if written.created { 201 } else { code };
        match object(code, self.kind, &written.entry, self.asked) {
            Answer::Json(code, body) if !written.warnings.is_empty() => {
                Answer::Warned(code, body, written.warnings)
            }
            answer => answer,
        }
    }

    fn collection(&self) -> Result<Answer, Status> {
        let (asked, kind) = (self.asked, self.kind);
        let server = asked.server;
        match asked.verb {
            "list" => {
                let selection = self.selection()?;
                let page = server.state().list(kind, &selection, &asked.query)?;
                let form = self.form();
                // Items of built-in kinds' lists are written without their kind; who asks for metadata reads no
                // kind, nor anything else that an object has beside it.
                let alike = form == Form::Metadata || kind.custom && form == Form::Json;
                if alike && asked.accepts_passing() && page.continues.is_none() {
                    let item = |entry| at_version(kind, entry).object.clone();
                    let items = page.entries.iter().map(item).collect();
                    return Ok(Answer::Passed(200, Passed::List(items, page.revision)));
                }
                Ok(Answer::Json(200, form.list(kind, &page)))
            }
            "watch" => self.watch(self.selection()?),
            "create" => {
                let body = asked.object()?;
                let mut state = server.state();
                if let Some(answered) =
                    reviews::answer(server, &state, &asked.user, &kind.resource.plural, body.clone())
                {
                    return Ok(Answer::Json(201, answered.to_string().into()));
                }
                let written = state.create(&asked.act(), kind, self.namespace, body)?;
                drop(state);
                Ok(self.written(201, written))
            }
            "deletecollection" => {
                let selection = self.selection()?;
                let options = asked.delete_options()?;
                let mut act = asked.act();
                act.dry_run = options.dry_run;
                let mut state = server.state();
                let selected = state.select(kind, &selection);
                let entries = state.delete_collection(&act, kind, selected, &options)?;
                let revision = state.store.revision;
                drop(state);
                let page = super::read::Page { entries, revision, continues: None, remaining: None };
                Ok(Answer::Json(200, self.form().list(kind, &page)))
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn watch(&self, selection: Selection) -> Result<Answer, Status> {
        let asked = self.asked;
        let watcher = Watcher { client: asked.header("user-agent").into(), label: self.path.short() };
        let (server, form) = (asked.server, self.form());
        if form == Form::Json && asked.accepts_passing() {
            let events = watch::start(server, self.kind, selection, &asked.query, watcher, watch::Passing)?;
            return Ok(Answer::Passed(200, Passed::watch(events.boxed())));
        }
        let written =
            watch::start(server, self.kind, selection, &asked.query, watcher, watch::Written(form))?;
        let server = server.clone();
        let counted = written.map(move |said| {
            server.wrote(said.len());
            Ok::<_, Infallible>(said.freeze())
        });
        Ok(Answer::Stream(Body::from_stream(counted)))
    }

    fn one(&self, name: &str, subresource: Subresource) -> Result<Answer, Status> {
        let (asked, kind, namespace) = (self.asked, self.kind, self.namespace);
        self.check_subresource(subresource)?;
        match (asked.verb, subresource) {
            ("watch", Subresource::None) => {
                let mut selection = self.selection()?;
                selection.fields =
                    super::selectors::FieldSelector::parse(&format!("metadata.name={name}"), |_| true)?;
                self.watch(selection)
            }
            ("get", _) => self.get(name, subresource),
            ("create", _) => self.act_on(name, subresource),
            ("update" | "patch", Subresource::Scale) => {
                let mut state = asked.server.state();
                let entry = if asked.verb == "update" {
                    state.set_scale(&asked.act(), kind, namespace, name, &asked.object()?)?
                } else {
                    state.patch_scale(
                        &asked.act(),
                        kind,
                        namespace,
                        name,
                        asked.patch_type()?,
                        &asked.body,
                    )?
                };
                Ok(Answer::Json(200, scale::view(kind, &entry.object).to_string().into()))
            }
            ("update", _) => {
                let body = asked.object()?;
                let mut state = asked.server.state();
                let written = state.update(&asked.act(), kind, namespace, name, subresource, body)?;
                drop(state);
                Ok(self.written(200, written))
            }
            ("patch", _) => {
                let patch = asked.patch_type()?;
                let mut state = asked.server.state();
                let written =
                    state.patch(&asked.act(), kind, namespace, name, subresource, patch, &asked.body)?;
                drop(state);
                Ok(self.written(200, written))
            }
            ("delete", Subresource::None) => self.delete(name),
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn check_subresource(&self, subresource: Subresource) -> Result<(), Status> {
        let plural = self.kind.resource.plural.as_ref();
        let served = match subresource {
            Subresource::None => true,
            Subresource::Status => self.kind.status,
            Subresource::Scale => self.kind.scale,
            Subresource::Token => plural == "serviceaccounts",
            Subresource::Approval => plural == "certificatesigningrequests",
            Subresource::Finalize => plural == "namespaces",
            _ => plural == "pods",
        };
        if served { Ok(()) } else { Err(Status::no_such_path()) }
    }

    fn get(&self, name: &str, subresource: Subresource) -> Result<Answer, Status> {
        let state = self.asked.server.state();
        if self.asked.query.get("resourceVersion") != "0" {
            state.committable()?;
        }
        let entry = state.current(&self.kind.resource, self.namespace, name)?;
        drop(state);
        match subresource {
            Subresource::Scale => {
                scale::check(self.kind, &entry.object)?;
                Ok(Answer::Json(200, scale::view(self.kind, &entry.object).to_string().into()))
            }
            Subresource::Log => log(&entry.object, self.asked.query.get("container")),
            Subresource::Eviction | Subresource::Binding | Subresource::Token => {
                Err(Status::method_not_allowed())
            }
            _ => Ok(object(200, self.kind, &entry, self.asked)),
        }
    }

    /// The subresources that are acts.
    fn act_on(&self, name: &str, subresource: Subresource) -> Result<Answer, Status> {
        let asked = self.asked;
        let body = asked.object()?;
        match subresource {
            Subresource::Eviction => {
                let status = asked.server.state().evict(&asked.act(), self.namespace, name, &body)?;
                Ok(Answer::Json(status.code, status.to_value().to_string().into()))
            }
            Subresource::Binding => {
                let node = text(&body, "/target/name");
                asked.server.state().bind(&asked.act(), self.namespace, name, node)?;
                Ok(Answer::Json(201, Status::new(201, "", "").to_value().to_string().into()))
            }
            Subresource::Token => {
                let (state, act) = (asked.server.state(), asked.act());
                let resource = &self.kind.resource;
                admission::admit_act(&state, &act, resource, subresource, self.namespace, body.clone())?;
                drop(state);
                let issued = asked.server.issue_token(self.namespace, name, &body)?;
                Ok(Answer::Json(201, issued.to_string().into()))
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn delete(&self, name: &str) -> Result<Answer, Status> {
        let asked = self.asked;
        let options = asked.delete_options()?;
        let mut act = asked.act();
        act.dry_run = options.dry_run;
        let deleted = asked.server.state().delete(&act, self.kind, self.namespace, name, &options)?;
        let resource = &self.kind.resource;
        if let Deleted::Gone(entry) = &deleted
            && !ANSWER_OBJECT.contains(&resource.plural.as_ref())
        {
            let status = Status::deleted(resource, name, text(&entry.object, "/metadata/uid"));
            return Ok(Answer::Json(200, status.to_value().to_string().into()));
        }
        Ok(object(200, self.kind, deleted.entry(), asked))
    }
}

/// A short answer in place of a container's output.
fn log(pod: &Value, container: &str) -> Result<Answer, Status> {
    let containers = items(pod, "/spec/containers");
    let name = text(pod, "/metadata/name");
    let known = |wanted: &str| containers.iter().any(|c| c["name"] == wanted);
    if !container.is_empty() && !known(container) {
        return Err(Status::bad_request(format!("container {container} is not valid for pod {name}")));
    }
    if container.is_empty() && containers.len() > 1 {
        let names: Vec<&str> = containers.iter().map(|c| text(c, "/name")).collect();
        return Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            names.join(" ")
        )));
    }
    let ready = eviction::is_ready(pod);
    let line = json!({"pod": name, "ready": ready, "phase": text(pod, "/status/phase")});
    Ok(Answer::Text(200, format!("{line}\n")))
}
