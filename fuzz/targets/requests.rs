//! Requests as they come over the wire: every one gets a status, every identifier an outcome in its
//! place, and no error repeats anybody.
#![no_main]

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use feishu_id::{
    backoff::random,
    batch::{BatchSettings, Batcher},
    cache::{Cache, Ttls},
    callers::Callers,
    clock,
    directory::{Directory, DirectoryError, DirectoryErrorKind, LookupAnswer, LookupBatch},
    grpc::{Identity, Limits},
    identity::{Identifier, Person},
    memory::Memory,
    metrics::{Identifiers, Registry, Waited},
    pb::identity::{
        Outcome, ResolveUserIdsRequest, ResolveUserIdsResponse, ResolveUserIdsStreamResponse,
        resolve_user_ids_stream_response::Result as Answer,
    },
    quota::{Limit, Quota},
    resolver::{Resolver, Tenant},
    shutdown::Shutdown,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use http_body_util::{BodyExt as _, Full};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};
use tonic::{Status, body::Body, codegen::Service as _};

const MAX_IDENTIFIERS: usize = 20;

thread_local! {
    /// Under virtual time: what would wait passes at once.
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
}

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (stream, framed, bytes) = input;
    // A whole message in its frame, or what pretends to be frames.
    let body = if framed {
        frame(bytes)
    } else {
        Bytes::copy_from_slice(bytes)
    };
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let answer = call(stream, body).await;
            if stream {
                check_stream(&answer);
            } else {
                check_unary(framed.then_some(bytes), &answer);
            }
        });
    });
});

struct Answered {
    status: Status,
    messages: Vec<Bytes>,
}

async fn call(stream: bool, body: Bytes) -> Answered {
    let limits = Limits {
        max_identifiers: MAX_IDENTIFIERS,
        max_in_flight_batches: 4,
        memory: Memory::new(64 * 1024 * 1024),
    };
    let mut service =
        Identity::new(resolver(), Callers::default(), limits, Shutdown::default()).server();
    let path = if stream {
        "ResolveUserIdsStream"
    } else {
        "ResolveUserIds"
    };
    let request = http::Request::post(format!("/feishu.identity.v1.IdentityService/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .unwrap();
    let response = service.call(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let (head, body) = response.into_parts();
    // Bounded, in virtual time, whatever was asked for.
    let collected = tokio::time::timeout(Duration::from_hours(1), body.collect()).await;
    let collected = collected.unwrap().unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&head.headers)
        .or_else(|| Status::from_header_map(&trailers))
        .unwrap();
    let mut messages = Vec::new();
    let mut rest = collected.to_bytes();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest[1..].first_chunk().unwrap());
        assert_eq!(rest[0], 0, "nobody said that it may be compressed");
        let end = 5 + usize::try_from(length).unwrap();
        messages.push(rest.slice(5..end));
        rest = rest.slice(end..);
    }
    Answered { status, messages }
}

fn check_unary(message: Option<&[u8]>, answer: &Answered) {
    let asked = message.map(ResolveUserIdsRequest::decode);
    match asked {
        Some(Ok(asked)) => {
            let count = asked.identifiers.len();
            if answer.status.code() != tonic::Code::Ok {
                is_silent(answer.status.message(), &asked);
                let details = String::from_utf8_lossy(answer.status.details()).into_owned();
                is_silent(&details, &asked);
                return;
            }
            assert!((1..=MAX_IDENTIFIERS).contains(&count));
            let [response] = &answer.messages[..] else {
                panic!("{} messages", answer.messages.len());
            };
            let response = ResolveUserIdsResponse::decode(response.clone()).unwrap();
            check_response(&response, Some(&asked));
        }
        // Not protobuf: told so.
        Some(Err(_)) => assert_ne!(answer.status.code(), tonic::Code::Ok),
        None => {}
    }
}

