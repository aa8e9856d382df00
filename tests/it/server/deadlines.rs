//! The caller's deadline and request id, on the wire. The client is h2 itself, because tonic's has
//! a timer of its own that would hide the server's.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use feishu_id::server::ServerSettings;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    raw::{RESOLVE, RESOLVE_STREAM},
    support::{AT_ONCE, PANIC, Running, WAIT, request, soon},
};

/// Sends one message and gives back the answer as it begins.
async fn call(
    address: SocketAddr,
    path: &str,
    fields: &[(&str, &str)],
    message: &impl prost::Message,
) -> Response<h2::RecvStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let mut head = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in fields {
        head = head.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut body) = client.send_request(head.body(()).unwrap(), false).unwrap();
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    body.send_data(Bytes::from([&[0], &length[..], &message].concat()), true)
        .unwrap();
    soon(response).await.unwrap()
}

fn code(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?.to_str().unwrap();
    Some(Code::from(code.parse::<i32>().unwrap()))
}

fn reason(headers: &HeaderMap) -> String {
    let status = tonic::Status::from_header_map(headers).unwrap();
    status.get_details_error_info().unwrap().reason
}

/// Lets the body come to its end and gives back what stands there.
async fn trailers(response: Response<h2::RecvStream>) -> HeaderMap {
    let mut body = response.into_body();
    let drained = async {
        while let Some(data) = body.data().await {
            let length = data.unwrap().len();
            body.flow_control().release_capacity(length).unwrap();
        }
        body.trailers().await.unwrap().unwrap()
    };
    soon(drained).await
}

#[tokio::test]
async fn a_call_ends_with_deadline_exceeded_when_its_deadline_passes() {
    let server = Running::start(ServerSettings::default()).await;
    let answer = call(
        server.address,
        RESOLVE,
        &[("grpc-timeout", "50m")],
        &request(WAIT),
    )
    .await;
    assert_eq!(code(answer.headers()), Some(Code::DeadlineExceeded));
    assert_eq!(reason(answer.headers()), "DEADLINE_EXCEEDED");
    server.double.until_open(0).await;
}

#[tokio::test]
async fn a_stream_ends_with_deadline_exceeded_when_its_deadline_passes() {
    let server = Running::start(ServerSettings::default()).await;
    for mode in ["silent", "flood"] {
        let fields = [("grpc-timeout", "1S"), (mode, "yes")];
        let answer = call(server.address, RESOLVE_STREAM, &fields, &()).await;
        assert_eq!(code(answer.headers()), None, "{mode}: it has begun well");
        let end = trailers(answer).await;
        assert_eq!(code(&end), Some(Code::DeadlineExceeded), "{mode}");
        assert_eq!(reason(&end), "DEADLINE_EXCEEDED", "{mode}");
        server.double.until_open(0).await;
    }
}

#[tokio::test]
async fn the_service_is_told_the_deadline() {
    let server = Running::start(ServerSettings::default()).await;
    let answer = call(
        server.address,
        RESOLVE,
        &[("grpc-timeout", "20S")],
        &request(AT_ONCE),
    )
    .await;
    let left: u64 = answer.headers()["remaining-ms"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((10_000..=20_000).contains(&left), "{left}");
    let answer = call(server.address, RESOLVE, &[], &request(AT_ONCE)).await;
    assert!(!answer.headers().contains_key("remaining-ms"));
    assert_eq!(code(&trailers(answer).await), Some(Code::Ok));
}

#[tokio::test]
async fn a_malformed_timeout_is_refused_like_broken_framing() {
    let server = Running::start(ServerSettings::default()).await;
    for bad in ["10", "abc", "123456789S", "-1S"] {
        let answer = call(
            server.address,
            RESOLVE,
            &[("grpc-timeout", bad)],
            &request(AT_ONCE),
        )
        .await;
        assert_eq!(code(answer.headers()), Some(Code::Internal), "{bad}");
        assert_eq!(reason(answer.headers()), "INVALID_REQUEST", "{bad}");
    }
}

#[tokio::test]
async fn a_call_without_a_deadline_is_not_waited_for_without_end() {
    let server = Running::start(ServerSettings {
        answer_timeout: Duration::from_millis(50),
        ..ServerSettings::default()
    })
    .await;
    let answer = call(server.address, RESOLVE, &[], &request(WAIT)).await;
    assert_eq!(code(answer.headers()), Some(Code::DeadlineExceeded));
    let stream = call(server.address, RESOLVE_STREAM, &[], &()).await;
    assert_eq!(code(stream.headers()), None);
    server.double.until_open(1).await;
}

#[tokio::test]
async fn a_panic_is_one_callers_internal_error() {
    let server = Running::start(ServerSettings::default()).await;
    let answer = call(server.address, RESOLVE, &[], &request(PANIC)).await;
    assert_eq!(code(answer.headers()), Some(Code::Internal));
    let answer = call(server.address, RESOLVE, &[], &request(AT_ONCE)).await;
    assert_eq!(code(&trailers(answer).await), Some(Code::Ok));
}

#[tokio::test]
async fn the_callers_request_id_comes_back_on_success_and_on_error() {
    let server = Running::start(ServerSettings::default()).await;
    let longest = "x".repeat(128);
    for (tenant, id) in [
        (AT_ONCE, "a-1"),
        ("nobody", "a-2"),
        (PANIC, "a-3"),
        (AT_ONCE, &longest),
    ] {
        let answer = call(
            server.address,
            RESOLVE,
            &[("x-request-id", id)],
            &request(tenant),
        )
        .await;
        assert_eq!(answer.headers()["x-request-id"], id, "{tenant}");
    }
}

#[tokio::test]
async fn a_request_id_that_is_no_plain_word_is_not_taken_over() {
    let server = Running::start(ServerSettings::default()).await;
    let too_long = "x".repeat(129);
    for id in ["", "two words", "tab\there", "\u{e9}", &too_long] {
        let answer = call(
            server.address,
            RESOLVE,
            &[("x-request-id", id)],
            &request(AT_ONCE),
        )
        .await;
        assert!(!answer.headers().contains_key("x-request-id"), "{id:?}");
    }
}
