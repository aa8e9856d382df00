//! Clients with and without certificates.

use feishu_id::server::ServerSettings;
use tonic::{Response, Status};

use crate::{
    certificates::{Authority, Issued},
    server::support::{AT_ONCE, request, soon},
};

use super::Secured;

const READER: [&str; 2] = ["reader.example", "spiffe://example/reader"];

/// One call by a connection of its own. With TLS 1.3 a client learns only by that whether it was let in.
async fn call(server: &Secured, identity: Option<&Issued>) -> Result<Response<()>, Status> {
    let refused = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let mut client = soon(server.client(identity)).await.map_err(refused)?;
    let answer = soon(client.resolve_user_ids(request(AT_ONCE))).await?;
    Ok(answer.map(drop))
}

fn names(answer: &Response<()>) -> Option<&str> {
    let names = answer.metadata().get("certificate-names")?;
    Some(names.to_str().unwrap())
}

#[tokio::test]
async fn a_call_is_answered_and_its_peer_is_known() {
    let server = Secured::start().await;
    let answer = call(&server, None).await.unwrap();
    let address = answer.metadata().get("address").unwrap();
    assert!(address.to_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(names(&answer), None);
}

#[tokio::test]
async fn the_names_in_a_verified_certificate_reach_the_service() {
    let clients = Authority::new();
    let server = Secured::start_with(Some(&clients), ServerSettings::default()).await;
    let answer = call(&server, Some(&clients.issue(&READER))).await.unwrap();
    assert_eq!(
        names(&answer),
        Some("reader.example spiffe://example/reader")
    );
    // An address is not a name of a program.
    let answer = call(&server, Some(&clients.issue(&["192.0.2.1"])))
        .await
        .unwrap();
    assert_eq!(names(&answer), Some(""));
}

#[tokio::test]
async fn a_certificate_that_nobody_asked_for_names_nobody() {
    let server = Secured::start().await;
    let anybody = Authority::new().issue(&READER);
    let answer = call(&server, Some(&anybody)).await.unwrap();
    assert_eq!(names(&answer), None);
}

#[tokio::test]
async fn clients_without_a_good_certificate_are_refused_by_reason() {
    let clients = Authority::new();
    let server = Secured::start_with(Some(&clients), ServerSettings::default()).await;
    let stranger = Authority::new().issue(&READER);
    let expired = clients.issue_expired(&READER);
    for (identity, reason) in [
        (None, "no_certificate"),
        (Some(&stranger), "certificate_refused"),
        (Some(&expired), "certificate_expired"),
    ] {
        assert!(call(&server, identity).await.is_err(), "{reason}");
        server.until_failed(reason, 1).await;
    }
    let answer = call(&server, Some(&clients.issue(&READER))).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_counted() {
    let server = Secured::start().await;
    // It trusts another server's authority.
    let config = Secured::start().await.config(&[b"h2"]);
    let refused = soon(server.connect(config)).await.unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    server.until_failed("refused_by_client", 1).await;
}
