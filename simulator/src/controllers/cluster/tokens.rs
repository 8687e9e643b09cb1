//! Bootstrap tokens whose time is over.

use crate::controllers::context::Cx;
use crate::controllers::objects::{Key, about, key_of, text};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::SECRETS;
use crate::server::{Event, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

/// The token cleaner.
#[derive(Default)]
pub(crate) struct Tokens;

impl Controller for Tokens {
    type Key = Key;

    fn name(&self) -> &'static str {
        "token-cleaner-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        let is_token = about(event, &SECRETS) && event.object()["type"] == "bootstrap.kubernetes.io/token";
        if is_token && event.new.is_some() {
            queue.add(key_of(event.object()));
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(secret) = cx.get(&SECRETS, &key.0, &key.1) else { return Ok(()) };
        let encoded = STANDARD.decode(text(&secret, "/data/expiration")).unwrap_or_default();
        let expiration = String::from_utf8_lossy(&encoded).into_owned();
        if expiration.is_empty() {
            return Ok(());
        }
        match cx.until(&expiration, Duration::ZERO) {
            Some(left) => queue.add_after(key.clone(), left),
            None => cx.delete(&SECRETS, &secret)?,
        }
        Ok(())
    }
}
