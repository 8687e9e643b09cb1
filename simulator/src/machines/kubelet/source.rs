//! The kubelet's view of its pods in the API: a list, then a watch, for ever.

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Message;
use super::node::Session;
use crate::machines::api::{Api, ApiFailure, Change, text};

/// Sends the node's pods to the kubelet's task until its process ends.
pub(super) fn start(session: &Session, sender: mpsc::UnboundedSender<Message>, stop: CancellationToken) {
    let api = session.api.clone();
    let query = format!("fieldSelector=spec.nodeName%3D{}", session.node);
    let retry = session.machine.site.durations.api_retry;
    session.machine.site.tasks.spawn(async move {
        let follow = async {
            let mut version = None;
            loop {
                match follow(&api, &query, version.take(), &sender).await {
                    Ok(last) => version = Some(last),
                    Err(_) => tokio::time::sleep(retry).await,
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = follow => {}
        }
    });
}

/// Follows one watch to its end; gives the version to go on from.
async fn follow(
    api: &Api,
    query: &str,
    version: Option<String>,
    sender: &mpsc::UnboundedSender<Message>,
) -> Result<String, ApiFailure> {
    let mut version = match version {
        Some(version) => version,
        None => {
            let (pods, version) = api.list(&format!("/api/v1/pods?{query}")).await?;
            let _ = sender.send(Message::Listed(pods));
            version
        }
    };
    let mut changes = Box::pin(api.watch("/api/v1/pods", query, &version).await?);
    let mut any = false;
    while let Some(change) = changes.next().await {
        any = true;
        match change? {
            Change::Applied(pod) => {
                version = text(&pod, "/metadata/resourceVersion").to_owned();
                let _ = sender.send(Message::Applied(pod));
            }
            Change::Deleted(pod) => {
                version = text(&pod, "/metadata/resourceVersion").to_owned();
                let _ = sender.send(Message::Deleted(pod));
            }
            Change::Bookmark(mark) => version = mark,
        }
    }
    if any {
        Ok(version)
    } else {
        // A watch that ends without a word would otherwise be asked for again without a pause.
        Err(ApiFailure::Unreachable("the watch ended at once".to_owned()))
    }
}
