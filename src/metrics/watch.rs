//! Counters that somebody else keeps, whose labels are known only when they are read.

use super::{
    About,
    registry::{Registry, Value},
};

/// Takes one value with its labels.
pub type Show<'a> = &'a mut dyn FnMut(&[(&'static str, &str)], u64);

/// Shows counters as they are whenever they are read. `read` must be quick, and show each set of labels
/// once; the labels must come from the configuration, or be words of this program's.
pub fn watch(
    registry: &Registry,
    about: &'static About,
    read: impl Fn(Show<'_>) + Send + Sync + 'static,
) {
    registry.add(about, move |sink| {
        read(&mut |labels, count| sink.put(labels, Value::Counter(count)));
    });
}
