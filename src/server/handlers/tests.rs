#![expect(clippy::panic, reason = "tests")]

use futures_util::{FutureExt as _, poll};
use tokio::task::yield_now;

use super::*;

fn handlers() -> Handlers {
    Handlers::new(Duration::from_secs(100))
}

/// How often a handler has been polled, and what it waits for. The clock stands still, so that no
/// turn ends.
#[derive(Default)]
struct Polls {
    all: AtomicUsize,
    noticed: Notify,
}

async fn pass_once(polls: Arc<Polls>) {
    polls.all.fetch_add(1, Ordering::Relaxed);
    polls.noticed.notified().await;
    polls.all.fetch_add(1, Ordering::Relaxed);
}

/// Begins these handlers when first polled, and never ends.
fn connection(handlers: &Handlers, begin: Vec<Handler>) -> Driven<impl Future<Output = ()>> {
    let executor = handlers.clone();
    let connection = async move {
        for handler in begin {
            executor.execute(handler);
        }
        std::future::pending::<()>().await;
    };
    Driven::new(connection, handlers.clone())
}

#[tokio::test(start_paused = true)]
async fn what_has_its_answer_ends_in_place_and_what_waits_becomes_a_task() {
    let handlers = handlers();
    let polls = Arc::new(Polls::default());
    let begin = vec![async {}.boxed(), pass_once(polls.clone()).boxed()];
    let mut driven = connection(&handlers, begin);
    assert!(poll!(&mut driven).is_pending());
    assert_eq!(polls.all.load(Ordering::Relaxed), 1);
    assert_eq!(handlers.tasks.len(), 1);
    // It has been polled by nobody who is woken; the task polls it again.
    yield_now().await;
    polls.noticed.notify_one();
    handlers.gone().await;
    assert_eq!(polls.all.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_its_own_handlers_alone() {
    let handlers = handlers();
    let polls = Arc::new(Polls::default());
    let panics = async { panic!("told to") }.boxed();
    let begin = vec![panics, pass_once(polls.clone()).boxed()];
    let mut driven = connection(&handlers, begin);
    assert!(poll!(&mut driven).is_pending());
    assert_eq!(polls.all.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_goes_takes_those_along_that_it_has_not_polled() {
    let handlers = handlers();
    let driven = connection(&handlers, Vec::new());
    let held = Arc::new(());
    let holds = held.clone();
    driven.handlers.execute(async move { drop(holds) });
    drop(driven);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_once_its_last_task_has_been_done_for_a_while() {
    let handlers = handlers();
    let start = Instant::now();
    let begin = vec![tokio::time::sleep(Duration::from_secs(5)).boxed()];
    let mut driven = connection(&handlers, begin);
    assert!(poll!(&mut driven).is_pending());
    handlers
        .of_connection()
        .idle_for(Duration::from_secs(2))
        .await;
    assert_eq!(start.elapsed().as_secs(), 2, "another connection");
    handlers.idle_for(Duration::from_secs(2)).await;
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_connection_that_always_wakes_itself_lets_others_run() {
    let restless = std::future::poll_fn(|cx: &mut Context<'_>| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    let mut driven = Driven::new(restless, handlers());
    assert!(poll!(&mut driven).is_pending());
}

#[tokio::test]
async fn a_wake_from_elsewhere_reaches_the_task() {
    let elsewhere = Arc::new(Notify::new());
    let notified = elsewhere.clone();
    let connection = async move { notified.notified().await };
    let task = tokio::spawn(Driven::new(connection, handlers()));
    yield_now().await;
    elsewhere.notify_one();
    let woken = tokio::time::timeout(Duration::from_secs(10), task).await;
    assert!(woken.is_ok_and(|ended| ended.is_ok()));
}
