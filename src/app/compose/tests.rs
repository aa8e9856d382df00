//! Tenants that come and go. Nobody is asked for anything, so there is no Feishu.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use crate::config::StoreKind;

use super::*;

fn config(tenants: &[(&str, &str)]) -> Config {
    let tenant = |(name, app): &(&str, &str)| {
        TenantConfig::new(name, app, "secret".into(), "http://127.0.0.1:1")
    };
    let mut config = Config {
        tenants: tenants.iter().map(tenant).collect(),
        ..Config::default()
    };
    config.cache.store = StoreKind::None;
    config
}

const ACME: (&str, &str) = ("acme", "cli_a");
const GLOBEX: (&str, &str) = ("globex", "cli_g");

async fn composer(registry: &Registry) -> Composer {
    let both = config(&[ACME, GLOBEX]);
    Composer::start(&both, registry).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_goes_ends_a_minute_later() {
    let registry = Registry::new();
    let mut composer = composer(&registry).await;
    let globex = Arc::downgrade(&composer.running["globex"].tenant);
    assert!(registry.text().contains("tenant=\"globex\""));
    let now = Instant::now();
    composer.apply(&config(&[ACME])).await.unwrap();
    assert!(composer.resolver.tenant("globex").is_err());
    assert!(!registry.text().contains("tenant=\"globex\""));
    assert!(registry.text().contains("tenant=\"acme\""));
    composer.part(now + LINGER / 2).await;
    assert!(globex.upgrade().is_some(), "its calls may be under way");
    composer.part(now + LINGER).await;
    assert!(globex.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_within_the_minute_is_the_same() {
    let registry = Registry::new();
    let mut composer = composer(&registry).await;
    let of = |composer: &Composer, name| composer.resolver.tenant(name).unwrap();
    let before = (of(&composer, "acme"), of(&composer, "globex"));
    composer.apply(&config(&[ACME])).await.unwrap();
    let changes = composer.apply(&config(&[ACME, GLOBEX])).await.unwrap();
    assert_eq!((changes.added.len(), changes.removed.len()), (1, 0));
    assert!(Arc::ptr_eq(&before.0, &of(&composer, "acme")));
    assert!(Arc::ptr_eq(&before.1, &of(&composer, "globex")));
    assert!(registry.text().contains("tenant=\"globex\""));
    composer.part(Instant::now() + 2 * LINGER).await;
    composer.apply(&config(&[ACME])).await.unwrap();
    composer.part(Instant::now() + 2 * LINGER).await;
    composer.apply(&config(&[ACME, GLOBEX])).await.unwrap();
    let after = of(&composer, "globex");
    assert!(after.number() > before.1.number(), "no number comes again");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_renamed_has_spent_what_its_app_has() {
    let registry = Registry::new();
    let mut composer = composer(&registry).await;
    let quota = composer.running["globex"].parts.quota.clone();
    let renamed = config(&[ACME, ("initech", GLOBEX.1)]);
    let changes = composer.apply(&renamed).await.unwrap();
    let expected = Changes {
        added: vec!["initech".to_owned()],
        removed: vec!["globex".to_owned()],
        ..Changes::default()
    };
    assert_eq!(changes, expected);
    assert!(Arc::ptr_eq(
        &quota,
        &composer.running["initech"].parts.quota
    ));
}

#[tokio::test(start_paused = true)]
async fn names_that_are_swapped_swap_no_answers() {
    let registry = Registry::new();
    let mut composer = composer(&registry).await;
    let numbers = |composer: &Composer| {
        ["acme", "globex"].map(|name| composer.resolver.tenant(name).unwrap().number())
    };
    let before = numbers(&composer);
    let swapped = config(&[("acme", GLOBEX.1), ("globex", ACME.1)]);
    composer.apply(&swapped).await.unwrap();
    let after = numbers(&composer);
    assert!(after.iter().all(|number| !before.contains(number)));
}
