//! Calls of every kind, good and bad, with what is marked wherever a caller can put it.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use feishu_id::pb::{
    health::{HealthCheckRequest, HealthListRequest, health_client::HealthClient},
    identity::{
        FlushCacheRequest, GetStatusRequest, Identifier, IdentifierList, Resolution, ResolveError,
        ResolveUserIdsRequest, ResolveUserIdsStreamRequest, UserIdType,
        admin_service_client::AdminServiceClient, flush_cache_request::Target, identifier::Kind,
        identity_service_client::IdentityServiceClient,
        resolve_user_ids_stream_response::Result as Answer,
    },
};
use http::uri::PathAndQuery;
use tokio_stream::StreamExt as _;
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use super::{
    PATIENCE,
    gathered::Gathered,
    marks,
    program::{Server, send},
    world::World,
};

/// Longest that is waited for an answer: above the limits of the configuration, below retries.
const DEADLINE: Duration = Duration::from_millis(800);

pub fn identifier(text: &str) -> Identifier {
    let kind = if text.contains(['@', '＠']) {
        Kind::Email(text.to_owned())
    } else {
        Kind::Mobile(text.to_owned())
    };
    Identifier { kind: Some(kind) }
}

fn request(tenant: &str) -> ResolveUserIdsRequest {
    let texts = marks::identifiers();
    let kinds = [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId];
    ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        user_id_types: kinds.map(i32::from).to_vec(),
        identifiers: texts.iter().map(|text| identifier(text)).collect(),
        include_resigned: true,
        max_age: Some(prost_types::Duration::default()),
    }
}

fn soon<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    let id = "request-1".parse().unwrap();
    request.metadata_mut().insert("x-request-id", id);
    let key = format!("Basic {}", marks::KEY).parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    request
}

fn note_error(error: &ResolveError, told: &mut Gathered) {
    told.add("item's error", error.message.as_str());
    told.add("item's error", error.help_url.as_str());
    told.add("item's error", error.feishu_log_id.as_str());
}

fn note(resolutions: &[Resolution], told: &mut Gathered) {
    told.add("debug", format!("{resolutions:?}"));
    for error in resolutions.iter().filter_map(|one| one.error.as_ref()) {
        note_error(error, told);
    }
}

/// Everybody, of one tenant, anew; and then some as they are remembered, none of whom is malformed, so
/// that the call may fail as a whole.
pub async fn ask(server: &Server, tenant: &str, told: &mut Gathered) {
    let mut client = IdentityServiceClient::new(server.channel().await);
    let anew = request(tenant);
    let remembered = ResolveUserIdsRequest {
        max_age: None,
        user_id_types: Vec::new(),
        identifiers: [marks::EMAIL, marks::NUMBER, marks::NOBODY]
            .map(identifier)
            .to_vec(),
        ..anew.clone()
    };
    for request in [anew, remembered] {
        match client.resolve_user_ids(soon(request)).await {
            Ok(response) => note(&response.into_inner().resolutions, told),
            Err(status) => told.error(&status),
        }
    }
}

/// The same people for a caller with this key.
pub async fn with_key(server: &Server, key: &str, told: &mut Gathered) {
    let mut client = IdentityServiceClient::new(server.channel().await);
    let mut request = soon(request(marks::TENANT));
    let shown = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", shown);
    match client.resolve_user_ids(request).await {
        Ok(response) => note(&response.into_inner().resolutions, told),
        Err(status) => told.error(&status),
    }
}

pub async fn of_every_kind(server: &Server, world: &World, told: &mut Gathered) {
    world.switch_back().await;
    ask(server, marks::TENANT, told).await;
    let channel = server.channel().await;
    let mut client = IdentityServiceClient::new(channel.clone());
    let response = client.resolve_user_ids(soon(request(""))).await.unwrap();
    let resolutions = response.into_inner().resolutions;
    let of = |text: &str| {
        resolutions
            .iter()
            .find(|r| r.identifier == Some(identifier(text)))
    };
    // What is looked for has really come this way.
    let user = of(marks::EMAIL).unwrap().user.clone().unwrap();
    assert_eq!(
        (user.user_id.as_str(), user.union_id.as_str()),
        ("zq7uid1", "on_zq7nid1")
    );
    assert!(!of(marks::TWINS).unwrap().candidates.is_empty());
    of_requests_that_are_refused(&mut client, told).await;
    in_a_stream(&mut client, told).await;
    of_administration(channel.clone(), told).await;
    of_health(channel, told).await;
}

