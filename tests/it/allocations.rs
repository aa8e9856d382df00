//! What an answer from memory costs in allocations, below tonic's own: whoever adds one there adds it
//! to almost every call.

#![expect(clippy::panic, reason = "tests")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use feishu_id::{
    backoff::random,
    batch::{BatchSettings, Batcher},
    cache::{Cache, Ttls},
    callers::{CallerSettings, Callers, Entered, KeyHash, Proof, Rate, Rights, Tenants},
    directory::{Directory, DirectoryError, LookupAnswer, LookupBatch},
    grpc::{Identity, Limits},
    identity::{Person, UserIdType},
    memory::Memory,
    metrics::{Identifiers, Waited},
    pb::identity::{
        Identifier, Outcome, ResolveUserIdsRequest, ResolveUserIdsStreamRequest, identifier::Kind,
        identity_service_server::IdentityService,
        resolve_user_ids_stream_response::Result as Answer,
    },
    quota::{Limit, Quota},
    resolver::{Resolver, Tenant},
    shutdown::Shutdown,
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use http_body_util::Full;
use prost::Message as _;
use tonic::{Request, Streaming, codec::Codec as _};
use tonic_prost::ProstCodec;

/// The bound for one identifier: the list of answers, the ID in it, and the future's own box; one to
/// spare.
const MOST: u64 = 4;

/// The bound for a batch of one on a stream: what is read (the identifier and the list it is in), the list
/// of answers and the ID.
const MOST_OF_A_BATCH: u64 = 4;

/// Knows everybody.
struct Everybody;

impl Directory for Everybody {
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        async {
            let person = Person {
                id: "u-12345".to_owned(),
                status: None,
            };
            Ok(LookupAnswer {
                asked_at: SystemTime::UNIX_EPOCH,
                people: batch
                    .keys()
                    .map(|key| (key.clone(), vec![person.clone()]))
                    .collect(),
            })
        }
        .boxed()
    }
}

fn service(callers: Callers) -> Identity {
    let limit = Limit {
        limit: 50,
        length: Duration::from_secs(1),
    };
    let settings = BatchSettings {
        tenant: "acme".to_owned(),
        max_in_flight: 16,
        max_queue: 1000,
        random,
        waited: Waited::default(),
    };
    let batcher = Batcher::new(
        Arc::new(Everybody),
        Arc::new(Quota::new(&[limit])),
        settings,
    );
    let hour = Duration::from_hours(1);
    let ttls = Ttls {
        found: hour,
        negative: hour,
        serve_stale: hour,
    };
    let tenant = Tenant::new(
        0,
        batcher,
        Arc::new(Cache::new(1000, ttls, random)),
        None,
        Identifiers::default(),
    );
    let tenants = BTreeMap::from([("acme".to_owned(), tenant)]);
    let resolver = Resolver::new(tenants, Some("acme".to_owned()));
    let limits = Limits {
        max_identifiers: 1000,
        max_in_flight_batches: 16,
        memory: Memory::new(1 << 20),
    };
    Identity::new(Arc::new(resolver), callers, limits, Shutdown::default())
}

fn request(kinds: Vec<Kind>) -> Request<ResolveUserIdsRequest> {
    let identifiers = kinds
        .into_iter()
        .map(|kind| Identifier { kind: Some(kind) });
    Request::new(ResolveUserIdsRequest {
        identifiers: identifiers.collect(),
        ..ResolveUserIdsRequest::default()
    })
}

/// A server with a caller, and what the gate puts into this caller's requests.
fn known() -> (Callers, Proof) {
    let callers = Callers::default();
    let rights = Rights {
        tenants: Tenants::These(["acme".to_owned()].into()),
        user_id_types: vec![UserIdType::UserId],
        fresh: false,
        admin: false,
    };
    callers.replace(vec![CallerSettings {
        name: "billing".to_owned(),
        key_hashes: vec![KeyHash::of(b"key")],
        certificate_names: Vec::new(),
        rights,
        rate: Some(Rate::per_second(1_000_000)),
    }]);
    let proof = Proof {
        key: Some(KeyHash::of(b"key")),
        certificate: None,
    };
    (callers, proof)
}

