//! Who may administer: whoever is on the same machine.

use std::sync::Arc;

use feishu_id::{
    caller::Origin,
    pb::identity::{
        FlushCacheRequest, GetStatusRequest, admin_service_client::AdminServiceClient,
        admin_service_server::AdminService as _, flush_cache_request::Target,
    },
    server::{ServerSettings, serve},
    shutdown::Shutdown,
};
use tokio::net::TcpListener;
use tonic::{Code, Request, Status, service::Routes, transport::Endpoint};

use super::store::administration;
use crate::service::harness::reason;

fn is_refused(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(status), "PERMISSION_DENIED");
    assert!(
        status.message().contains("same machine"),
        "{}",
        status.message()
    );
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!(pushback, "-1");
}

#[tokio::test]
async fn nobody_else_may_flush_or_see_the_status() {
    let service = administration(None);
    let stranger = Origin::of(Some("192.0.2.7".parse().unwrap()));
    for origin in [None, Some(stranger)] {
        // Before anything else is looked at: there is no target in this one.
        let mut flush = Request::new(FlushCacheRequest::default());
        let mut status = Request::new(GetStatusRequest::default());
        if let Some(origin) = origin {
            flush.extensions_mut().insert(origin);
            status.extensions_mut().insert(origin);
        }
        is_refused(&service.flush_cache(flush).await.unwrap_err());
        is_refused(&service.get_status(status).await.unwrap_err());
    }
    let mut status = Request::new(GetStatusRequest::default());
    status.extensions_mut().insert(Origin::of(None));
    service.get_status(status).await.unwrap();
}

/// An address of this machine's that is not loopback: the one that it would call another from.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[tokio::test]
async fn the_server_tells_who_is_on_this_machine() {
    let shutdown = Shutdown::default();
    let routes = || {
        let admin = Arc::new(administration(None));
        Routes::new(
            feishu_id::pb::identity::admin_service_server::AdminServiceServer::from_arc(admin),
        )
    };
    let ask = async |ip: std::net::IpAddr| {
        // Dual-stack where it can be: a client by IPv4 is then seen by a mapped address.
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(
            listener,
            routes(),
            ServerSettings::default(),
            shutdown.clone(),
        );
        let serving = tokio::spawn(serving);
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = AdminServiceClient::new(channel.connect().await.unwrap());
        let told = client.get_status(GetStatusRequest::default()).await;
        let flush = FlushCacheRequest {
            target: Some(Target::Everybody(true)),
            ..FlushCacheRequest::default()
        };
        let flushed = client.flush_cache(flush).await;
        serving.abort();
        (told.map(|_| ()), flushed.map(|_| ()))
    };
    let (told, flushed) = ask("127.0.0.1".parse().unwrap()).await;
    assert!(told.is_ok() && flushed.is_ok());
    // A machine may have no other address.
    if let Some(ip) = own_address() {
        let (told, flushed) = ask(ip).await;
        is_refused(&told.unwrap_err());
        is_refused(&flushed.unwrap_err());
    }
}
