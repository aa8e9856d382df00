//! Who may administer: whoever is on the same machine.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use feishu_id::{
    caller::{Call, CallerId, Peer},
    pb::identity::{
        FlushCacheRequest, GetStatusRequest,
        admin_service_client::AdminServiceClient,
        admin_service_server::{AdminService as _, AdminServiceServer},
        flush_cache_request::Target,
    },
    server::{ServerSettings, Services, serve},
    shutdown::Shutdown,
};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Request, Status, transport::Endpoint};

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
    let stranger = call_from(Some("192.0.2.7:1".parse().unwrap()));
    for call in [None, Some(stranger)] {
        // Before anything else is looked at: there is no target in this one.
        let mut flush = Request::new(FlushCacheRequest::default());
        let mut status = Request::new(GetStatusRequest::default());
        if let Some(call) = call {
            flush.extensions_mut().insert(call);
            status.extensions_mut().insert(call);
        }
        is_refused(&service.flush_cache(flush).await.unwrap_err());
        is_refused(&service.get_status(status).await.unwrap_err());
    }
    let mut status = Request::new(GetStatusRequest::default());
    status.extensions_mut().insert(call_from(None));
    service.get_status(status).await.unwrap();
}

fn call_from(address: Option<SocketAddr>) -> Call {
    Call {
        peer: Peer {
            address,
            connection: 1,
        },
        caller: CallerId(1),
        deadline: None,
    }
}

/// An address of this machine's that is not loopback: the one that it would call another from.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// What a caller by this address gets of a server that listens on that one; none if this machine has
/// no such address.
async fn ask(listen: &str, call: IpAddr) -> Option<[Result<(), Status>; 2]> {
    let listener = TcpListener::bind((listen, 0)).await.ok()?;
    let address = SocketAddr::new(call, listener.local_addr().unwrap().port());
    let service = Arc::new(administration(None));
    let services =
        Services::default().with(move || AdminServiceServer::from_arc(Arc::clone(&service)));
    let settings = ServerSettings::default();
    let serving = serve(listener, services, settings, Shutdown::default());
    let _serving = AbortOnDropHandle::new(tokio::spawn(serving));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = AdminServiceClient::new(channel.connect().await.ok()?);
    let told = client.get_status(GetStatusRequest::default()).await;
    let flush = FlushCacheRequest {
        target: Some(Target::Everybody(true)),
        ..FlushCacheRequest::default()
    };
    let flushed = client.flush_cache(flush).await;
    Some([told.map(|_| ()), flushed.map(|_| ())])
}

#[tokio::test]
async fn the_server_tells_who_is_on_this_machine() {
    let [told, flushed] = ask("127.0.0.1", Ipv4Addr::LOCALHOST.into()).await.unwrap();
    assert!(told.is_ok() && flushed.is_ok());
    // A listener for both families is called from ::ffff:127.0.0.1. Not every machine has IPv6.
    for call in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        if let Some([told, flushed]) = ask("::", call).await {
            assert!(told.is_ok() && flushed.is_ok(), "{call}");
        }
    }
    // Nor has every machine another address.
    if let Some(own) = own_address() {
        let [told, flushed] = ask("0.0.0.0", own).await.unwrap();
        is_refused(&told.unwrap_err());
        is_refused(&flushed.unwrap_err());
    }
}