async fn of_requests_that_are_refused(
    client: &mut IdentityServiceClient<Channel>,
    told: &mut Gathered,
) {
    let good = request("");
    let number = marks::NUMBER.trim_start_matches('+');
    for tenant in ["zq7tenant", marks::EMAIL, number] {
        let status = client.resolve_user_ids(soon(request(tenant))).await;
        // The name is the caller's own, and no identifier unless they make it one.
        let status = status.unwrap_err();
        told.add("error", status.message().replace(tenant, ""));
    }
    for bad in [
        ResolveUserIdsRequest {
            identifiers: Vec::new(),
            ..good.clone()
        },
        ResolveUserIdsRequest {
            identifiers: vec![identifier(marks::EMAIL); 1001],
            ..good.clone()
        },
        ResolveUserIdsRequest {
            user_id_types: vec![19_973_518],
            ..good.clone()
        },
        ResolveUserIdsRequest {
            max_age: Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            }),
            ..good.clone()
        },
    ] {
        let refused = client.resolve_user_ids(soon(bad)).await;
        told.error(&refused.unwrap_err());
    }
    // A large one whose compressed answer is cut off by who asked.
    let mut short = soon(ResolveUserIdsRequest {
        identifiers: vec![identifier(marks::NOBODY); 1000],
        ..good
    });
    short.set_timeout(Duration::from_millis(1));
    if let Err(status) = client.resolve_user_ids(short).await {
        told.error(&status);
    }
}

async fn in_a_stream(client: &mut IdentityServiceClient<Channel>, told: &mut Gathered) {
    let batch = |batch_id, request| ResolveUserIdsStreamRequest {
        batch_id,
        request: Some(request),
        timeout: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
    };
    let none = ResolveUserIdsStreamRequest {
        batch_id: 4,
        ..Default::default()
    };
    let batches = vec![
        batch(1, request("")),
        batch(2, request("zq7tenant")),
        batch(3, ResolveUserIdsRequest::default()),
        none,
        batch(5, request("h20")),
    ];
    let stream = tokio_stream::iter(batches);
    let answers = client.resolve_user_ids_stream(soon(stream)).await.unwrap();
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => match answer.result.unwrap() {
                Answer::Response(response) => note(&response.resolutions, told),
                Answer::Error(error) => note_error(&error, told),
            },
            Err(status) => told.error(&status),
        }
    }
    // And one that is left in the middle.
    let stream = tokio_stream::iter(vec![batch(6, request("h21"))]).chain(tokio_stream::pending());
    let left = client.resolve_user_ids_stream(soon(stream)).await.unwrap();
    drop(left);
}

async fn of_administration(channel: Channel, told: &mut Gathered) {
    let mut client = AdminServiceClient::new(channel);
    let flush = |tenant: &str, texts: &[&str]| FlushCacheRequest {
        tenant: tenant.to_owned(),
        target: Some(Target::Identifiers(IdentifierList {
            identifiers: texts.iter().map(|text| identifier(text)).collect(),
        })),
        negative_only: false,
    };
    let flushed = client
        .flush_cache(soon(flush("", &[marks::LEFT, NEVER_ASKED_FOR])))
        .await;
    told.add("debug", format!("{:?}", flushed.unwrap()));
    for texts in [&["zq7 mail"][..], &[], &["zq7mail@@zq7dom.example"]] {
        let refused = client.flush_cache(soon(flush("", texts))).await;
        told.error(&refused.unwrap_err());
    }
    let refused = client.flush_cache(soon(FlushCacheRequest::default())).await;
    told.error(&refused.unwrap_err());
    let status = client.get_status(soon(GetStatusRequest::default())).await;
    told.add("status", format!("{:?}", status.unwrap()));
}

const NEVER_ASKED_FOR: &str = "zq7never@zq7dom.example";

async fn of_health(channel: Channel, told: &mut Gathered) {
    let mut client = HealthClient::new(channel);
    let about = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    told.error(&client.check(soon(about(marks::EMAIL))).await.unwrap_err());
    let mut watch = client
        .watch(soon(about(marks::NUMBER)))
        .await
        .unwrap()
        .into_inner();
    let first = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
    told.add("debug", format!("{first:?}"));
    let list = client.list(soon(HealthListRequest::default())).await;
    told.add("debug", format!("{list:?}"));
}

