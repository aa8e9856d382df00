//! Messages of some kilobytes that unfold to more than a message may have, one after the other. They are
//! made once: an attacker who had to compress each would be kept busy by that.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use feishu_id::pb::identity::{
    Identifier, ResolveUserIdsRequest, identifier, identity_service_client::IdentityServiceClient,
};
use h2::client::SendRequest;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tonic::{body::Body, codec::CompressionEncoding};

use crate::{Common, bytes::UNARY, siege::Tally};

/// Bytes of the one address in it.
const UNFOLDED: usize = 30 << 20;

/// A message, ready to be sent.
pub struct Bomb {
    encoding: &'static str,
    bytes: Bytes,
}

impl Bomb {
    pub async fn gzip() -> Self {
        Self::new("gzip", CompressionEncoding::Gzip).await
    }

    pub async fn zstd() -> Self {
        Self::new("zstd", CompressionEncoding::Zstd).await
    }

    /// As tonic's client would send it.
    async fn new(encoding: &'static str, compression: CompressionEncoding) -> Self {
        let caught = Arc::new(Mutex::new(Bytes::new()));
        let catch = tower::service_fn(|request: http::Request<Body>| {
            let caught = Arc::clone(&caught);
            async move {
                let body = request.into_body().collect().await;
                *caught.lock().unwrap_or_else(PoisonError::into_inner) =
                    body.unwrap_or_default().to_bytes();
                Ok::<_, Infallible>(http::Response::new(Body::empty()))
            }
        });
        let long = Identifier {
            kind: Some(identifier::Kind::Email("a".repeat(UNFOLDED))),
        };
        let request = ResolveUserIdsRequest {
            identifiers: vec![long],
            ..ResolveUserIdsRequest::default()
        };
        let mut client = IdentityServiceClient::new(catch).send_compressed(compression);
        // Nobody answers.
        drop(client.resolve_user_ids(request).await);
        let bytes = std::mem::take(&mut *caught.lock().unwrap_or_else(PoisonError::into_inner));
        Self { encoding, bytes }
    }

    /// One connection, until the server ends it.
    pub async fn lay(&self, common: Common, tally: &mut Tally) -> Result<(), String> {
        let tcp = TcpStream::connect(common.server).await;
        let tcp = tcp.map_err(|error| error.to_string())?;
        let handshake = h2::client::handshake(tcp).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        tally.connections += 1;
        let calls = async {
            while self.call(&mut sender).await.is_ok() {
                tally.calls += 1;
                tally.sent_bytes += u64::try_from(self.bytes.len()).unwrap_or_default();
            }
        };
        tokio::select! {
            () = calls => {}
            _ = connection => {}
        }
        Ok(())
    }

    /// Refused each time, which is no news.
    async fn call(&self, sender: &mut SendRequest<Bytes>) -> Result<(), h2::Error> {
        let head = http::Request::post(format!("http://localhost{UNARY}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", self.encoding)
            .body(());
        let Ok(head) = head else { return Ok(()) };
        std::future::poll_fn(|cx| sender.poll_ready(cx)).await?;
        let (response, mut stream) = sender.send_request(head, false)?;
        stream.send_data(self.bytes.clone(), true)?;
        let mut body = response.await?.into_body();
        while let Some(bytes) = body.data().await {
            body.flow_control().release_capacity(bytes?.len())?;
        }
        Ok(())
    }
}
