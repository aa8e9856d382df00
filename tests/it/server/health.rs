//! The health protocol, as its clients see it.

use std::{collections::BTreeMap, time::Duration};

use feishu_id::{
    pb::health::{
        HealthCheckRequest, HealthListRequest, health_check_response::ServingStatus,
        health_client::HealthClient,
    },
    server::ServerSettings,
};
use tokio::time::Instant;
use tonic::{Code, Status, transport::Channel};

use super::support::{Running, soon};

const SERVICE: &str = "feishu.identity.v1.IdentityService";
const READINESS_NAMES: [&str; 3] = ["", SERVICE, "readiness"];

async fn check(client: &mut HealthClient<Channel>, name: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest {
        service: name.to_owned(),
    };
    Ok(client.check(request).await?.into_inner().status())
}

#[tokio::test]
async fn nothing_serves_until_the_server_is_ready_but_it_lives() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    for (ready, expected) in [
        (false, ServingStatus::NotServing),
        (true, ServingStatus::Serving),
    ] {
        if ready {
            server.health.ready();
        }
        for name in READINESS_NAMES {
            assert_eq!(
                check(&mut client, name).await.unwrap(),
                expected,
                "{name:?}"
            );
        }
        assert_eq!(
            check(&mut client, "liveness").await.unwrap(),
            ServingStatus::Serving
        );
    }
}

/// What each RPC says of each name, in each state, as grpc-go's own server (health/server.go) says it when
/// it is told the same statuses; `liveness` is SERVING until the end. Check, then the first message of
/// Watch; None is the code `NOT_FOUND`. `scripts/e2e` asks that server itself, beside the built program.
#[tokio::test]
async fn every_rpc_says_of_every_name_in_every_state_what_grpc_go_says() {
    use ServingStatus::{NotServing, ServiceUnknown, Serving};
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    for (state, readiness) in [
        ("starting", NotServing),
        ("serving", Serving),
        ("draining", NotServing),
    ] {
        match state {
            "serving" => server.health.ready(),
            "draining" => server.shutdown.announce(),
            _ => {}
        }
        for (name, expected, watched) in [
            ("", Some(readiness), readiness),
            (SERVICE, Some(readiness), readiness),
            ("readiness", Some(readiness), readiness),
            ("liveness", Some(Serving), Serving),
            ("unknown", None, ServiceUnknown),
        ] {
            let checked = check(&mut client, name).await;
            match expected {
                Some(status) => assert_eq!(checked.unwrap(), status, "{state} {name:?}"),
                None => assert_eq!(checked.unwrap_err().code(), Code::NotFound, "{state}"),
            }
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            let mut watch = client.watch(request).await.unwrap().into_inner();
            let first = soon(watch.message()).await.unwrap().unwrap();
            assert_eq!(first.status(), watched, "{state} {name:?}");
        }
        let listed = client
            .list(HealthListRequest {})
            .await
            .unwrap()
            .into_inner();
        let listed: BTreeMap<_, _> = listed.statuses.iter().collect();
        let expected = [
            ("", readiness),
            (SERVICE, readiness),
            ("liveness", Serving),
            ("readiness", readiness),
        ];
        let told = listed
            .iter()
            .map(|(name, one)| (name.as_str(), one.status()));
        assert_eq!(told.collect::<Vec<_>>(), expected, "{state}");
    }
}

#[tokio::test]
async fn a_status_that_is_set_a_hundred_times_is_told_once_and_soon() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    let watch = client.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    let mut next = async || {
        let began = Instant::now();
        let message = soon(watch.message()).await;
        let took = began.elapsed();
        assert!(took < Duration::from_millis(100), "{took:?}");
        message.map(|one| one.unwrap().status())
    };
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    (0..100).for_each(|_| server.health.ready());
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    (0..100).for_each(|_| server.shutdown.announce());
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    // Nothing in between: the next thing is the end.
    server.shutdown.drain();
    assert_eq!(next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn an_unknown_name_is_not_found() {
    let server = Running::start(ServerSettings::default()).await;
    server.health.ready();
    let mut client = server.health_client().await;
    for name in [
        "nobody",
        "Readiness",
        " ",
        "feishu.identity.v1.identityservice",
    ] {
        assert_eq!(
            check(&mut client, name).await.unwrap_err().code(),
            Code::NotFound,
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn a_stop_is_announced_for_ever() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    server.health.ready();
    server.shutdown.announce();
    server.health.ready();
    for name in READINESS_NAMES {
        assert_eq!(
            check(&mut client, name).await.unwrap(),
            ServingStatus::NotServing,
            "{name:?}"
        );
    }
    assert_eq!(
        check(&mut client, "liveness").await.unwrap(),
        ServingStatus::Serving
    );
}

#[tokio::test]
async fn a_list_tells_every_name() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    let statuses = client
        .list(HealthListRequest {})
        .await
        .unwrap()
        .into_inner()
        .statuses;
    let mut told: Vec<_> = statuses
        .iter()
        .map(|(name, one)| (name.as_str(), one.status()))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("", ServingStatus::NotServing),
            (SERVICE, ServingStatus::NotServing),
            ("liveness", ServingStatus::Serving),
            ("readiness", ServingStatus::NotServing),
        ]
    );
}

#[tokio::test]
async fn a_watch_tells_changes_only_and_ends_unavailable() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    for name in READINESS_NAMES {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let mut watch = client.watch(request).await.unwrap().into_inner();
        let first = soon(watch.message()).await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::NotServing, "{name:?}");
    }
    let mut watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut next = async || soon(watch.message()).await.map(|one| one.unwrap().status());
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    server.health.ready();
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    // Not a change: the next message is the one after it.
    server.health.ready();
    server.shutdown.announce();
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    server.shutdown.drain();
    assert_eq!(next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_watch_on_an_unknown_name_stays_open_until_the_drain() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    let mut known = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    soon(known.message()).await.unwrap();
    let request = HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    let mut unknown = client.watch(request).await.unwrap().into_inner();
    let first = soon(unknown.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    // What changes others says nothing to it.
    server.health.ready();
    soon(known.message()).await.unwrap();
    server.shutdown.announce();
    soon(known.message()).await.unwrap();
    server.shutdown.drain();
    assert_eq!(
        soon(unknown.message()).await.unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn liveness_lasts_through_the_drain() {
    let server = Running::start(ServerSettings::default()).await;
    let mut client = server.health_client().await;
    let request = HealthCheckRequest {
        service: "liveness".to_owned(),
    };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert_eq!(
        soon(watch.message()).await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    server.health.ready();
    server.shutdown.drain();
    // No NOT_SERVING in between.
    assert_eq!(
        soon(watch.message()).await.unwrap_err().code(),
        Code::Unavailable
    );
}