/// What no client of ours would send.
pub async fn that_break_the_rules(server: &Server, told: &mut Gathered) {
    let service = "/feishu.identity.v1.IdentityService";
    let bytes = marks::EMAIL.as_bytes();
    // A string that is not UTF-8; a length that is too long; a message cut off; a wire type that there
    // is not; a field that there is not.
    let messages = [
        bytes.to_vec(),
        [&[0x0a, 0xff, 0xff, 0x03][..], bytes].concat(),
        [&[0x0a, 25, 0xff][..], bytes].concat(),
        [&[0x1a, 25, 0x0a, 22][..], bytes].concat(),
        [&[0xfa, 0x7d, 22][..], bytes].concat(),
        bytes.repeat(60_000),
    ];
    for path in [
        format!("{service}/ResolveUserIds"),
        format!("{service}/ResolveUserIdsStream"),
        format!("{service}/{}", marks::EMAIL),
        format!("/{}/ResolveUserIds", marks::EMAIL),
        "/feishu.identity.v1.AdminService/FlushCache".to_owned(),
    ] {
        let path: PathAndQuery = path.parse().unwrap();
        for message in &messages {
            let mut client = tonic::client::Grpc::new(server.channel().await);
            client.ready().await.unwrap();
            let answer = client.unary(soon(message.clone()), path.clone(), Raw).await;
            if let Err(status) = answer {
                told.error(&status);
            }
        }
    }
    with_headers_that_are_none(server, told).await;
    let head = format!(
        "GET /{0}?{0} HTTP/1.1\r\nhost: {0}\r\nauthorization: Bearer {1}\r\n\r\n{0}",
        marks::EMAIL,
        marks::KEY
    );
    for address in [server.grpc, server.http] {
        // What comes back does not repeat it either.
        told.add("page", send(address, head.as_bytes()).await);
        told.add(
            "page",
            send(address, format!("{}\r\n\r\n", marks::EMAIL).as_bytes()).await,
        );
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    send(server.grpc, &[&preface[..], bytes].concat()).await;
}

async fn with_headers_that_are_none(server: &Server, told: &mut Gathered) {
    let long = marks::EMAIL.repeat(2000);
    for (name, value) in [
        ("grpc-timeout", marks::NUMBER),
        ("grpc-encoding", "made-up"),
        ("x-request-id", marks::EMAIL),
        ("traceparent", marks::EMAIL),
        ("tracestate", "zq7=zq7mail"),
        ("baggage", "zq7=zq7mail"),
        ("zq7-bin", "enE3"),
        ("x-long", &long),
    ] {
        let mut client = IdentityServiceClient::new(server.channel().await);
        let mut request = soon(request(""));
        if name == "zq7-bin" {
            let value = tonic::metadata::MetadataValue::from_bytes(marks::EMAIL.as_bytes());
            request.metadata_mut().insert_bin(name, value);
        } else {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        if let Err(status) = client.resolve_user_ids(request).await {
            told.error(&status);
        }
    }
}

/// Stops it while a call is under way, a stream and a watch are open, and somebody says nothing.
pub async fn while_it_drains(server: Server, told: &mut Gathered) {
    let channel = server.channel().await;
    let mut health = HealthClient::new(channel.clone());
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut client = IdentityServiceClient::new(channel);
    let batch = ResolveUserIdsStreamRequest {
        request: Some(request("h22")),
        ..Default::default()
    };
    let stream = tokio_stream::iter(vec![batch]).chain(tokio_stream::pending());
    let mut stream = client
        .resolve_user_ids_stream(stream)
        .await
        .unwrap()
        .into_inner();
    let mut calling = client.clone();
    let call = tokio::spawn(async move { calling.resolve_user_ids(soon(request("h23"))).await });
    server.terminate();
    while let Ok(Some(answer)) = tokio::time::timeout(PATIENCE, stream.next()).await {
        match answer {
            Ok(answer) => told.add("debug", format!("{answer:?}")),
            Err(status) => told.error(&status),
        }
    }
    if let Err(status) = call.await.unwrap() {
        told.error(&status);
    }
    drop((watch, client, health));
    server.ended(told).await;
}

/// Messages that are bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length).to_vec()))
    }
}
