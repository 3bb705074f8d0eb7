//! The private page: one for each visitor, never stored.

use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::support::{Client, Renderer, Shellac};

const ACCOUNT: &str = "/account";

#[tokio::test]
async fn a_private_page_is_rendered_for_each_visitor() {
    let shellac = Shellac::before(Renderer::shared().address());
    let mut sessions = HashSet::new();
    for _ in 0..3 {
        let answer = shellac.client().get(ACCOUNT).await;
        let session = answer.shown("session").to_owned();
        assert!(answer.field("set-cookie").contains(&session), "the cookie is for this visitor");
        assert!(!answer.is_hit() && !answer.cache_says("stored"), "{:?}", answer.fields);
        assert!(sessions.insert(session), "two visitors share a session");
    }
}

#[tokio::test]
async fn visitors_at_the_same_time_see_their_own_session() {
    let shellac = Shellac::before(Renderer::shared().address());
    let mut visits = JoinSet::new();
    for number in 0..50 {
        visits.spawn(visit(shellac.client(), number));
    }
    visits.join_all().await;
}

async fn visit(client: Client, number: usize) {
    let own = format!("visitor-{number}");
    for _ in 0..3 {
        let answer = client.get_with_cookie(ACCOUNT, &format!("session={own}")).await;
        assert_eq!(answer.shown("session"), own);
        assert!(!answer.is_hit());
        let stranger = client.get(ACCOUNT).await;
        assert!(!stranger.shown("session").starts_with("visitor-"), "a session was shared");
    }
}
