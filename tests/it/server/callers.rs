//! Whom the service is told that a request is from.

use feishu_id::server::ServerSettings;

use super::support::{AT_ONCE, Running, request, soon};

#[tokio::test]
async fn the_requests_of_a_connection_have_one_caller_and_another_connection_has_another() {
    let server = Running::start(ServerSettings::default()).await;
    let mut first = server.identity().await;
    let mut second = server.identity().await;
    let mut callers = Vec::new();
    for client in [&mut first, &mut second] {
        for _ in 0..2 {
            let answer = soon(client.resolve_user_ids(request(AT_ONCE))).await;
            let metadata = answer.unwrap().metadata().clone();
            callers.push(metadata.get("caller").unwrap().clone());
        }
    }
    assert_eq!(callers[0], callers[1]);
    assert_eq!(callers[2], callers[3]);
    assert_ne!(callers[0], callers[2]);
}
