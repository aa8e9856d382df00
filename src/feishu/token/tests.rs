//! The rules of the token cache, under a clock that the tests move.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt as _, future::join_all};
use tokio::time::{advance, sleep};

use super::{
    state::{FAILURE, REFUSED_CREDENTIALS, REFUSED_WITH_A_TOKEN},
    *,
};

const MINUTE: Duration = Duration::from_mins(1);

type Answer = fn(usize) -> Result<(String, Duration), Kind>;

/// Gives `t-1`, `t-2`, … after 50 ms, or what the test says.
struct Source {
    fetches: AtomicUsize,
    answer: Mutex<Answer>,
}

impl Source {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            fetches: AtomicUsize::new(0),
            answer: Mutex::new(|n| Ok((format!("t-{n}"), 120 * MINUTE))),
        })
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn tokens(self: &Arc<Self>) -> Tokens {
        let key = CredentialKey::new("http://x", "cli_1", &"secret".into());
        TokenCache::tokens(&TokenCache::new(), key, self.clone())
    }
}

impl TokenSource for Source {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, DirectoryError>> {
        async {
            let n = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(Duration::from_millis(50)).await;
            let answer = *self.answer.lock().unwrap();
            let (value, expires_in) = answer(n).map_err(failure)?;
            Ok(FetchedToken {
                value: value.into(),
                expires_in,
            })
        }
        .boxed()
    }
}

fn failure(kind: Kind) -> DirectoryError {
    DirectoryError::new(kind, "on purpose")
}

