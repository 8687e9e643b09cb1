//! Patch: read, change, update, under one lock.

use crate::schema::{PatchKind, decode};
use crate::server::kinds::Kind;
use crate::server::object::{metadata, text, uid_of};
use crate::server::options::{Act, Subresource};
use crate::server::patching;
use crate::server::state::{State, Written};
use crate::server::status::Status;
use crate::server::tracking::Ownership;
use serde_json::json;

impl State {
    /// Applies a patch of any kind to an object or one of its parts.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn patch(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        subresource: Subresource,
        patch: PatchKind,
        body: &[u8],
    ) -> Result<Written, Status> {
        self.committable()?;
        if patch == PatchKind::Apply {
            return self.apply(act, kind, namespace, name, subresource, body);
        }
        let current = self.current(&kind.resource, namespace, name)?;
        let patched = patching::patch(patch, kind, &current, subresource, body)?;
        let uid = uid_of(&patched);
        // A version that is not the current one is a conflict before anything else is looked at.
        let current_version = version_of(&patched) == version_of(&current.object);
        if current_version && uid != uid_of(&current.object) {
            let why = format!("Invalid value: \"{uid}\": field is immutable");
            return Err(Status::invalid(&kind.resource, name, &[("metadata.uid", "FieldValueInvalid", why)]));
        }
        self.update(act, kind, namespace, name, subresource, patched)
    }

    fn apply(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        subresource: Subresource,
        body: &[u8],
    ) -> Result<Written, Status> {
        let current = self.store.get(&kind.resource, namespace, name);
        let applied = decode(body, act.validation)?.0;
        if current.is_none() && subresource != Subresource::None {
            return Err(Status::not_found(&kind.resource, name));
        }
        let (mut merged, managers) = patching::apply(act, kind, current.as_deref(), &applied, subresource)?;
        let ownership = Ownership::Known(managers);
        if current.is_some() {
            self.replace(act, kind, namespace, name, subresource, merged, ownership)
        } else {
            metadata(&mut merged).insert("name".into(), json!(name));
            self.create_owned(act, kind, namespace, merged, ownership)
        }
    }
}

fn version_of(object: &serde_json::Value) -> &str {
    text(object, "/metadata/resourceVersion")
}
