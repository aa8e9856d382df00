//! The two token endpoints of a self-built app. Failures are HTTP 200 with a code, as the real one
//! has them. Knows no people.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::faults::{AfterRevocation, Faults};
use super::gateway::Endpoint;
use super::reply::{Refused, Reply};
use super::tokens::Rules;
use super::world::{World, lock};

/// Gives a token for an app ID and its secret; says, too, whose app it is if anyone's.
pub(super) fn issue(
    world: &World,
    faults: &Faults,
    endpoint: Endpoint,
    body: &[u8],
) -> (Option<usize>, Result<Reply, Refused>) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return (None, Err(Refused::new(400, 9499, "Bad Request")));
    };
    let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (app_id, secret) = (text("app_id"), text("app_secret"));
    let found = world
        .tenants
        .iter()
        .position(|tenant| tenant.app.app_id == app_id);
    let Some((index, tenant)) = found.and_then(|index| Some((index, world.tenants.get(index)?)))
    else {
        let body = json!({"code": 10003, "data": {}, "msg": "invalid param"});
        return (None, Ok(Reply::json(StatusCode::OK, 10003, &body)));
    };
    let valid = faults
        .secrets
        .get(&tenant.app.name)
        .unwrap_or(&tenant.app.app_secret);
    if secret != valid {
        let code = faults.wrong_secret_code;
        let msg = if code == 10015 {
            "wrong app secret"
        } else {
            "app secret invalid"
        };
        let body = json!({"code": code, "msg": msg});
        return (Some(index), Ok(Reply::json(StatusCode::OK, code, &body)));
    }
    let rules = Rules {
        life_seconds: faults.token_life_seconds,
        renew_below_seconds: faults.token_renew_below_seconds,
        same_after_revocation: faults.token_after_revocation == AfterRevocation::Same,
    };
    let (token, left) = lock(&world.tokens).issue(index, world.clock.shown(), rules);
    let mut body = json!({
        "code": 0,
        "msg": "ok",
        "tenant_access_token": token,
        "expire": left,
    });
    if endpoint == Endpoint::AppToken
        && let Some(body) = body.as_object_mut()
    {
        let app_token = token.replacen("t-", "a-", 1);
        body.insert("app_access_token".to_owned(), Value::String(app_token));
    }
    (Some(index), Ok(Reply::json(StatusCode::OK, 0, &body)))
}
