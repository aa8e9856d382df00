//! What the operating system knows of the process. On Linux, from `/proc`; elsewhere only when it
//! started.

use std::time::{Duration, SystemTime};

use super::{Registry, about, registry::Value};

/// Shows the process, which started at that moment.
pub fn watch_process(registry: &Registry, started: SystemTime) {
    let since = started.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.as_ref().map_or(0.0, Duration::as_secs_f64);
    registry.gauge(&about::PROCESS_START, &[], move || since);
    #[cfg(target_os = "linux")]
    linux::watch(registry);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use super::{Registry, Value, about};

    /// Ticks in a second, in which Linux counts processor time for programs, whatever its own clock.
    const TICKS: f64 = 100.0;
    /// Where the ticks in user and in kernel mode stand in `/proc/self/stat`, counted behind the name,
    /// which may have blanks (proc(5), fields 14 and 15).
    const USER_AND_SYSTEM: [usize; 2] = [11, 12];

    pub(super) fn watch(registry: &Registry) {
        // What cannot be read is not shown, rather than shown as nothing.
        registry.add(&about::PROCESS_CPU, |sink| {
            if let Some(seconds) = cpu_seconds() {
                sink.put::<&str>(&[], Value::Sum(seconds));
            }
        });
        registry.add(&about::PROCESS_MEMORY, |sink| {
            if let Some(bytes) = resident_bytes() {
                sink.put::<&str>(&[], Value::Gauge(bytes));
            }
        });
        registry.add(&about::PROCESS_FDS, |sink| {
            if let Some(count) = open_descriptors() {
                sink.put::<&str>(&[], Value::Gauge(count));
            }
        });
        registry.add(&about::PROCESS_MAX_FDS, |sink| {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            let limit = limit.map_or(f64::INFINITY, shown);
            if limit.is_finite() {
                sink.put::<&str>(&[], Value::Gauge(limit));
            }
        });
    }

    fn cpu_seconds() -> Option<f64> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let ticks = USER_AND_SYSTEM.map(|field| fields.split(' ').nth(field)?.parse::<u32>().ok());
        let [user, system] = ticks;
        Some((f64::from(user?) + f64::from(system?)) / TICKS)
    }

    fn resident_bytes() -> Option<f64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u32 = line.split_whitespace().next()?.parse().ok()?;
        Some(f64::from(kibibytes) * 1024.0)
    }

    fn open_descriptors() -> Option<f64> {
        let listed = fs::read_dir("/proc/self/fd").ok()?.count();
        // One of them is the listing's own.
        u32::try_from(listed.saturating_sub(1)).ok().map(f64::from)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a limit of descriptors: far below 2^53"
    )]
    fn shown(limit: u64) -> f64 {
        limit as f64
    }
}
