//! What AWS answers when it does not do what it was asked for, and what that means to the caller.

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use replank_provider_protocol::{ErrorCode, ProviderError};

/// A call that had no effect, or of which that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was called, as IAM names it: `ec2:RunInstances`.
    pub action: &'static str,
    /// AWS's own word; none if there was no answer.
    pub code: Option<String>,
    /// AWS's own sentence.
    pub message: String,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A dry run came to its end: the call would have been done.
    WouldWork,
    /// There is no such thing.
    NotFound,
    /// No room or quota for it.
    Capacity,
    /// A permission is missing.
    Denied,
    /// The client token was used with other parameters.
    OtherParameters,
    /// What the client token made was terminated.
    MadeAndGone,
    /// Something is on its way from one state to another.
    WrongState,
    /// Too many calls at once, a defect at AWS's, or no answer: asking again may help.
    Passing,
    /// Anything else.
    Invalid,
}

/// No room in this subnet, zone or type, or no quota for it: another one may have it. From Karpenter's and the
/// machine-controller-manager's lists.
pub(crate) const CAPACITY: [&str; 13] = [
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity",
    "UnfulfillableCapacity",
    "InsufficientFreeAddressesInSubnet",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "ReservationCapacityExceeded",
    "VolumeLimitExceeded",
    "MaxIOPSLimitExceeded",
    "Unsupported",
];

const DENIED: [&str; 8] = [
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "Blocked",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
];

const PASSING: [&str; 12] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "BandwidthLimitExceeded",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "ScalingActivityInProgress",
    "ResourceContention",
];

impl Refusal {
    /// What a call of the SDK ended with.
    pub fn of<E>(action: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let code = error.code().map(str::to_owned);
        let message = match (error.message(), error) {
            (Some(message), _) => message.to_owned(),
            // The causes tell which host could not be reached, or which credentials are missing.
            (None, error) => causes(error),
        };
        Self { action, code, message }
    }

    /// Whether AWS used this word.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What it means.
    pub fn meaning(&self) -> Meaning {
        let Some(code) = self.code.as_deref() else { return Meaning::Passing };
        match code {
            "DryRunOperation" => Meaning::WouldWork,
            "IdempotentParameterMismatch" => Meaning::OtherParameters,
            "IdempotentInstanceTerminated" => Meaning::MadeAndGone,
            "IncorrectInstanceState" | "IncorrectState" | "VolumeInUse" => Meaning::WrongState,
            _ if CAPACITY.contains(&code) => Meaning::Capacity,
            _ if DENIED.contains(&code) => Meaning::Denied,
            _ if PASSING.contains(&code) => Meaning::Passing,
            "TargetGroupNotFound" | "LoadBalancerNotFound" | "InvalidTarget" | "InvalidInstance" => {
                Meaning::NotFound
            }
            // `InvalidInstanceID.NotFound`, `InvalidSnapshot.NotFound`, `InvalidAMIID.Malformed` and their kin.
            _ if code.ends_with(".NotFound") || code.ends_with(".Malformed") => Meaning::NotFound,
            _ => Meaning::Invalid,
        }
    }

    /// The IAM action that is missing: the one that AWS names, or the one that was called.
    pub fn missing_action(&self) -> &str {
        let named = self.message.split("is not authorized to perform: ").nth(1);
        named.and_then(|rest| rest.split_whitespace().next()).unwrap_or(self.action)
    }

    /// As an error of the protocol. `what` says what could not be done, to which thing.
    pub fn about(&self, what: &str) -> ProviderError {
        let Self { action, message, .. } = self;
        let code = self.code.as_deref().unwrap_or("no answer");
        let told = format!("{what}: {action} was answered {code}: {message}");
        match self.meaning() {
            Meaning::NotFound => ProviderError::lasting(ErrorCode::NotFound, told),
            Meaning::Capacity => ProviderError::passing(ErrorCode::Exhausted, told),
            Meaning::Denied => {
                let missing = self.missing_action();
                let told = format!("{what}: the IAM action {missing} is missing ({code}: {message})");
                ProviderError::lasting(ErrorCode::Denied, told)
            }
            Meaning::Passing | Meaning::WrongState => ProviderError::passing(ErrorCode::Unavailable, told),
            Meaning::OtherParameters => ProviderError::lasting(ErrorCode::AlreadyExists, told),
            Meaning::MadeAndGone | Meaning::Invalid => ProviderError::lasting(ErrorCode::Invalid, told),
            Meaning::WouldWork => ProviderError::lasting(ErrorCode::Internal, told),
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, message: &str) -> Refusal {
        Refusal { action: "ec2:RunInstances", code: Some(code.into()), message: message.into() }
    }

    #[test]
    fn the_missing_action_is_the_one_that_aws_names() {
        let message = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not \
                       authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/node because no \
                       identity-based policy allows the iam:PassRole action";
        let error = refusal("UnauthorizedOperation", message).about("a machine can't be made");
        assert_eq!(error.code, ErrorCode::Denied);
        assert!(error.message.contains("the IAM action iam:PassRole is missing"), "{}", error.message);
        let unnamed = refusal("UnauthorizedOperation", "You are not authorized to perform this operation.");
        assert_eq!(unnamed.missing_action(), "ec2:RunInstances");
    }

    #[test]
    fn no_answer_may_pass_and_a_quota_is_exhausted() {
        let none = Refusal { action: "ec2:RunInstances", code: None, message: "connection refused".into() };
        assert_eq!(none.meaning(), Meaning::Passing);
        assert_eq!(refusal("VcpuLimitExceeded", "").about("x").code, ErrorCode::Exhausted);
        assert_eq!(refusal("InvalidInstanceID.Malformed", "").meaning(), Meaning::NotFound);
        assert_eq!(refusal("InvalidParameterValue", "").meaning(), Meaning::Invalid);
    }
}
