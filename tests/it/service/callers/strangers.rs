//! A caller of one tenant who asks about another learns nothing of it, not even whether it is there:
//! ten thousand random tries, by every door, each beside the same one about a tenant that is not.

use std::time::Duration;

use feishu_id::pb::{
    health::{HealthCheckRequest, health_client::HealthClient},
    identity::{
        FlushCacheRequest, GetStatusRequest, Identifier, IdentifierList, ResolveUserIdsRequest,
        flush_cache_request::Target,
    },
};
use tokio::time::Instant;
use tonic::{Request, Status, metadata::KeyAndValueRef};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use super::{about, batch, by, caller, start};
use crate::service::harness::{Service, email, mobile, people};

const TRIES: usize = 10_000;
/// The caller's own tenant is globex; this one is there, and the default.
const THERE: &str = "acme";
/// As long as the other's, so that it can take its place in whatever comes back.
const NOT_THERE: &str = "acmf";

/// One try, about whichever tenant.
#[derive(Clone, Debug)]
struct Try {
    door: Door,
    /// How the tenant's name is written.
    spelling: Spelling,
    headers: Vec<&'static str>,
    deadline: Option<Duration>,
}

#[derive(Clone)]
enum Door {
    Unary(ResolveUserIdsRequest),
    /// As the second batch of two, the others being the caller's own.
    Stream(ResolveUserIdsRequest),
    Flush(Target, bool),
    Status,
    Health,
    Reflection,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unary(_) => "unary",
            Self::Stream(_) => "stream",
            Self::Flush(..) => "flush",
            Self::Status => "status",
            Self::Health => "health",
            Self::Reflection => "reflection",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Plain,
    Capitals,
    BlankBefore,
    BlankAfter,
    Longer,
    Wide,
    WithNul,
    /// The empty name, which means the default tenant.
    Default,
}

impl Spelling {
    fn of(self, tenant: &str) -> String {
        match self {
            Self::Plain => tenant.to_owned(),
            Self::Capitals => tenant.to_uppercase(),
            Self::BlankBefore => format!(" {tenant}"),
            Self::BlankAfter => format!("{tenant} "),
            Self::Longer => format!("{tenant}_"),
            Self::Wide => format!("{tenant}\u{200b}"),
            Self::WithNul => format!("{tenant}\0"),
            Self::Default => String::new(),
        }
    }
}

/// All that a caller can see of an answer. Everything else is the same text, since it is compared.
#[derive(Debug, PartialEq, Eq)]
struct Seen(Vec<String>);

fn draw(random: &mut fastrand::Rng) -> Try {
    let spellings = [
        Spelling::Plain,
        Spelling::Plain,
        Spelling::Plain,
        Spelling::Default,
        Spelling::Capitals,
        Spelling::BlankBefore,
        Spelling::BlankAfter,
        Spelling::Longer,
        Spelling::Wide,
        Spelling::WithNul,
    ];
    let door = match random.u32(0..10) {
        0..=3 => Door::Unary(question(random)),
        4..=5 => Door::Stream(question(random)),
        6 => Door::Status,
        7 => Door::Health,
        8 if random.bool() => Door::Reflection,
        _ => {
            let target = match random.u32(0..3) {
                0 => Target::Identifiers(IdentifierList {
                    identifiers: whom(random),
                }),
                1 => Target::Everybody(random.u32(0..8) > 0),
                _ => Target::AllTenants(random.u32(0..8) > 0),
            };
            Door::Flush(target, random.bool())
        }
    };
    let headers = [
        "x-tenant",
        "tenant",
        "x-request-id",
        "x-forwarded-for",
        "host",
    ];
    Try {
        door,
        spelling: spellings[random.usize(0..spellings.len())],
        headers: headers
            .into_iter()
            .filter(|_| random.u32(0..4) == 0)
            .collect(),
        deadline: (random.u32(0..8) == 0).then(|| Duration::from_secs(random.u64(5..60))),
    }
}