async fn value(tokens: &Tokens) -> String {
    tokens.get().await.unwrap().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_callers_make_one_fetch() {
    let source = Source::new();
    let tokens = source.tokens();
    let values = join_all((0..1000).map(|_| value(&tokens))).await;
    assert!(values.iter().all(|v| v == "t-1"));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_use_is_refreshed_in_its_last_half_hour_without_a_wait() {
    let source = Source::new();
    let tokens = source.tokens();
    assert_eq!(value(&tokens).await, "t-1");
    advance(89 * MINUTE).await;
    assert_eq!(value(&tokens).await, "t-1");
    assert_eq!(
        source.fetches(),
        1,
        "asking earlier would give the same token"
    );
    advance(21 * MINUTE).await;
    let before = Instant::now();
    assert_eq!(value(&tokens).await, "t-1");
    assert_eq!(before.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(value(&tokens).await, "t-2");
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_old_token_is_used_to_its_end_while_refreshing_fails() {
    let source = Source::new();
    let tokens = source.tokens();
    value(&tokens).await;
    source.answers(|_| Err(Kind::Unavailable));
    advance(111 * MINUTE).await;
    for _ in 0..500 {
        assert_eq!(value(&tokens).await, "t-1");
        sleep(Duration::from_secs(1)).await;
    }
    assert!(source.fetches() < 50, "a failed refresh backs off");
    advance(MINUTE).await;
    assert!(
        tokens.get().await.is_err(),
        "an expired token is never used"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_credential_refreshes_nothing() {
    let source = Source::new();
    let tokens = source.tokens();
    value(&tokens).await;
    sleep(24 * 60 * MINUTE).await;
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_rejections_of_one_token_make_one_fetch() {
    let source = Source::new();
    let tokens = source.tokens();
    let old = tokens.get().await.unwrap();
    let calls = (0..100).map(|_| async {
        tokens.rejected(&old, &failure(Kind::TokenRejected));
        value(&tokens).await
    });
    assert!(join_all(calls).await.iter().all(|v| v == "t-2"));
    tokens.rejected(&old, &failure(Kind::TokenRejected));
    assert_eq!(
        value(&tokens).await,
        "t-2",
        "a late rejection of the old one is void"
    );
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_token_coming_back_is_reported_not_looped() {
    let source = Source::new();
    source.answers(|_| Ok(("t-same".to_owned(), 100 * MINUTE)));
    let tokens = source.tokens();
    let dead = tokens.get().await.unwrap();
    tokens.rejected(&dead, &failure(Kind::TokenRejected));
    for _ in 0..100 {
        assert_eq!(tokens.get().await.unwrap_err().kind, Kind::Unavailable);
    }
    assert_eq!(source.fetches(), 2);
    source.answers(|_| Ok(("t-new".to_owned(), 100 * MINUTE)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(value(&tokens).await, "t-new");
}

#[tokio::test(start_paused = true)]
async fn a_feishu_that_rejects_every_token_is_not_hammered() {
    let source = Source::new();
    let tokens = source.tokens();
    for _ in 0..600 {
        if let Ok(token) = tokens.get().await {
            tokens.rejected(&token, &failure(Kind::TokenRejected));
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(source.fetches() < 15, "{} in a minute", source.fetches());
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_remembered_for_a_short_while() {
    let source = Source::new();
    source.answers(|_| Err(Kind::BadCredentials));
    let tokens = source.tokens();
    for _ in 0..100 {
        let error = tokens.get().await.unwrap_err();
        assert_eq!(error.kind, Kind::BadCredentials);
    }
    assert_eq!(source.fetches(), 1);
    source.answers(|n| Ok((format!("t-{n}"), 120 * MINUTE)));
    advance(REFUSED_CREDENTIALS).await;
    assert_eq!(value(&tokens).await, "t-2");
}

#[tokio::test(start_paused = true)]
async fn another_secret_never_gets_this_ones_token() {
    let (right, wrong) = (Source::new(), Source::new());
    wrong.answers(|_| Err(Kind::BadCredentials));
    let cache = TokenCache::new();
    let tokens = |source: &Arc<Source>, secret: &str| {
        let key = CredentialKey::new("http://x", "cli_1", &secret.into());
        TokenCache::tokens(&cache, key, source.clone())
    };
    let first = tokens(&right, "right");
    assert_eq!(value(&first).await, "t-1");
    assert!(tokens(&wrong, "wrong").get().await.is_err());
    assert_eq!(value(&tokens(&right, "right")).await, "t-1");
    assert_eq!(right.fetches(), 1, "the same credential shares its token");
}

#[tokio::test(start_paused = true)]
async fn a_short_life_is_refreshed_in_its_last_third() {
    let source = Source::new();
    source.answers(|n| Ok((format!("t-{n}"), 15 * MINUTE)));
    let tokens = source.tokens();
    value(&tokens).await;
    advance(9 * MINUTE).await;
    value(&tokens).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(source.fetches(), 1);
    advance(Duration::from_secs(5 * 60 + 30)).await;
    value(&tokens).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_rejected_by_mistake_gets_another_chance() {
    let source = Source::new();
    source.answers(|_| Ok(("t-same".to_owned(), 100 * MINUTE)));
    let tokens = source.tokens();
    let token = tokens.get().await.unwrap();
    tokens.rejected(&token, &failure(Kind::TokenRejected));
    assert!(tokens.get().await.is_err());
    sleep(FAILURE.first).await;
    let again = tokens.get().await.unwrap();
    assert_eq!(again.expose(), "t-same");
    tokens.accepted(&again);
    assert_eq!(source.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_that_always_comes_back_is_not_hammered() {
    let source = Source::new();
    source.answers(|_| Ok(("t-same".to_owned(), 100 * MINUTE)));
    let tokens = source.tokens();
    for _ in 0..600 {
        if let Ok(token) = tokens.get().await {
            tokens.rejected(&token, &failure(Kind::TokenRejected));
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(source.fetches() < 25, "{} in a minute", source.fetches());
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_of_the_credential_and_of_the_tokens_life() {
    let source = Source::new();
    let tokens = source.tokens();
    let status = || tokens.status(Instant::now());
    assert_eq!(
        (status().credential, status().token),
        (Credential::Unknown, None)
    );
    source.answers(|_| Err(Kind::Unavailable));
    tokens.get().await.unwrap_err();
    assert_eq!(
        status().credential,
        Credential::Unknown,
        "it was not reached"
    );
    sleep(MINUTE).await;
    source.answers(|_| Err(Kind::BadCredentials));
    tokens.get().await.unwrap_err();
    assert_eq!(
        (status().credential, status().token),
        (Credential::Refused, None)
    );
    sleep(MINUTE).await;
    source.answers(|n| Ok((format!("t-{n}"), 120 * MINUTE)));
    tokens.get().await.unwrap();
    advance(10 * MINUTE).await;
    let life = status().token.unwrap();
    assert_eq!(status().credential, Credential::Accepted);
    assert_eq!(life.age + life.expires_in, 120 * MINUTE);
    assert!((10 * MINUTE..11 * MINUTE).contains(&life.age), "{life:?}");
    advance(111 * MINUTE).await;
    assert_eq!(status().token, None, "it has expired");
    assert_eq!(status().credential, Credential::Accepted);
}

/// The tokens of an app before and after its secret was changed, each from a source of its own.
async fn rotated() -> (Tokens, Arc<Source>, Arc<Source>) {
    let (old, new) = (Source::new(), Source::new());
    new.answers(|n| Ok((format!("new-{n}"), 120 * MINUTE)));
    let cache = TokenCache::new();
    let tokens = |source: &Arc<Source>, secret: &str| {
        let key = CredentialKey::new("http://x", "cli_1", &secret.into());
        TokenCache::tokens(&cache, key, source.clone())
    };
    let before = tokens(&old, "old");
    assert_eq!(value(&before).await, "t-1");
    let after = tokens(&new, "new");
    after.follow(&before);
    (after, old, new)
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_is_taken_up_behind_the_calls() {
    let (tokens, old, new) = rotated().await;
    let before = Instant::now();
    assert_eq!(value(&tokens).await, "t-1");
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(value(&tokens).await, "new-1");
    assert_eq!((old.fetches(), new.fetches()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_known_yet_costs_no_call_while_the_old_token_lives() {
    let (tokens, _, new) = rotated().await;
    new.answers(|_| Err(Kind::BadCredentials));
    for _ in 0..110 * 60 {
        assert_eq!(value(&tokens).await, "t-1");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(
        tokens.status(Instant::now()).credential,
        Credential::Refused
    );
    let fetches = new.fetches();
    assert!((20..50).contains(&fetches), "{fetches}");
    new.answers(|_| Ok(("new".to_owned(), 120 * MINUTE)));
    sleep(REFUSED_WITH_A_TOKEN.longest).await;
    assert_eq!(value(&tokens).await, "t-1");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(value(&tokens).await, "new");
}

#[tokio::test(start_paused = true)]
async fn the_old_secrets_token_is_not_used_past_its_end() {
    let (tokens, _, new) = rotated().await;
    new.answers(|_| Err(Kind::BadCredentials));
    advance(119 * MINUTE).await;
    assert_eq!(value(&tokens).await, "t-1");
    sleep(Duration::from_millis(100)).await;
    new.answers(|_| Ok(("new".to_owned(), 120 * MINUTE)));
    advance(MINUTE).await;
    // What was put off while there was a token is not put off any longer.
    assert_eq!(value(&tokens).await, "new");
}

#[tokio::test(start_paused = true)]
async fn a_feishu_that_ends_the_old_secrets_token_costs_one_fetch() {
    let (tokens, _, new) = rotated().await;
    let dead = tokens.get().await.unwrap();
    let calls = (0..100).map(|_| async {
        tokens.rejected(&dead, &failure(Kind::TokenRejected));
        value(&tokens).await
    });
    assert!(join_all(calls).await.iter().all(|v| v == "new-1"));
    assert_eq!(new.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_way_to_the_same_app_is_tried_at_once() {
    let (broken, mended) = (Source::new(), Source::new());
    broken.answers(|_| Err(Kind::Unavailable));
    let cache = TokenCache::new();
    let tokens = |source: &Arc<Source>| {
        let key = CredentialKey::new("http://x", "cli_1", &"secret".into());
        TokenCache::tokens(&cache, key, source.clone())
    };
    let before = tokens(&broken);
    for _ in 0..3 {
        assert!(before.get().await.is_err());
        sleep(MINUTE).await;
    }
    assert!(before.get().await.is_err());
    let after = tokens(&mended);
    after.follow(&before);
    assert_eq!(value(&after).await, "t-1");
}
