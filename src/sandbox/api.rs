//! One call of the simulated API, from its head to its answer. The order is that of a gateway: what
//! the head decides (token, scope, quota) is decided before the body is read, and everything is
//! decided and recorded on arrival; latency and faults only change how the answer travels.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use tokio::time::timeout;

use super::auth;
use super::deliver::Delivery;
use super::faults::{Drawn, Faults, Injected};
use super::gateway::{self, Endpoint, RATE_LIMITED};
use super::lookup::{self, Question};
use super::record::Call;
use super::reply::{Refused, Reply};
use super::world::{World, lock};

/// Largest body that is read, in bytes: 100 identifiers of 254 bytes, forty times over.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a call came to.
struct Outcome {
    tenant: Option<usize>,
    asked: Option<Question>,
    result: Result<Reply, Refused>,
}

/// All addresses of the API: the gateway tells them apart itself, so that unknown ones, too, are
/// recorded.
pub(super) fn router(world: Arc<World>) -> Router {
    Router::new().fallback(answer).with_state(world)
}

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let endpoint = Endpoint::of(&head.method, head.uri.path());
    let faults = world.faults();
    let (tenant, admitted) = if endpoint == Endpoint::BatchGetId {
        gateway::admit(&world, &faults, &head.headers)
    } else {
        (None, Ok(()))
    };
    let at_ms = lock(&world.record).arrive(&world.clock, endpoint, tenant);
    let body = read(body).await;
    let outcome = match endpoint {
        Endpoint::Unknown => Outcome {
            tenant,
            asked: None,
            result: Ok(Reply::not_found()),
        },
        Endpoint::TenantToken | Endpoint::AppToken => issue(&world, &faults, endpoint, body),
        Endpoint::BatchGetId => {
            let question = body.and_then(|body| Question::read(head.uri.query(), &body));
            resolve(&world, &faults, tenant, admitted, question)
        }
    };
    let name = world
        .tenant(outcome.tenant)
        .map(|tenant| tenant.app.name.as_str());
    let drawn = lock(&world.dice).draw(endpoint, name);
    let log_id = world.log_id();
    let reply = outcome
        .result
        .unwrap_or_else(|refused| refused.reply(&log_id));
    // Before the fault, which may hide the refusal or make one up.
    let rate_limited = reply.code == Some(RATE_LIMITED);
    let injected = drawn.injected.as_ref();
    let delivery = Delivery::new(reply, injected, &faults, endpoint, &log_id);
    let call = Call {
        at_ms,
        endpoint,
        tenant: outcome.tenant,
        rate_limited,
        log_id: log_id.clone(),
        ..Call::sketch(outcome.asked, &drawn, &delivery)
    };
    lock(&world.record).add(call);
    tokio::time::sleep(drawn.latency).await;
    delivery.send(&log_id, world.clock.shown()).await
}

async fn read(body: Body) -> Result<Bytes, Refused> {
    let failed = || {
        Refused::new(
            413,
            9499,
            "Bad Request: the body is too large or incomplete",
        )
    };
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        _ => Err(failed()),
    }
}

fn issue(
    world: &World,
    faults: &Faults,
    endpoint: Endpoint,
    body: Result<Bytes, Refused>,
) -> Outcome {
    let (tenant, result) = match body {
        Ok(body) => auth::issue(world, faults, endpoint, &body),
        Err(refused) => (None, Err(refused)),
    };
    Outcome {
        tenant,
        asked: None,
        result,
    }
}

/// The question is read even if the call is refused: the history shows what was asked.
fn resolve(
    world: &World,
    faults: &Faults,
    index: Option<usize>,
    admitted: Result<(), Refused>,
    question: Result<Question, Refused>,
) -> Outcome {
    let (asked, unreadable) = match question {
        Ok(question) => (Some(question), None),
        Err(refused) => (None, Some(refused)),
    };
    let result = admitted.and_then(|()| match (&asked, world.tenant(index)) {
        (Some(question), Some(tenant)) => {
            let seed = lock(&world.dice).seed();
            lookup::answer(tenant, faults, question, seed)
        }
        _ => Err(unreadable.unwrap_or_else(|| Refused::new(500, 2200, "Internal Error"))),
    });
    Outcome {
        tenant: index,
        asked,
        result,
    }
}

impl Call {
    fn sketch(asked: Option<Question>, drawn: &Drawn, delivery: &Delivery) -> Self {
        let kind = asked.as_ref().map(|question| question.kind.name());
        let question = asked.unwrap_or_default();
        let (emails, mobiles) = (question.emails.len(), question.mobiles.len());
        let mut identifiers = question.emails;
        identifiers.extend(question.mobiles);
        Self {
            at_ms: 0,
            endpoint: Endpoint::Unknown,
            tenant: None,
            http_status: delivery.status().map(|status: StatusCode| status.as_u16()),
            code: delivery.code(),
            emails,
            mobiles,
            user_id_type: kind,
            include_resigned: question.include_resigned,
            latency_ms: u64::try_from(drawn.latency.as_millis()).unwrap_or(u64::MAX),
            rate_limited: false,
            fault: drawn.injected.as_ref().map(Injected::name),
            log_id: String::new(),
            identifiers,
        }
    }
}