#[tokio::test]
async fn an_answer_from_memory_takes_no_more_than_four() {
    let callers = Callers::default();
    let entered = callers.visitor(None, None).enter(|| Ok(None)).unwrap();
    measure(service(callers), by(&entered)).await;
}

#[tokio::test]
async fn for_a_known_caller_it_takes_no_more() {
    let (callers, proof) = known();
    let entered = callers.enter(proof, None).unwrap();
    measure(service(callers), by(&entered)).await;
}

/// Requests as they come from the server, which has found out whose they are.
fn by(entered: &Entered) -> impl Fn(Vec<Kind>) -> Request<ResolveUserIdsRequest> {
    move |who| {
        let mut request = request(who);
        request.extensions_mut().insert(entered.clone());
        request
    }
}

#[tokio::test]
async fn to_know_somebody_again_takes_none() {
    let (callers, _) = known();
    let visitor = callers.visitor(None, None);
    assert!(visitor.enter(|| Ok(Some(KeyHash::of(b"key")))).is_ok());
    let counted = allocation_counter::measure(|| {
        assert!(visitor.enter(|| Ok(Some(KeyHash::of(b"key")))).is_ok());
    });
    assert_eq!(counted.count_total, 0);
}

async fn measure(service: Identity, request: impl Fn(Vec<Kind>) -> Request<ResolveUserIdsRequest>) {
    let email = |n: usize| Kind::Email(format!("zhang.san{n}@example.com"));
    let mobile = |n: usize| Kind::Mobile(format!("+861380013{n:04}"));
    let everybody = || (0..100).flat_map(|n| [email(n), mobile(n)]).collect();
    service
        .resolve_user_ids(request(everybody()))
        .await
        .unwrap();
    for (who, most) in [
        (vec![email(7)], MOST),
        (vec![mobile(7)], MOST),
        // Each further identifier is one: its ID.
        (everybody(), MOST + 199),
    ] {
        let count = who.len();
        let request = request(who);
        let mut answered = None;
        let counted = allocation_counter::measure(|| {
            answered = service.resolve_user_ids(request).now_or_never();
        });
        // It waits for nobody.
        let response = answered.unwrap().unwrap().into_inner();
        assert_eq!(response.resolutions.len(), count);
        let all_resolved = response
            .resolutions
            .iter()
            .all(|resolution| resolution.outcome() == Outcome::Resolved);
        assert!(all_resolved);
        assert!(counted.count_total <= most, "{count}: {counted:?}");
        assert!(counted.count_total > 0, "nothing was counted");
    }
}

/// So many batches of one person each, as they come over the wire.
fn batches(count: u64) -> Streaming<ResolveUserIdsStreamRequest> {
    let mut wire = BytesMut::new();
    for batch_id in 0..count {
        let who = Kind::Email("zhang.san@example.com".to_owned());
        let batch = ResolveUserIdsStreamRequest {
            batch_id,
            request: Some(request(vec![who]).into_inner()),
            timeout: None,
        }
        .encode_to_vec();
        wire.extend_from_slice(&[0]);
        wire.extend_from_slice(&u32::try_from(batch.len()).unwrap().to_be_bytes());
        wire.extend_from_slice(&batch);
    }
    let mut codec = ProstCodec::<(), ResolveUserIdsStreamRequest>::default();
    Streaming::new_request(codec.decoder(), Full::new(wire.freeze()), None, None)
}

#[tokio::test]
async fn a_batch_of_one_on_a_stream_takes_no_more_than_four() {
    let service = service(Callers::default());
    let stream = service.resolve_user_ids_stream(Request::new(batches(100)));
    let mut answers = stream.await.unwrap().into_inner();
    // The first 16, which are read together, wait for one call.
    for _ in 0..20 {
        answers.next().await.unwrap().unwrap();
    }
    for _ in 20..100 {
        let mut answered = None;
        let counted = allocation_counter::measure(|| answered = answers.next().now_or_never());
        let answer = answered.unwrap().unwrap().unwrap();
        let Some(Answer::Response(response)) = answer.result else {
            panic!("{answer:?}");
        };
        assert_eq!(response.resolutions[0].outcome(), Outcome::Resolved);
        assert!(counted.count_total <= MOST_OF_A_BATCH, "{counted:?}");
        assert!(counted.count_total > 0, "nothing was counted");
    }
    assert!(answers.next().await.is_none());
}
