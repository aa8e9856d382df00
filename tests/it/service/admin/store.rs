//! A store behind administration: what it is asked to remove, and what is told of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use feishu_id::{
    admin::{
        Admin,
        stored::{NotRemoved, StoreStatus, Stored, Whose},
    },
    backoff::random,
    batch::{BatchSettings, Batcher},
    cache::{Cache, Ttls},
    caller::{Call, CallerId, Peer},
    callers::Callers,
    directory::{Directory, DirectoryError, DirectoryErrorKind, LookupAnswer, LookupBatch},
    grpc::admin::Administration,
    identity::Identifier,
    metrics::{Identifiers, Waited},
    pb::identity::{
        FlushCacheRequest, GetStatusRequest, IdentifierList,
        admin_service_server::AdminService as _, flush_cache_request::Target,
    },
    quota::Quota,
    resolver::{Resolver, Tenant},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use tonic::{Code, Request};

use crate::service::harness::{mobile, people, reason};

/// Knows nobody.
struct Nobody;

impl Directory for Nobody {
    fn lookup<'a>(
        &'a self,
        _: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        async {
            Err(DirectoryError::new(
                DirectoryErrorKind::Unavailable,
                "on purpose",
            ))
        }
        .boxed()
    }
}

/// Tells what it was asked to remove, and says that it was three records.
#[derive(Default)]
struct Shelf {
    asked: Mutex<Vec<String>>,
    is_broken: bool,
}

impl Stored for Shelf {
    fn remove<'a>(
        &'a self,
        whose: Whose<'a>,
        negative_only: bool,
    ) -> BoxFuture<'a, Result<usize, NotRemoved>> {
        let whose = match whose {
            Whose::People { directory, people } => {
                let people: Vec<_> = people.iter().map(Identifier::as_str).collect();
                format!("{} of {directory}", people.join(" "))
            }
            Whose::Directory(directory) => format!("all of {directory}"),
            Whose::Everybody => "all".to_owned(),
        };
        self.asked
            .lock()
            .unwrap()
            .push(format!("{whose} {negative_only}"));
        let result = if self.is_broken {
            Err(NotRemoved("the disk is full".to_owned()))
        } else {
            Ok(3)
        };
        std::future::ready(result).boxed()
    }

    fn status(&self) -> StoreStatus {
        StoreStatus {
            kind: "shelf",
            records: 12,
            failed_writes: 1,
            ..StoreStatus::default()
        }
    }
}

/// The service for a tenant called acme, whose directory has the number 7.
pub(super) fn administration(stored: Option<Arc<dyn Stored>>) -> Administration {
    let hour = Duration::from_hours(1);
    let ttls = Ttls {
        found: hour,
        negative: hour,
        serve_stale: hour,
    };
    let cache = Arc::new(Cache::new(100, ttls, random));
    let settings = BatchSettings {
        tenant: "acme".to_owned(),
        max_in_flight: 1,
        max_queue: 10,
        random,
        waited: Waited::default(),
    };
    let batcher = Batcher::new(Arc::new(Nobody), Arc::new(Quota::new(&[])), settings);
    let acme = Tenant::new(7, batcher, cache.clone(), None, Identifiers::default());
    let tenants = BTreeMap::from([("acme".to_owned(), acme)]);
    let resolver = Resolver::new(tenants, Some("acme".to_owned()));
    let admin = Admin::new(Arc::new(resolver), cache, stored);
    Administration::new(Arc::new(admin), Callers::default(), 1000)
}

fn from_here<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Call {
        peer: Peer {
            address: None,
            connection: 1,
        },
        caller: CallerId(1),
        deadline: None,
    });
    request
}

fn flush(target: Target, negative_only: bool) -> Request<FlushCacheRequest> {
    from_here(FlushCacheRequest {
        target: Some(target),
        negative_only,
        ..FlushCacheRequest::default()
    })
}

fn these() -> Target {
    Target::Identifiers(IdentifierList {
        identifiers: [people(0..1), vec![mobile("130 0000 9009")]].concat(),
    })
}

#[tokio::test]
async fn a_store_forgets_what_memory_does_and_tells_how_it_is() {
    let shelf = Arc::new(Shelf::default());
    let service = administration(Some(shelf.clone()));
    for (target, negative_only) in [
        (these(), false),
        (Target::Everybody(true), true),
        (Target::AllTenants(true), false),
    ] {
        let flushed = service.flush_cache(flush(target, negative_only)).await;
        assert_eq!(flushed.unwrap().into_inner().flushed_records, 3);
    }
    let asked = shelf.asked.lock().unwrap().clone();
    let expected = [
        "load-0@acme.example +8613000009009 of 7 false",
        "all of 7 true",
        "all false",
    ];
    assert_eq!(asked, expected);
    let status = service
        .get_status(from_here(GetStatusRequest::default()))
        .await;
    let store = status.unwrap().into_inner().store.unwrap();
    assert_eq!(
        (&*store.kind, store.records, store.failed_writes),
        ("shelf", 12, 1)
    );
}

#[tokio::test]
async fn a_store_that_cannot_forget_is_an_error_to_be_tried_again() {
    let service = administration(Some(Arc::new(Shelf {
        is_broken: true,
        ..Shelf::default()
    })));
    let status = service
        .flush_cache(flush(these(), false))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "STORE_UNAVAILABLE");
    assert!(status.message().contains("the disk is full"));
    assert!(!status.message().contains("load-0"));
    assert!(status.metadata().get("grpc-retry-pushback-ms").unwrap() != "-1");
}
