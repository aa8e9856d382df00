//! Who may call, and what they may ask for.

mod admin;
mod doors;
mod rate;
mod rights;
mod strangers;

use feishu_id::{
    callers::KeyHash,
    config::{CallerConfig, IdKind},
    pb::identity::{Identifier, ResolveUserIdsRequest, ResolveUserIdsStreamRequest, UserIdType},
};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request, Status};

use super::harness::{Service, reason, relaxed};

/// A caller who may ask about these tenants, and knows the key that is called as they are.
pub fn caller(name: &str, tenants: &[&str]) -> CallerConfig {
    CallerConfig {
        name: name.to_owned(),
        key_hashes: vec![hash(name)],
        certificate_identity: Vec::new(),
        tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
        user_id_types: vec![IdKind::UserId, IdKind::OpenId, IdKind::UnionId],
        fresh: false,
        admin: false,
        identifiers_per_second: None,
    }
}

fn hash(key: &str) -> [u8; 32] {
    let hash: [u8; 32] = Sha256::digest(key).into();
    assert!(KeyHash::from_bytes(hash) == KeyHash::of(key.as_bytes()));
    hash
}

pub async fn start(callers: Vec<CallerConfig>) -> Service {
    Service::start_with(|config| config.callers = callers).await
}

/// The message with the key.
pub fn by<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// A request about people of this tenant who may be remembered.
pub fn about(tenant: &str, who: Vec<Identifier>) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        ..relaxed(who)
    }
}

pub fn of_kinds(kinds: &[UserIdType], request: ResolveUserIdsRequest) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        user_id_types: kinds.iter().map(|kind| (*kind).into()).collect(),
        ..request
    }
}

pub fn batch(batch_id: u64, request: ResolveUserIdsRequest) -> ResolveUserIdsStreamRequest {
    ResolveUserIdsStreamRequest {
        batch_id,
        request: Some(request),
        timeout: None,
    }
}

#[track_caller]
pub fn is_denied(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(reason(status), "PERMISSION_DENIED");
    assert_eq!(pushback(status), Some(-1));
}

#[track_caller]
pub fn is_unknown(status: &Status) {
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(reason(status), "UNAUTHENTICATED");
    assert_eq!(pushback(status), Some(-1));
}

pub fn pushback(status: &Status) -> Option<i64> {
    let value = status.metadata().get("grpc-retry-pushback-ms")?;
    value.to_str().unwrap().parse().ok()
}
