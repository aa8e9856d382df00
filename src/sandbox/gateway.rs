//! What stands before every call of the API, in Feishu's order: path, token, app, scope, quota.
//! Knows nothing of a call's parameters.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use serde_json::json;

use super::faults::Faults;
use super::quota::Limits;
use super::reply::Refused;
use super::world::{SCOPE_CALL, Tenant, World, lock};

/// The code of a call that is over the quota, and what it says.
pub(super) const RATE_LIMITED: i64 = 99_991_400;
pub(super) const RATE_LIMITED_MSG: &str = "request trigger frequency limit";
/// The code of a bad token, and what it says.
pub(super) const TOKEN_REJECTED: i64 = 99_991_663;
pub(super) const TOKEN_REJECTED_MSG: &str =
    "Invalid access token for authorization. Please make a request with token attached.";

/// The addresses that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    TenantToken,
    AppToken,
    BatchGetId,
    Unknown,
}

impl Endpoint {
    /// A wrong method is as unknown as a wrong path: that is how the real one answers.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        if method != Method::POST {
            return Self::Unknown;
        }
        match path.strip_suffix('/').unwrap_or(path) {
            "/open-apis/auth/v3/tenant_access_token/internal" => Self::TenantToken,
            "/open-apis/auth/v3/app_access_token/internal" => Self::AppToken,
            "/open-apis/contact/v3/users/batch_get_id" => Self::BatchGetId,
            _ => Self::Unknown,
        }
    }

    pub(super) fn is_token(self) -> bool {
        matches!(self, Self::TenantToken | Self::AppToken)
    }

    /// What statistics and history call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TenantToken => "tenant_access_token",
            Self::AppToken => "app_access_token",
            Self::BatchGetId => "batch_get_id",
            Self::Unknown => "unknown",
        }
    }
}

/// Whose call it is, if the token tells, and whether it may go on. Counts it in the quota.
pub(super) fn admit(
    world: &World,
    faults: &Faults,
    headers: &HeaderMap,
) -> (Option<usize>, Result<(), Refused>) {
    let index = match authenticate(world, faults, headers) {
        Ok(index) => index,
        Err(refused) => return (None, Err(refused)),
    };
    let Some(tenant) = world.tenants.get(index) else {
        return (None, Err(rejected(faults)));
    };
    let rate = || rate(world, faults, index);
    let admitted = app(faults, tenant).and_then(|()| {
        if faults.quota_before_scope {
            rate()?;
            scope(faults, tenant)
        } else {
            scope(faults, tenant)?;
            rate()
        }
    });
    (Some(index), admitted)
}

fn authenticate(world: &World, faults: &Faults, headers: &HeaderMap) -> Result<usize, Refused> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("Bearer "))
        .map(str::trim)
        .filter(|token| !token.is_empty());
    let Some(token) = bearer else {
        return Err(Refused::new(
            400,
            99_991_661,
            "Missing access token for authorization. Please make a request with token attached.",
        ));
    };
    if token.starts_with("t-") {
        let found = lock(&world.tokens).check(token, world.clock.shown());
        return found.ok_or_else(|| rejected(faults));
    }
    if token.starts_with("eyJ") || token.starts_with("u-") {
        return Err(Refused::new(400, 99_991_668, TOKEN_REJECTED_MSG));
    }
    let msg = "Invalid access token for authorization. The token must start with t- or u-.";
    Err(Refused::new(400, 99_991_671, msg))
}

fn rejected(faults: &Faults) -> Refused {
    Refused::new(
        faults.token_rejected_status,
        TOKEN_REJECTED,
        TOKEN_REJECTED_MSG,
    )
}

/// The troubles of an app as a whole.
fn app(faults: &Faults, tenant: &Tenant) -> Result<(), Refused> {
    if !faults.concern(Some(&tenant.app.name)) {
        return Ok(());
    }
    let (code, msg) = if faults.ip_denied {
        (99_991_401, "ip 127.0.0.1 is denied by app setting")
    } else if faults.app_disabled {
        (99_991_662, "app not in use")
    } else if faults.quota_month_spent {
        (99_991_403, "This month's API call quota has been exceeded")
    } else {
        return Ok(());
    };
    Err(Refused::new(faults.gateway_status, code, msg))
}

fn scope(faults: &Faults, tenant: &Tenant) -> Result<(), Refused> {
    let scopes = faults.scopes(&tenant.app.name, tenant.scopes);
    if scopes.contains(&SCOPE_CALL) {
        return Ok(());
    }
    let link = format!(
        "https://open.feishu.cn/app/{}/auth?q={SCOPE_CALL}&op_from=openapi&token_type=tenant",
        tenant.app.app_id
    );
    let msg = format!(
        "Access denied. One of the following scopes is required: [{SCOPE_CALL}].\
         应用尚未开通所需的应用身份权限：[{SCOPE_CALL}]，点击链接申请并开通任一权限即可：{link}"
    );
    let refused = Refused::new(400, 99_991_672, msg)
        .with(
            "message",
            json!(
                "Refer to the documentation to fix the error: https://open.feishu.cn/document/\
                 trouble-shooting/how-to-fix-the-99991672-error"
            ),
        )
        .with(
            "permission_violations",
            json!([{"type": "action_scope_required", "subject": SCOPE_CALL}]),
        )
        .with(
            "helps",
            json!([{"url": link, "description": "申请权限 (request the scope)"}]),
        );
    Err(refused)
}

fn rate(world: &World, faults: &Faults, tenant: usize) -> Result<(), Refused> {
    if !faults.quota_enabled {
        return Ok(());
    }
    let limits = Limits {
        per_second: faults.quota_per_second,
        per_minute: faults.quota_per_minute,
        form: faults.quota_form,
    };
    let admitted = {
        let mut quota = lock(&world.quota);
        // Read under the lock: arrivals are counted in order.
        quota.admit(tenant, world.clock.real(), limits)
    };
    admitted.map_err(|refusal| {
        Refused::new(faults.quota_status, RATE_LIMITED, RATE_LIMITED_MSG)
            .rate(refusal.limit, refusal.reset_seconds)
    })
}
