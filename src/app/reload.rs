//! The configuration, read again when one of its files has changed or somebody says so (SIGHUP), and
//! applied to the service while it runs: whole, or not at all.

use std::{panic::AssertUnwindSafe, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    signal::unix::Signal,
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    admin::Admin,
    clock,
    config::{Effective, Fingerprint, Loaded, Reading},
    metrics::{Registry, ReloadResult, Reloads},
    shutdown::Shutdown,
    telemetry::Volume,
};

use super::{compose::Composer, watch::Watch};

/// How often the files are looked at. A change is applied when two looks have found the same: within two
/// seconds. Looking at ten files takes some 50 µs.
const EVERY: Duration = Duration::from_secs(1);

/// How a running service comes by its next configuration.
pub struct Reloading {
    /// Reads it, from the same sources as at the start. May block.
    pub read: Arc<dyn Fn() -> Reading + Send + Sync>,
    /// What the service starts with.
    pub started_with: StartedWith,
    /// The signals that ask for a reload.
    pub hangups: Signal,
    /// How much is logged.
    pub volume: Volume,
}

/// What is to be known of the configuration that a service starts with.
pub struct StartedWith {
    effective: Effective,
    files: Vec<PathBuf>,
    fingerprint: Fingerprint,
    warnings: Vec<String>,
}

/// Reloads for as long as it lives.
pub(super) struct Reloader {
    how: Reloading,
    composer: Arc<Mutex<Composer>>,
    /// Who is asked how things are.
    admin: Arc<Admin>,
    metrics: Reloads,
    watch: Watch,
    /// The files of the configuration in force.
    files: Vec<PathBuf>,
    fingerprint: Fingerprint,
    /// What has been said of it.
    warnings: Vec<String>,
    /// Whether the last one was refused.
    is_refused: bool,
    /// Whether somebody has asked for a reload that could not be done yet.
    is_asked_for: bool,
}

impl From<&Loaded> for StartedWith {
    fn from(loaded: &Loaded) -> Self {
        Self {
            effective: loaded.effective().clone(),
            files: loaded.files.clone(),
            fingerprint: loaded.fingerprint,
            warnings: loaded.warnings.clone(),
        }
    }
}

impl Reloader {
    /// Begins to watch. Ends with the first stage of a stop: what is stopping needs no reload, and a
    /// SIGHUP then changes nothing.
    pub(super) fn start(
        how: Reloading,
        composer: Arc<Mutex<Composer>>,
        admin: Arc<Admin>,
        registry: &Registry,
        shutdown: &Shutdown,
    ) -> AbortOnDropHandle<()> {
        let StartedWith {
            files,
            fingerprint,
            warnings,
            ..
        } = &how.started_with;
        let reloader = Self {
            composer,
            admin,
            metrics: Reloads::new(registry, clock::wall_now()),
            watch: Watch::new(files.clone()),
            files: files.clone(),
            fingerprint: *fingerprint,
            warnings: warnings.clone(),
            is_refused: false,
            is_asked_for: false,
            how,
        };
        AbortOnDropHandle::new(tokio::spawn(reloader.run(shutdown.clone())))
    }

    async fn run(mut self, shutdown: Shutdown) {
        let mut ends = pin!(shutdown.announced());
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut ends => return,
                Some(()) = self.how.hangups.recv() => self.is_asked_for = true,
                _ = ticks.tick() => {
                    self.composer.lock().await.part(Instant::now()).await;
                    if !self.watch.has_settled_change().await {
                        continue;
                    }
                }
            }
            // The service must not stay without reloads because of one fault.
            let reload = AssertUnwindSafe(self.reload());
            if reload.catch_unwind().await.is_err() {
                self.refuse("a fault of this server's");
            }
        }
    }

    async fn reload(&mut self) {
        let Some(before) = self.watch.look().await else {
            return self.refuse("its files cannot be looked at: the disk hangs");
        };
        let read = self.how.read.clone();
        let Some(reading) = self.watch.aside(move || read()).await else {
            return self.refuse("its files cannot be read: the disk hangs");
        };
        let mut files = reading.files;
        // Those of the one in force, too: should the new one be refused, a change of any may mend it.
        let others = self.files.iter().filter(|file| !files.contains(file));
        let others: Vec<_> = others.cloned().collect();
        files.extend(others);
        if !self.watch.take(files, &before).await {
            // Whoever writes is at it: another look comes in a moment.
            return;
        }
        let is_asked_for = std::mem::take(&mut self.is_asked_for);
        match reading.outcome {
            Err(errors) => self.refuse(&errors.to_string().replace('\n', "; ")),
            Ok(loaded) => {
                let is_known = loaded.fingerprint == self.fingerprint;
                if is_asked_for || self.is_refused || !is_known {
                    self.apply(loaded).await;
                }
            }
        }
    }

    async fn apply(&mut self, loaded: Loaded) {
        let applied = self.composer.lock().await.apply(&loaded.config).await;
        let changes = match applied {
            Ok(changes) => changes,
            Err(error) => return self.refuse(&with_causes(&error)),
        };
        self.how.volume.set(loaded.config.log.level);
        for warning in &loaded.warnings {
            if !self.warnings.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        let started_with = &self.how.started_with.effective;
        for key in loaded.effective().fixed_that_differ(started_with) {
            tracing::warn!(
                key,
                "a setting has changed that takes effect at the next start"
            );
        }
        if changes.nobody_may_call {
            tracing::warn!(
                "the last caller is gone, and nobody may call any more: only a restart without callers opens \
                 the door to everybody"
            );
        }
        tracing::info!(
            tenants_added = changes.added.join(" "),
            tenants_removed = changes.removed.join(" "),
            tenants_changed = changes.changed.join(" "),
            "the configuration has been read again and is in force"
        );
        self.files = loaded.files;
        self.fingerprint = loaded.fingerprint;
        self.warnings = loaded.warnings;
        self.is_refused = false;
        self.metrics.read(ReloadResult::Applied, clock::wall_now());
        self.admin.configuration_applied();
    }

    fn refuse(&mut self, why: &str) {
        self.is_refused = true;
        self.metrics.read(ReloadResult::Refused, clock::wall_now());
        self.admin.configuration_refused(why);
        tracing::error!("the new configuration is refused, the one before stays in force: {why}");
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
