//! The Query protocol over HTTP.

use crate::faults::Fault;
use crate::request::{Answer, No, Params};
use crate::storage::zone;
use crate::world::{Call, Image, Pace, Rule, SecurityGroup, Subnet, World};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Shared = Arc<Mutex<World>>;

/// An EC2 that listens on loopback as long as this value lives.
#[derive(Debug)]
pub struct Fake {
    world: Shared,
    address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Fake {
    /// Starts one with two zones, three subnets, an image and a security group whose machines may send each other
    /// everything.
    ///
    /// # Errors
    /// When nothing can listen on loopback.
    pub async fn start(pace: Pace) -> std::io::Result<Self> {
        let mut world = World::new(pace);
        furnish(&mut world);
        let world = Arc::new(Mutex::new(world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&world));
        let serving = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { world, address, serving })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What there is, to look at and to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.world);
        world.settle();
        world
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn furnish(world: &mut World) {
    for (id, letter, net) in [("subnet-0a1", 'a', 0), ("subnet-0a2", 'a', 1), ("subnet-0b1", 'b', 2)] {
        let subnet = Subnet { vpc: "vpc-0".into(), zone: zone(letter), cidr: format!("10.0.{net}.0/24") };
        world.subnets.insert(id.into(), subnet);
    }
    let image = |name: &str, created: &str| Image {
        name: name.into(),
        owner: "123456789012".into(),
        created: created.into(),
        root: "/dev/xvda".into(),
    };
    world.images.insert("ami-0001".into(), image("node-1.34.0", "2026-01-01T00:00:00.000Z"));
    world.images.insert("ami-0002".into(), image("node-1.34.1", "2026-02-01T00:00:00.000Z"));
    let among = Rule { protocol: "-1".into(), groups: vec!["sg-0nodes".into()], ..Rule::default() };
    let out = Rule { protocol: "-1".into(), ranges: vec!["0.0.0.0/0".into()], ..Rule::default() };
    let group = SecurityGroup { vpc: "vpc-0".into(), ingress: vec![among], egress: vec![out] };
    world.groups.insert("sg-0nodes".into(), group);
}

async fn answer(State(world): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let params = Params::read(&body);
    let action = params.get("Action").unwrap_or_default().to_owned();
    let service = service(&headers);
    let (fault, answer) = {
        let mut world = lock(&world);
        world.settle();
        world.calls.push(Call { action: action.clone(), params: params.shown() });
        let fault = world.faults.take(&action);
        let answer = act(&mut world, service, &action, &params, fault.as_ref());
        (fault, answer)
    };
    if let Some(Fault::Late(by)) = fault {
        tokio::time::sleep(by).await;
    }
    let (status, body) = match answer {
        Ok(inner) => (200, wrapped(service, &action, &inner)),
        Err(no) if service == "ec2" => (no.status, no.ec2()),
        Err(no) => (no.status, no.query()),
    };
    let body = match fault {
        Some(Fault::AnswerLost) => {
            let lost = std::io::Error::other("the connection is lost");
            Body::from_stream(futures::stream::iter([Ok(Bytes::from_static(b"<?xml")), Err(lost)]))
        }
        _ => Body::from(body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/xml"));
    response
}

/// The service that the request was signed for.
fn service(headers: &HeaderMap) -> &'static str {
    let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["ec2", "autoscaling", "elasticloadbalancing"]
        .into_iter()
        .find(|service| signed.contains(&format!("/{service}/aws4_request")))
        .unwrap_or("unsigned")
}

fn wrapped(service: &str, action: &str, inner: &str) -> String {
    let inner = match service {
        "ec2" => format!("<requestId>fake</requestId>{inner}"),
        _ => format!("<{action}Result>{inner}</{action}Result>"),
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><{action}Response>{inner}</{action}Response>")
}

fn act(world: &mut World, service: &str, action: &str, params: &Params, fault: Option<&Fault>) -> Answer {
    if service == "unsigned" {
        return Err(No::new("MissingAuthenticationToken", "Request is missing Authentication Token"));
    }
    if let Some(no) = world.faults.denied(&format!("{service}:{action}")) {
        return Err(no);
    }
    if let Some(Fault::Refused(no)) = fault {
        return Err(no.clone());
    }
    if params.flag("DryRun") == Some(true) && world.knows_dry_runs {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(No { status: 412, ..No::new("DryRunOperation", message) });
    }
    match (service, action) {
        ("ec2", "RunInstances") => world.run_instances(params, fault),
        ("ec2", "DescribeInstances") => world.describe_instances(params),
        ("ec2", "StopInstances") => world.stop_instances(params),
        ("ec2", "StartInstances") => world.start_instances(params),
        ("ec2", "TerminateInstances") => world.terminate_instances(params),
        ("ec2", "ModifyInstanceAttribute") => world.modify_instance_attribute(params),
        ("ec2", "GetConsoleOutput") => world.get_console_output(params),
        ("ec2", "CreateTags") => world.create_tags(params),
        ("ec2", "DeleteTags") => world.delete_tags(params),
        ("ec2", "DescribeTags") => world.describe_tags(params),
        ("ec2", "DescribeSubnets") => world.describe_subnets(params),
        ("ec2", "DescribeImages") => world.describe_images(params),
        ("ec2", "DescribeLaunchTemplateVersions") => world.describe_launch_template_versions(params),
        ("ec2", "CreateSnapshots") => world.create_snapshots(params),
        ("ec2", "DescribeSnapshots") => world.describe_snapshots(params),
        ("ec2", "DeleteSnapshot") => world.delete_snapshot(params),
        ("ec2", "CreateVolume") => world.create_volume(params),
        ("ec2", "DeleteVolume") => world.delete_volume(params),
        ("ec2", "AttachVolume") => world.attach_volume(params),
        ("ec2", "DetachVolume") => world.detach_volume(params),
        ("ec2", "DescribeVolumes") => world.describe_volumes(params),
        ("ec2", "DescribeSecurityGroups") => world.describe_security_groups(params),
        ("ec2", "AuthorizeSecurityGroupIngress") => world.authorize(params, true),
        ("ec2", "AuthorizeSecurityGroupEgress") => world.authorize(params, false),
        ("autoscaling", "DescribeAutoScalingInstances") => world.describe_scaling_instances(params),
        ("autoscaling", "DescribeAutoScalingGroups") => world.describe_scaling_groups(params),
        ("autoscaling", "SuspendProcesses") => world.suspend(params),
        ("autoscaling", "ResumeProcesses") => world.resume(params),
        ("autoscaling", "CreateOrUpdateTags") => world.tag_group(params, true),
        ("autoscaling", "DeleteTags") => world.tag_group(params, false),
        ("autoscaling", "AttachInstances") => world.attach(params),
        ("autoscaling", "DetachInstances") => world.detach(params),
        ("autoscaling", "EnterStandby") => world.enter_standby(params),
        ("autoscaling", "ExitStandby") => world.exit_standby(params),
        ("autoscaling", "TerminateInstanceInAutoScalingGroup") => world.terminate_in_group(params),
        ("elasticloadbalancing", "DescribeTargetGroups") => world.describe_target_groups(params),
        ("elasticloadbalancing", "DescribeTargetHealth") => world.describe_target_health(params),
        ("elasticloadbalancing", "RegisterTargets") => world.register_targets(params),
        ("elasticloadbalancing", "DeregisterTargets") => world.deregister_targets(params),
        ("elasticloadbalancing", "DescribeLoadBalancers") => world.describe_classic(params),
        ("elasticloadbalancing", "DescribeInstanceHealth") => world.describe_classic_health(params),
        ("elasticloadbalancing", "RegisterInstancesWithLoadBalancer") => world.register_classic(params),
        ("elasticloadbalancing", "DeregisterInstancesFromLoadBalancer") => world.deregister_classic(params),
        _ => Err(No::new("InvalidAction", format!("The action {action} is not valid for {service}."))),
    }
}