fn check_stream(answer: &Answered) {
    for message in &answer.messages {
        let answer = ResolveUserIdsStreamResponse::decode(message.clone()).unwrap();
        match answer.result.unwrap() {
            Answer::Response(response) => check_response(&response, None),
            Answer::Error(error) => assert!(error.reason != 0 && !error.message.is_empty()),
        }
    }
}

fn check_response(response: &ResolveUserIdsResponse, asked: Option<&ResolveUserIdsRequest>) {
    if let Some(asked) = asked {
        let echoed = response
            .resolutions
            .iter()
            .map(|r| r.identifier.clone().unwrap_or_default());
        assert_eq!(echoed.collect::<Vec<_>>(), asked.identifiers);
    }
    for resolution in &response.resolutions {
        let outcome = resolution.outcome();
        assert_ne!(outcome, Outcome::Unspecified);
        let explained = resolution
            .error
            .as_ref()
            .is_some_and(|error| error.reason != 0);
        assert!(explained || !matches!(outcome, Outcome::Invalid | Outcome::Failed));
        assert_eq!(outcome == Outcome::Resolved, resolution.user.is_some());
        assert_eq!(
            outcome == Outcome::Ambiguous,
            !resolution.candidates.is_empty()
        );
    }
}

fn is_silent(told: &str, asked: &ResolveUserIdsRequest) {
    use feishu_id::pb::identity::identifier::Kind;
    for identifier in &asked.identifiers {
        if let Some(Kind::Email(text) | Kind::Mobile(text)) = &identifier.kind {
            // What is shorter may stand there by chance.
            assert!(text.len() < 12 || !text.contains('@') || !told.contains(text.as_str()));
        }
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

fn resolver() -> Arc<Resolver> {
    let registry = Registry::new();
    let limits = [(1000, 1), (10_000, 60)].map(|(limit, seconds)| Limit {
        limit,
        length: Duration::from_secs(seconds),
    });
    let settings = BatchSettings {
        tenant: "acme".to_owned(),
        max_in_flight: 4,
        max_queue: 1000,
        random,
        waited: Waited::new(&registry, "acme"),
    };
    let batcher = Batcher::new(Arc::new(Everybody), Arc::new(Quota::new(&limits)), settings);
    let ttls = Ttls {
        found: Duration::from_hours(12),
        negative: Duration::from_mins(1),
        serve_stale: Duration::from_hours(24),
    };
    let cache = Arc::new(Cache::new(1000, ttls, random));
    let identifiers = Identifiers::new(&registry, "acme");
    let tenant = Tenant::new(0, batcher, cache, None, identifiers);
    let tenants = BTreeMap::from([("acme".to_owned(), tenant)]);
    Arc::new(Resolver::new(tenants, Some("acme".to_owned())))
}

/// Knows everybody, by their first letter or last digit: one, nobody, two, or trouble.
struct Everybody;

impl Directory for Everybody {
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        let mut people = HashMap::new();
        for key in batch.keys() {
            let letter = match key {
                Identifier::Email(email) => email.as_str().bytes().next(),
                Identifier::Mobile(mobile) => mobile.as_str().bytes().last(),
            };
            let count = match letter.unwrap_or_default() {
                b'n' | b'0' => 0,
                b't' | b'2' => 2,
                b'x' | b'9' => {
                    let error = DirectoryError::new(DirectoryErrorKind::Unavailable, "trouble");
                    return std::future::ready(Err(error)).boxed();
                }
                b'r' | b'8' => {
                    let culprits = vec![key.clone()];
                    let kind = DirectoryErrorKind::ContentRefused { culprits };
                    let error = DirectoryError::new(kind, "refused");
                    return std::future::ready(Err(error)).boxed();
                }
                _ => 1,
            };
            let person = |n| Person {
                id: format!("{n} {}", key.as_str()),
                status: None,
            };
            people.insert(key.clone(), (0..count).map(person).collect());
        }
        let answer = LookupAnswer {
            asked_at: clock::wall_now(),
            people,
        };
        std::future::ready(Ok(answer)).boxed()
    }
}
