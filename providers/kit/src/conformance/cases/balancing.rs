//! `register` and `deregister`.

use super::super::case::{Stop, cases};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::{MachineParams, Progress};
use replank_provider_protocol::{ErrorCode, Machine, ProviderError, Role};

cases!("balancer", [Destructive, Like, Fresh]; deregister_and_register_can_be_repeated [LoadBalancer],
    deregister_again_of_another_machine_is_refused [LoadBalancer],
    of_an_unknown_machine_is_not_found [LoadBalancer], is_invalid_without_one [NoLoadBalancer]);

/// The two verbs.
#[derive(Clone, Copy, Debug)]
enum Way {
    Out,
    In,
}

async fn ask(stage: &Stage<'_>, way: Way, params: &MachineParams) -> Result<Progress<()>, ProviderError> {
    match way {
        Way::Out => stage.provider().deregister(params.clone()).await,
        Way::In => stage.provider().register(params.clone()).await,
    }
}

async fn control_plane(stage: &Stage<'_>, what: &str) -> Result<Machine, Stop> {
    let mut params = stage.create_params(what)?;
    params.spec.role = Role::ControlPlane;
    stage.create(&params).await
}

async fn deregister_and_register_can_be_repeated(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = control_plane(stage, "one").await?;
    for (way, operation) in [
        (Way::Out, "out"),
        (Way::Out, "out"),
        (Way::Out, "out-too"),
        (Way::In, "in"),
        (Way::In, "in"),
        (Way::In, "in-too"),
    ] {
        let params = stage.on(operation, &machine.id);
        stage.settle(&format!("{way:?}"), async || ask(stage, way, &params).await).await?;
    }
    Ok(())
}

async fn deregister_again_of_another_machine_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (control_plane(stage, "one").await?, control_plane(stage, "two").await?);
    let params = stage.on("out", &first.id);
    stage.settle("deregister", async || ask(stage, Way::Out, &params).await).await?;
    let params = stage.on("out", &second.id);
    let what = "deregister of another machine under the same operation id";
    stage
        .refused(what, ErrorCode::AlreadyExists, async || ask(stage, Way::Out, &params).await)
        .await
        .map(drop)
}

async fn of_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    for (way, operation) in [(Way::Out, "out"), (Way::In, "in")] {
        let params = stage.on(operation, &"rp-check-never-was".into());
        let what = format!("{way:?} of an unknown machine");
        stage.refused(&what, ErrorCode::NotFound, async || ask(stage, way, &params).await).await?;
    }
    Ok(())
}

async fn is_invalid_without_one(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = control_plane(stage, "one").await?;
    for (way, operation) in [(Way::Out, "out"), (Way::In, "in")] {
        let params = stage.on(operation, &machine.id);
        let what = format!("{way:?} without capability loadBalancer");
        stage.refused(&what, ErrorCode::Invalid, async || ask(stage, way, &params).await).await?;
    }
    Ok(())
}