fn question(random: &mut fastrand::Rng) -> ResolveUserIdsRequest {
    let kinds = 0..random.usize(0..4);
    ResolveUserIdsRequest {
        tenant: String::new(),
        // 0 is no kind.
        user_id_types: kinds
            .map(|_| random.i32(0..4).max(random.i32(0..2)))
            .collect(),
        identifiers: whom(random),
        include_resigned: random.bool(),
        max_age: random.bool().then(|| prost_types::Duration {
            seconds: [-1, 0, 1, 59, 60, 3600, i64::MAX][random.usize(0..7)],
            nanos: random.i32(0..2),
        }),
    }
}

/// People who are remembered, people who are not, and nobody at all.
fn whom(random: &mut fastrand::Rng) -> Vec<Identifier> {
    let count = [0, 1, 1, 1, 3, 20][random.usize(0..6)];
    let one = |_| match random.u32(0..6) {
        0 => email("nonsense"),
        1 => mobile("12"),
        2 => Identifier { kind: None },
        _ => people(0..200).swap_remove(random.usize(0..200)),
    };
    (0..count).map(one).collect()
}

/// The message as this caller would send it.
fn request<T>(one: &Try, tenant: &str, message: T) -> Request<T> {
    let mut request = by("billing", message);
    for name in &one.headers {
        let value = tenant.parse().unwrap();
        request.metadata_mut().insert(*name, value);
    }
    if let Some(deadline) = one.deadline {
        request.set_timeout(deadline);
    }
    request
}

/// What comes back, and whether that is an answer about somebody.
async fn ask(service: &Service, one: &Try, tenant: &str) -> (Seen, bool) {
    let name = one.spelling.of(tenant);
    let mut seen = Vec::new();
    let mut is_answer = false;
    match &one.door {
        Door::Unary(question) => {
            let question = ResolveUserIdsRequest {
                tenant: name,
                ..question.clone()
            };
            let answer = service
                .client()
                .resolve_user_ids(request(one, tenant, question))
                .await;
            is_answer = answer.is_ok();
            seen.push(answer.map_or_else(|status| all_of(&status), |_| "answered".to_owned()));
        }
        Door::Stream(question) => {
            let question = ResolveUserIdsRequest {
                tenant: name,
                ..question.clone()
            };
            let own = || about("globex", vec![email("nonsense")]);
            let batches = [batch(1, own()), batch(2, question), batch(3, own())];
            let stream = request(one, tenant, tokio_stream::iter(batches));
            let answers = service.client().resolve_user_ids_stream(stream).await;
            let mut answers = answers.unwrap().into_inner();
            while let Some(answer) = answers.message().await.unwrap() {
                seen.push(shown(&answer));
                is_answer |= answer.batch_id == 2 && shown(&answer).contains("answered");
            }
        }
        Door::Flush(target, negative_only) => {
            let flush = FlushCacheRequest {
                tenant: name,
                target: Some(target.clone()),
                negative_only: *negative_only,
            };
            let answer = service
                .admin()
                .flush_cache(request(one, tenant, flush))
                .await;
            is_answer = answer.is_ok();
            seen.push(answer.map_or_else(|status| all_of(&status), |told| format!("{told:?}")));
        }
        Door::Status => {
            let asked = GetStatusRequest {
                tenant: name.clone(),
            };
            let answer = service
                .admin()
                .get_status(request(one, tenant, asked))
                .await;
            match answer {
                // The empty name means all of one's own.
                Ok(told) if name.is_empty() => {
                    let told = told.into_inner();
                    let names: Vec<_> = told.tenants.iter().map(|t| &*t.name).collect();
                    assert_eq!(names, ["globex"]);
                    assert_eq!(told.cache.unwrap().entries, told.tenants[0].entries);
                }
                Ok(_) => is_answer = true,
                Err(status) => seen.push(all_of(&status)),
            }
        }
        Door::Health => {
            let asked = HealthCheckRequest { service: name };
            let mut health = HealthClient::new(service.channel());
            let answer = health.check(request(one, tenant, asked)).await;
            seen.push(answer.map_or_else(
                |status| all_of(&status),
                |told| told.into_inner().status().as_str_name().to_owned(),
            ));
        }
        Door::Reflection => {
            let asked = ServerReflectionRequest {
                host: name.clone(),
                message_request: Some(MessageRequest::FileContainingSymbol(name)),
            };
            let mut reflection = ServerReflectionClient::new(service.channel());
            let asked = request(one, tenant, tokio_stream::iter([asked]));
            let answers = reflection.server_reflection_info(asked).await.unwrap();
            let answer = answers.into_inner().message().await;
            seen.push(match answer {
                Ok(told) => format!("{told:?}"),
                Err(status) => all_of(&status),
            });
        }
    }
    (Seen(seen), is_answer)
}

