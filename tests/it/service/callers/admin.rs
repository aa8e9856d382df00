//! What a caller may administer.

use feishu_id::pb::identity::{
    FlushCacheRequest, FlushCacheResponse, GetStatusRequest, GetStatusResponse, IdentifierList,
    flush_cache_request::Target,
};
use tonic::Status;

use super::{about, by, caller, is_denied, start};
use crate::service::harness::{Service, people};

async fn status(service: &Service, key: &str, tenant: &str) -> Result<GetStatusResponse, Status> {
    let tenant = tenant.to_owned();
    let request = by(key, GetStatusRequest { tenant });
    Ok(service.admin().get_status(request).await?.into_inner())
}

async fn flush(service: &Service, key: &str, tenant: &str, target: Target) -> Result<i64, Status> {
    let request = FlushCacheRequest {
        tenant: tenant.to_owned(),
        target: Some(target),
        negative_only: false,
    };
    let flushed = service.admin().flush_cache(by(key, request)).await?;
    let FlushCacheResponse {
        flushed_entries, ..
    } = flushed.into_inner();
    Ok(flushed_entries)
}

/// Three people of acme and two of globex are remembered.
async fn service() -> Service {
    let admin = |name, tenants| {
        let mut admin = caller(name, tenants);
        admin.admin = true;
        admin
    };
    let service = start(vec![
        caller("asks", &["*"]),
        admin("all", &["*"]),
        admin("of-globex", &["globex"]),
    ])
    .await;
    for (tenant, count) in [("acme", 3), ("globex", 2)] {
        let request = by("asks", about(tenant, people(0..count)));
        service.client().resolve_user_ids(request).await.unwrap();
    }
    service
}

#[tokio::test]
async fn being_on_this_machine_is_not_enough_once_callers_are_configured() {
    let service = service().await;
    is_denied(&status(&service, "asks", "").await.unwrap_err());
    is_denied(
        &flush(&service, "asks", "acme", Target::Everybody(true))
            .await
            .unwrap_err(),
    );
}

#[tokio::test]
async fn an_administrator_sees_their_own_tenants_and_nothing_of_the_others() {
    let service = service().await;
    let all = status(&service, "all", "").await.unwrap();
    assert_eq!((all.tenants.len(), all.cache.unwrap().entries), (2, 5));
    for tenant in ["", "globex"] {
        let own = status(&service, "of-globex", tenant).await.unwrap();
        assert_eq!(own.tenants.len(), 1);
        assert_eq!(
            (&*own.tenants[0].name, own.tenants[0].entries),
            ("globex", 2)
        );
        assert_eq!(own.cache.unwrap().entries, 2);
        assert!(own.store.is_none());
    }
    for tenant in ["acme", "nowhere"] {
        is_denied(&status(&service, "of-globex", tenant).await.unwrap_err());
    }
    is_denied(&status(&service, "all", "nowhere").await.unwrap_err());
}

#[tokio::test]
async fn an_administrator_flushes_their_own_tenants_alone() {
    let service = service().await;
    let these = || {
        let identifiers = people(0..3);
        Target::Identifiers(IdentifierList { identifiers })
    };
    // acme is the default.
    for tenant in ["acme", "", "nowhere"] {
        for target in [these(), Target::Everybody(true)] {
            is_denied(
                &flush(&service, "of-globex", tenant, target)
                    .await
                    .unwrap_err(),
            );
        }
    }
    let everywhere = Target::AllTenants(true);
    is_denied(
        &flush(&service, "of-globex", "", everywhere)
            .await
            .unwrap_err(),
    );
    assert_eq!(
        flush(&service, "of-globex", "globex", these())
            .await
            .unwrap(),
        2
    );
    let all = status(&service, "all", "").await.unwrap();
    assert_eq!(all.cache.unwrap().entries, 3, "acme's are still there");
    let flushed = flush(&service, "all", "", Target::AllTenants(true)).await;
    assert_eq!(flushed.unwrap(), 3);
}
