//! What the configuration file says of an AWS account and of the machines that are made in it.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The provider's settings in the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The region; what the AWS configuration says if absent.
    pub region: Option<String>,
    /// A profile of the AWS configuration.
    pub profile: Option<String>,
    /// An AWS configuration file in the place of the user's own.
    pub config_file: Option<PathBuf>,
    /// Another endpoint for every service, such as one within a VPC.
    pub endpoint: Option<String>,
    /// The VPC to look for Nodes in that are known by their address only.
    pub vpc: Option<String>,
    /// A launch template for new machines; the old machine's own attributes if absent.
    pub launch_template: Option<LaunchTemplate>,
    /// The image of new machines; the old machine's if absent.
    pub image: Option<Image>,
    /// Instance types that are allowed, the best first; the old machine's own if empty.
    pub instance_types: Vec<String>,
    /// Subnets that are allowed beside the old machine's own, which is tried first.
    pub subnets: Vec<String>,
    /// In which zones a replacement may be.
    pub zones: Zones,
    /// Security groups of new machines; the old machine's if empty.
    pub security_groups: Vec<String>,
    /// Tags that new machines carry beside the old machine's.
    pub tags: BTreeMap<String, String>,
    /// Whether new machines answer the first version of the metadata service too.
    pub metadata: Metadata,
    /// What snapshots may hold.
    pub snapshots: Snapshots,
    /// Whether Flannel's packets can go from node to node.
    pub vxlan: Vxlan,
    /// How a machine leaves its Auto Scaling group.
    pub groups: Leaving,
    /// Which load balancers a machine may be in.
    pub load_balancers: LoadBalancers,
    /// The machine that `replank provider check` models others on.
    pub example: Option<String>,
    /// How long EC2 may take until everybody sees a change, in seconds: 30 if absent.
    pub consistency_seconds: Option<u64>,
}

/// A launch template, by exactly one of its names.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaunchTemplate {
    /// Its id, such as `lt-0abc`.
    #[serde(default)]
    pub id: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// A version's number, `$Default`, or `$Latest`, which is meant if absent.
    #[serde(default = "latest")]
    pub version: String,
}

fn latest() -> String {
    "$Latest".into()
}

/// An image: one, or the newest that a filter finds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Image {
    /// This one.
    Id(String),
    /// The newest of those that fit.
    Newest(ImageFilter),
}

/// Which images fit.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageFilter {
    /// Account ids, `self` or `amazon`: whoever may publish an image may give it any name.
    pub owners: Vec<String>,
    /// Its name, with `*` for any characters.
    pub name: String,
}

/// In which zones a replacement may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Zones {
    /// In the old machine's: its pods' volumes can't leave it.
    #[default]
    Same,
    /// In any zone of the allowed subnets, unless volumes of pods are attached to the old machine.
    Any,
}

/// How new machines tell of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metadata {
    /// Only to those that ask with a token (IMDSv2).
    #[default]
    TokensRequired,
    /// As the old machine does.
    AsBefore,
}

/// Whether Flannel's packets can go from node to node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Vxlan {
    /// The UDP port: Flannel's own is 8472.
    pub port: u16,
    /// What is done about security groups that don't let it through.
    pub firewall: Firewall,
    /// Security groups of other nodes, with which new machines must be able to talk as well.
    pub peers: Vec<String>,
}

impl Default for Vxlan {
    fn default() -> Self {
        Self { port: 8472, firewall: Firewall::default(), peers: Vec::new() }
    }
}

/// What is done about security groups that don't let Flannel's packets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Firewall {
    /// It is said, and nothing is made.
    #[default]
    Check,
    /// The rules that are missing are made, and stay.
    Open,
    /// Nothing is looked at.
    Leave,
}

/// How a machine leaves its Auto Scaling group before it is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leaving {
    /// It is no member any longer.
    #[default]
    Detached,
    /// It stays a member that does not count.
    Standby,
    /// Groups are not looked at: there are none.
    Never,
}

/// Which load balancers a machine may be in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadBalancers {
    /// Target groups by name; all of the machine's VPC if absent.
    pub target_groups: Option<Vec<String>>,
    /// Classic load balancers by name; all of the account's region if absent.
    pub classic: Option<Vec<String>>,
}

/// What snapshots may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Snapshots {
    /// Whether disks may be taken that are not encrypted: the snapshot holds the node's keys in the clear.
    pub unencrypted: bool,
    /// Whether the volumes of pods, which others have attached, are taken too.
    pub pod_volumes: bool,
}

impl Settings {
    /// Reads the settings and checks what can be checked without asking anybody.
    ///
    /// # Errors
    /// A sentence with the setting's name.
    pub fn read(given: serde_json::Value) -> Result<Self, String> {
        let settings: Self = match given {
            serde_json::Value::Null => Self::default(),
            given => serde_json::from_value(given).map_err(|e| format!("provider.settings: {e}"))?,
        };
        if let Some(template) = &settings.launch_template
            && template.id.is_some() == template.name.is_some()
        {
            return Err("provider.settings: `launchTemplate` needs one of `id` and `name`".into());
        }
        if let Some(Image::Newest(filter)) = &settings.image
            && filter.owners.is_empty()
        {
            return Err(
                "provider.settings: `image.newest.owners` is empty: anybody could be the owner".into()
            );
        }
        let reserved = |key: &&String| key.starts_with("aws:") || key.starts_with("replank.dev/");
        if let Some(key) = settings.tags.keys().find(reserved) {
            return Err(format!("provider.settings: the tag {key} is not yours to set"));
        }
        Ok(settings)
    }

    /// How long EC2 may take until everybody sees a change.
    pub fn consistency(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.consistency_seconds.unwrap_or(CONSISTENCY_SECONDS))
    }
}

/// EC2 promises no bound; what is made is usually seen within a few seconds.
const CONSISTENCY_SECONDS: u64 = 30;