fn shown(answer: &feishu_id::pb::identity::ResolveUserIdsStreamResponse) -> String {
    use feishu_id::pb::identity::resolve_user_ids_stream_response::Result as Answer;
    match &answer.result {
        Some(Answer::Response(response)) => {
            format!(
                "{} answered {}",
                answer.batch_id,
                response.resolutions.len()
            )
        }
        Some(Answer::Error(error)) => format!("{} {error:?}", answer.batch_id),
        None => "nothing".to_owned(),
    }
}

/// Code, message, details, and everything in headers and trailers.
fn all_of(status: &Status) -> String {
    // An id of the server's own making is another one each time.
    let is_made = |text: &str| {
        text.starts_with("x-request-id") && !text.contains(THERE) && !text.contains(NOT_THERE)
    };
    let mut fields: Vec<_> = status
        .metadata()
        .iter()
        .map(|field| match field {
            KeyAndValueRef::Ascii(name, value) => format!("{name}: {value:?}"),
            KeyAndValueRef::Binary(name, value) => format!("{name}: {value:?}"),
        })
        .filter(|text| !is_made(text))
        .collect();
    fields.sort();
    let details = String::from_utf8_lossy(status.details());
    format!(
        "{:?} {} {details:?} {fields:?}",
        status.code(),
        status.message()
    )
}

/// The same about the other tenant.
fn as_if_there(seen: &Seen) -> Seen {
    let (lower, upper) = (NOT_THERE, NOT_THERE.to_uppercase());
    let rename = |text: &String| {
        text.replace(lower, THERE)
            .replace(&upper, &THERE.to_uppercase())
    };
    Seen(seen.0.iter().map(rename).collect())
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "a figure, for whoever looks")]
async fn ten_thousand_tries_to_learn_of_another_tenant_tell_nothing() {
    let mut billing = caller("billing", &["globex"]);
    (billing.admin, billing.fresh) = (true, true);
    let service = start(vec![billing, caller("all", &["*"])]).await;
    // Half of those who are asked for are remembered.
    let known = by("all", about(THERE, people(0..100)));
    service.client().resolve_user_ids(known).await.unwrap();
    let calls = service.count("batch_get_id_calls").await;

    let mut random = fastrand::Rng::with_seed(6);
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..TRIES {
        let one = draw(&mut random);
        let mut at_once = async |tenant, which: usize| {
            let began = Instant::now();
            let seen = ask(&service, &one, tenant).await;
            times[which].push(began.elapsed());
            seen
        };
        // In turns, so that neither is always the one that finds everything warm.
        let (there, not_there) = if number % 2 == 0 {
            let there = at_once(THERE, 0).await;
            (there, at_once(NOT_THERE, 1).await)
        } else {
            let not_there = at_once(NOT_THERE, 1).await;
            (at_once(THERE, 0).await, not_there)
        };
        assert!(!there.1, "{number}: an answer: {one:?} {there:?}");
        assert_eq!(there.0, as_if_there(&not_there.0), "{number}: {one:?}");
        if one.spelling == Spelling::Default && !one.headers.contains(&"x-request-id") {
            let named = there.0.0.iter().any(|text| text.contains(THERE));
            assert!(!named, "{number}: the default's name: {there:?}");
        }
    }
    assert_eq!(
        service.count("batch_get_id_calls").await,
        calls,
        "nobody was asked"
    );
    // Nor was anything forgotten.
    let again = by("all", about(THERE, people(0..100)));
    service.client().resolve_user_ids(again).await.unwrap();
    assert_eq!(service.count("batch_get_id_calls").await, calls);

    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let [there, not_there] = &mut times;
    let ratio = median(there) / median(not_there);
    println!("{TRIES} tries: 0 answers; median time to that about no tenant {ratio:.3}");
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
}
