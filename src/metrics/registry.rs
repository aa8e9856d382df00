//! All metrics of a process, and their text for Prometheus.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, text},
    metrics::exemplar::Exemplar,
};

use super::{About, about, histogram::Histogram};

/// What the text of [`Registry::text`] is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a process, or of a part of it that comes and goes. Cloning gives another handle of the
/// same.
#[derive(Clone, Default)]
pub struct Registry {
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    families: Vec<Family>,
    /// Those of parts that come and go, such as tenants.
    parts: Vec<(u64, Registry)>,
    next_part: u64,
}

/// A part's metrics, which are shown for as long as this lives.
pub struct Shown {
    shelf: Weak<Mutex<Shelf>>,
    number: u64,
}

/// One metric and everybody who has values of it.
struct Family {
    about: &'static About,
    sources: Vec<Source>,
}

type Source = Box<dyn Fn(&mut Sink<'_>) + Send + Sync>;

/// Takes the values of one metric as they are read.
pub(super) struct Sink<'a> {
    encoder: MetricEncoder<'a>,
    outcome: fmt::Result,
}

/// A value of a metric.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Counter(u64),
    /// One that does not count whole things.
    Sum(f64),
    Gauge(f64),
    Histogram(&'a Histogram),
}

impl Registry {
    /// An empty one, but for the version.
    pub fn new() -> Self {
        let registry = Self::default();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.gauge(&about::BUILD, &version, || 1.0);
        registry
    }

    /// Shows what somebody else keeps, as it is whenever it is read. `read` must be quick, and must not
    /// register anything.
    pub fn gauge(
        &self,
        about: &'static About,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let labels = owned(labels);
        self.add(about, move |sink| sink.put(&labels, Value::Gauge(read())));
    }

    /// The same of what only ever grows.
    pub fn counter(
        &self,
        about: &'static About,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let labels = owned(labels);
        self.add(about, move |sink| sink.put(&labels, Value::Counter(read())));
    }

    pub(super) fn add(
        &self,
        about: &'static About,
        source: impl Fn(&mut Sink<'_>) + Send + Sync + 'static,
    ) {
        let families = &mut self.lock().families;
        let source: Source = Box::new(source);
        match families.iter_mut().find(|f| std::ptr::eq(f.about, about)) {
            Some(family) => family.sources.push(source),
            None => families.push(Family {
                about,
                sources: vec![source],
            }),
        }
    }

    /// Shows a part's metrics beside the own ones. Two parts that are shown at a time must tell theirs
    /// apart by a label.
    pub fn show(&self, part: &Self) -> Shown {
        let mut own = self.lock();
        let number = own.next_part;
        own.next_part += 1;
        own.parts.push((number, part.clone()));
        Shown {
            shelf: Arc::downgrade(&self.shelf),
            number,
        }
    }

    /// Every metric in Prometheus' text format (that of `OpenMetrics`).
    pub fn text(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        let part = |is_of_any_process| {
            Box::new(Part {
                of: self.clone(),
                is_of_any_process,
            })
        };
        registry.register_collector(part(true));
        let own = registry.sub_registry_with_prefix(about::PREFIX);
        own.register_collector(part(false));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &registry);
        text
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    // A source that panicked has changed nothing.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.upgrade() {
            lock(&shelf).parts.retain(|(n, _)| *n != self.number);
        }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// The metrics with our prefix, or those without.
#[derive(Debug)]
struct Part {
    of: Registry,
    is_of_any_process: bool,
}

impl Collector for Part {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let own = self.of.lock();
        let parts: Vec<_> = own.parts.iter().map(|(_, part)| part.lock()).collect();
        let shelves = || std::iter::once(&*own).chain(parts.iter().map(|part| &**part));
        let families = || shelves().flat_map(|shelf| &shelf.families);
        // Each family once, with what everybody has of it.
        let mut abouts: Vec<&'static About> = Vec::new();
        for Family { about, .. } in families() {
            let is_in_it = about.is_of_any_process() == self.is_of_any_process;
            if is_in_it && !abouts.iter().any(|known| std::ptr::eq(*known, *about)) {
                abouts.push(about);
            }
        }
        for about in abouts {
            let (name, unit) = (about.name, about.unit.as_ref());
            let encoder = encoder.encode_descriptor(name, about.help, unit, about.kind)?;
            let mut sink = Sink {
                encoder,
                outcome: Ok(()),
            };
            let same = families().filter(|family| std::ptr::eq(family.about, about));
            for source in same.flat_map(|family| &family.sources) {
                source(&mut sink);
            }
            sink.outcome?;
        }
        Ok(())
    }
}

impl Sink<'_> {
    /// One value and the labels that tell it from the others.
    pub(super) fn put<T: AsRef<str>>(&mut self, labels: &[(&'static str, T)], value: Value<'_>) {
        let labels: Vec<_> = labels.iter().map(|(k, v)| (*k, v.as_ref())).collect();
        self.outcome = self.outcome.and_then(|()| {
            if labels.is_empty() {
                return encode(&mut self.encoder, value);
            }
            encode(&mut self.encoder.encode_family(&labels)?, value)
        });
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, value: Value<'_>) -> fmt::Result {
    /// The type of an exemplar; there are none.
    type None = Exemplar<Vec<(String, String)>, f64>;
    match value {
        Value::Counter(count) => encoder.encode_counter(&count, Option::<&None>::None),
        Value::Sum(sum) => encoder.encode_counter(&sum, Option::<&None>::None),
        Value::Gauge(level) => encoder.encode_gauge(&level),
        Value::Histogram(histogram) => {
            let buckets = histogram.read();
            // Of one reading, so that they agree.
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<Vec<(String, String)>>(
                histogram.sum(),
                count,
                &buckets,
                Option::None,
            )
        }
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_shown_beside_the_others_until_it_goes() {
        let registry = Registry::new();
        let part = |name: &str, depth: f64| {
            let part = Registry::default();
            part.gauge(&about::QUEUE_DEPTH, &[("tenant", name)], move || depth);
            part
        };
        let (one, two) = (part("one", 1.0), part("two", 2.0));
        let shown = [registry.show(&one), registry.show(&two)];
        let text = registry.text();
        assert!(text.contains("queue_depth{tenant=\"one\"} 1.0"), "{text}");
        assert!(text.contains("queue_depth{tenant=\"two\"} 2.0"), "{text}");
        assert_eq!(text.matches("# TYPE feishu_id_queue_depth").count(), 1);
        let [shown, gone] = shown;
        drop(gone);
        assert!(!registry.text().contains("two"));
        drop(shown);
        assert!(!registry.text().contains("queue_depth"));
        let _again = registry.show(&two);
        assert!(registry.text().contains("queue_depth{tenant=\"two\"}"));
    }
}
