//! What is known of one credential's tokens, and what follows from it. Waits for nobody.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::{
    backoff::{Backoff, Random},
    directory::{DirectoryError, DirectoryErrorKind as Kind, SharedFailure},
};

use super::{Credential, Token};

/// How long refused credentials are remembered, so that callers do not hammer: mending them takes
/// a person longer than this.
pub(super) const REFUSED_CREDENTIALS: Duration = Duration::from_secs(10);
/// The same while there is a token to use all the same, as when a new secret is configured before Feishu
/// has it: 10 to 20 s, then twice that, up to 5 min. Each time costs a call of the month.
pub(super) const REFUSED_WITH_A_TOKEN: Backoff = Backoff {
    first: Duration::from_secs(20),
    longest: Duration::from_mins(5),
};
/// A token rejected after this long was a good one: no reason to think ill of the next.
const GOOD_FOR_A_WHILE: Duration = Duration::from_secs(30);
/// How long any other failure is remembered.
pub(super) const FAILURE: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
};

#[derive(Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Token>>,
    /// That of the secret before this one: used until there is one of this.
    pub(super) inherited: Option<Arc<Token>>,
    pub(super) credential: Credential,
    /// The last one that Feishu rejected: getting it again right away must not loop.
    rejected: Option<Arc<Token>>,
    /// Rejections since a token last worked.
    rejections: u32,
    /// Failed fetches since one last worked.
    failures: u32,
    failed: Option<Failed>,
}

/// The last failed fetch.
struct Failed {
    /// Until when it answers for the next callers.
    until: Instant,
    error: DirectoryError,
    /// It was put off for long because there was a token all the same: it says nothing to those who
    /// come when there is none any more.
    had_a_token: bool,
}

/// What to do with what is known.
pub(super) enum Choice {
    Use(Arc<Token>),
    UseAndRefresh(Arc<Token>),
    Fail(DirectoryError),
    Fetch,
}

impl State {
    pub(super) fn choose(&self, now: Instant) -> Choice {
        let failed = self.failed.as_ref().filter(|failed| now < failed.until);
        let Some(token) = self.in_use(now) else {
            return match failed {
                Some(failed) if !failed.had_a_token => Choice::Fail(failed.error.clone()),
                _ => Choice::Fetch,
            };
        };
        let is_ours = self.current.as_ref().is_some_and(|t| Arc::ptr_eq(t, token));
        if failed.is_some() || (is_ours && now < token.refresh_at) {
            Choice::Use(token.clone())
        } else {
            Choice::UseAndRefresh(token.clone())
        }
    }

    /// The token to use, which has not expired.
    pub(super) fn in_use(&self, now: Instant) -> Option<&Arc<Token>> {
        let tokens = [&self.current, &self.inherited].into_iter().flatten();
        tokens.into_iter().find(|token| now < token.expires_at)
    }

    /// Drops this very token, if it is one that is used.
    fn drop_token(&mut self, token: &Arc<Token>) -> bool {
        let mut held = [&mut self.current, &mut self.inherited].into_iter();
        let held = held.find(|held| held.as_ref().is_some_and(|t| Arc::ptr_eq(t, token)));
        held.and_then(Option::take).is_some()
    }

    pub(super) fn fail(&mut self, mut error: DirectoryError, random: f64) -> DirectoryError {
        let at = Instant::now();
        self.failures = self.failures.saturating_add(1);
        let had_a_token = self.in_use(at).is_some() && error.kind == Kind::BadCredentials;
        if error.kind == Kind::BadCredentials {
            self.credential = Credential::Refused;
        }
        let pause = match error.kind {
            Kind::BadCredentials if had_a_token => {
                REFUSED_WITH_A_TOKEN.pause(self.failures, random)
            }
            Kind::BadCredentials => REFUSED_CREDENTIALS,
            _ => FAILURE.pause(self.failures, random),
        };
        let until = at + pause;
        error.shared = Some(Box::new(SharedFailure { at, until }));
        self.failed = Some(Failed {
            until,
            error: error.clone(),
            had_a_token,
        });
        error
    }

    /// Feishu gave this one.
    pub(super) fn take(&mut self, token: &Arc<Token>) {
        // The failure belongs to the token before it.
        self.forget_failures();
        self.current = Some(token.clone());
        self.inherited = None;
    }

    pub(super) fn forget_failures(&mut self) {
        (self.failures, self.failed) = (0, None);
    }

    /// Feishu took this one.
    pub(super) fn accept(&mut self, token: &Arc<Token>) {
        let is_ours = self.current.as_ref().is_some_and(|t| Arc::ptr_eq(t, token));
        if is_ours {
            self.rejections = 0;
        }
    }

    /// Feishu rejected this one: it is dropped, unless it has been replaced already.
    pub(super) fn reject(&mut self, token: &Arc<Token>, error: &DirectoryError, random: Random) {
        if !self.drop_token(token) {
            return;
        }
        self.rejected = Some(token.clone());
        if token.asked_at.elapsed() >= GOOD_FOR_A_WHILE {
            self.rejections = 0;
        }
        self.rejections = self.rejections.saturating_add(1);
        if self.rejections > 1 {
            // The one before this was rejected too: a third would fare no better just now.
            let at = Instant::now();
            let until = at + FAILURE.pause(self.rejections - 1, random());
            let error = DirectoryError {
                shared: Some(Box::new(SharedFailure { at, until })),
                ..error.clone()
            };
            self.failed = Some(Failed {
                until,
                error,
                had_a_token: false,
            });
        }
    }

    /// Whether this is the one that Feishu rejected last. It says so once: after a pause the token gets
    /// another chance, since the rejection may have been a fluke, and Feishu gives no other one while it
    /// has half an hour left.
    pub(super) fn is_rejected(&mut self, value: &SecretString) -> bool {
        let is_same = |old: &Arc<Token>| {
            let (old, new) = (old.expose(), value.expose_secret());
            verify_slices_are_equal(old.as_bytes(), new.as_bytes()).is_ok()
        };
        let is_rejected = self.rejected.as_ref().is_some_and(is_same);
        if is_rejected {
            self.rejected = None;
        }
        is_rejected
    }
}
