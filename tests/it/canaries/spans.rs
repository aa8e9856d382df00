//! The service inside this process, with a subscriber that writes down every field of every span and
//! event of every library, before any filter.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use feishu_id::{
    app,
    config::{Config, Sources},
    pb::identity::{
        ResolveUserIdsRequest, ResolveUserIdsStreamRequest,
        identity_service_client::IdentityServiceClient,
    },
};
use tokio_stream::StreamExt as _;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _};

use super::{
    calls, faults,
    gathered::Gathered,
    marks, upstream,
    world::{World, of_switch, of_way},
};

/// Writes down everything.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Everything {
    fn note(&self, what: &str, of: &tracing::Metadata<'_>, record: impl FnOnce(&mut Fields<'_>)) {
        let mut text = self.0.lock().unwrap();
        write!(text, "{what} {} {} {}", of.level(), of.target(), of.name()).unwrap();
        record(&mut Fields(&mut text));
        text.push('\n');
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>> Layer<S> for Everything {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.note("span", attributes.metadata(), |fields| {
            attributes.record(fields);
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        self.note("field", span.metadata(), |fields| values.record(fields));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.note("event", event.metadata(), |fields| event.record(fields));
    }
}

pub async fn every_field_of_all_of_them() {
    let everything = Everything::default();
    // Of this thread alone, which is all that this test's runtime has.
    let subscriber = tracing_subscriber::registry().with(everything.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::start().await;
    let sources = Sources {
        file: Some(world.configuration()),
        ..Sources::default()
    };
    let mut config = Config::load(&sources).unwrap().config;
    // Its threads would not be heard.
    config.cache.store = feishu_id::config::StoreKind::None;
    let service = app::in_process(config).await.unwrap();
    let client = IdentityServiceClient::new(service.channel.clone());
    for tenant in [marks::TENANT, "proxied", "zq7tenant"] {
        ask(&client, tenant).await;
    }
    for (number, switches) in faults::switches().iter().enumerate() {
        let tenant = of_switch(number);
        world.switch(&faults::on(&tenant, switches)).await;
        ask(&client, &tenant).await;
        world.switch_back().await;
    }
    for way in 0..upstream::ways().len() {
        ask(&client, &of_way(way)).await;
    }
    service.close().await;
    let mut told = Gathered::default();
    told.add("spans", everything.0.lock().unwrap().as_str());
    told.must_tell("spans", "event warn feishu_id::batch", 100);
    told.must_tell("spans", "hyper_util", 100);
    told.must_hold_nothing();
}

async fn ask(client: &IdentityServiceClient<tonic::transport::Channel>, tenant: &str) {
    let mut client = client.clone();
    let texts = marks::identifiers();
    let request = ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        identifiers: texts.iter().map(|text| calls::identifier(text)).collect(),
        ..ResolveUserIdsRequest::default()
    };
    let batch = ResolveUserIdsStreamRequest {
        request: Some(request.clone()),
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 500_000_000,
        }),
        ..ResolveUserIdsStreamRequest::default()
    };
    let mut request = tonic::Request::new(request);
    request.set_timeout(std::time::Duration::from_millis(500));
    // How it ends, the other tests look at.
    let _answer = client.resolve_user_ids(request).await;
    let stream = client
        .resolve_user_ids_stream(tokio_stream::iter(vec![batch]))
        .await;
    let _answer = stream.unwrap().into_inner().next().await;
}
