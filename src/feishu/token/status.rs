//! How the tokens of a credential are, for those who look after it. Never the token itself.

use std::time::Duration;

use tokio::time::Instant;

use super::Tokens;

/// How one credential's tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenStatus {
    /// What whoever gives them out says of the credential.
    pub credential: Credential,
    /// The token in use, if there is one.
    pub token: Option<TokenLife>,
}

/// What is known of a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nothing yet.
    #[default]
    Unknown,
    /// The last time that anything was said of it, a token was given for it.
    Accepted,
    /// The last time that anything was said of it, it was refused.
    Refused,
}

/// Where a token is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// Since it was asked for.
    pub age: Duration,
    /// What is left.
    pub expires_in: Duration,
}

impl Tokens {
    /// How they are.
    pub fn status(&self, now: Instant) -> TokenStatus {
        let state = self.slot.lock();
        TokenStatus {
            credential: state.credential,
            token: state.in_use(now).map(|token| TokenLife {
                age: now.saturating_duration_since(token.asked_at),
                expires_in: token.expires_at.saturating_duration_since(now),
            }),
        }
    }
}
