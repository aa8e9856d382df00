#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::server::bill::PENANCE;

fn seats(most: usize, most_of_peer: usize) -> Seats {
    Seats::new(&ServerSettings {
        max_connections: most,
        max_connections_per_peer: most_of_peer,
        ..ServerSettings::default()
    })
}

fn take(seats: &Seats, address: &str) -> Result<Seat, Refusal> {
    seats.take(address.parse().unwrap())
}

#[test]
fn one_address_leaves_room_for_others_and_a_seat_comes_back() {
    let seats = seats(10, 2);
    let first = take(&seats, "192.0.2.1").ok();
    let _second = take(&seats, "::ffff:192.0.2.1").ok();
    assert_eq!(
        take(&seats, "192.0.2.1").err(),
        Some(Refusal::TooManyOfPeer)
    );
    assert!(take(&seats, "192.0.2.2").is_ok());
    drop(first);
    assert!(take(&seats, "192.0.2.1").is_ok());
}

/// How long it waits for its turn.
async fn wait(seat: &Seat) -> Duration {
    let began = Instant::now();
    seat.turn().await.unwrap();
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_has_flooded_waits_and_nobody_else() {
    let seats = seats(10, 10);
    take(&seats, "192.0.2.1").unwrap().flooded();
    assert_eq!(
        wait(&take(&seats, "192.0.2.2").unwrap()).await,
        Duration::ZERO
    );
    let next = take(&seats, "192.0.2.1").unwrap();
    let waited = wait(&next).await;
    assert!(
        waited >= PENANCE && waited < PENANCE + SPACING,
        "{waited:?}"
    );
    tokio::time::advance(SPACING).await;
    assert_eq!(wait(&next).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_begin_one_by_one_and_a_flood_holds_up_the_rest() {
    let seats = seats(10, 10);
    take(&seats, "192.0.2.1").unwrap().flooded();
    let three = [(); 3].map(|()| take(&seats, "192.0.2.1").unwrap());
    let began = Instant::now();
    let [first, second, third] = &three;
    let first = async {
        first.turn().await.unwrap();
        first.flooded();
        began.elapsed()
    };
    let second = async {
        second.turn().await.unwrap();
        began.elapsed()
    };
    let third = async {
        third.turn().await.unwrap();
        began.elapsed()
    };
    let (first, second, third) = tokio::join!(first, second, third);
    assert!(first >= PENANCE && first < PENANCE + SPACING);
    assert!(second >= first + PENANCE, "{second:?}");
    assert!(third >= second + SPACING, "{third:?}");
    assert!(third < 2 * PENANCE + 4 * SPACING, "{third:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_gets_shorter_though_as_many_as_ever_come() {
    let seats = seats(1000, 1000);
    take(&seats, "192.0.2.1").unwrap().flooded();
    // 150 a second, which is more than may begin while something is owed.
    let all = (0..600_u64).map(|n| {
        let seats = seats.clone();
        async move {
            tokio::time::sleep(Duration::from_micros(6667 * n)).await;
            wait(&take(&seats, "192.0.2.1").unwrap()).await
        }
    });
    let waits = futures_util::future::join_all(all).await;
    assert!(waits.iter().max() < Some(&Duration::from_secs(1)));
    assert!(waits.iter().skip(450).max() < Some(&Duration::from_millis(10)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_turned_away() {
    let seats = seats(100, 100);
    take(&seats, "192.0.2.1").unwrap().flooded();
    let began = Instant::now();
    let all = (0..20).map(|_| async {
        let seat = take(&seats, "192.0.2.1").unwrap();
        let turn = seat.turn().await;
        if turn.is_ok() {
            seat.flooded();
        }
        turn
    });
    let turns = futures_util::future::join_all(all).await;
    assert_eq!(began.elapsed(), LONGEST_WAIT);
    let served = turns.iter().filter(|turn| turn.is_ok()).count();
    assert!((8..=10).contains(&served), "{served}");
    assert!(turns.contains(&Err(Refusal::Flooding)));
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_owes_is_owed_after_it_has_gone() {
    let seats = seats(10, 10);
    let rate = f64::from(ServerSettings::default().max_control_frames_per_second);
    let now = Instant::now();
    let charge = || {
        let account = take(&seats, "192.0.2.1").unwrap().account();
        account.charge(0.9 * rate, now)
    };
    assert!(!charge());
    assert_eq!(
        wait(&take(&seats, "192.0.2.1").unwrap()).await,
        Duration::ZERO
    );
    assert!(charge(), "nine tenths twice are too much");
    let waited = wait(&take(&seats, "192.0.2.1").unwrap()).await;
    assert!(waited >= PENANCE, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_has_paid_is_forgotten() {
    let seats = seats(10, 10);
    for n in 1..FEW {
        let address = format!("10.0.{}.{}", n / 256, n % 256);
        take(&seats, &address).unwrap().flooded();
    }
    assert_eq!(seats.0.lock().of.len(), FEW - 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    take(&seats, "192.0.2.1").unwrap().flooded();
    assert_eq!(seats.0.lock().of.len(), 1);
}

#[test]
fn a_network_of_ipv6_is_one_peer() {
    let seats = seats(10, 1);
    let _held = take(&seats, "2001:db8::1").ok();
    let same = take(&seats, "2001:db8::ffff:ffff:ffff:ffff");
    assert_eq!(same.err(), Some(Refusal::TooManyOfPeer));
    assert!(take(&seats, "2001:db8:0:1::1").is_ok());
}

#[test]
fn all_together_are_bounded_and_nobody_is_remembered() {
    let seats = seats(2, 2);
    let held = [
        take(&seats, "192.0.2.1").ok(),
        take(&seats, "192.0.2.2").ok(),
    ];
    assert_eq!(take(&seats, "192.0.2.3").err(), Some(Refusal::TooMany));
    drop(held);
    assert!(seats.0.lock().of.is_empty());
    assert!(take(&seats, "192.0.2.3").is_ok());
}
