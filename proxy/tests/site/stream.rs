//! The page that arrives in pieces.

use tokio::task::JoinSet;

use crate::support::client::Arriving;
use crate::support::{Client, Renderer, Shellac};

#[tokio::test]
async fn the_first_piece_reaches_everyone_while_the_rest_is_rendered() {
    let shellac = Shellac::before(Renderer::shared().address());
    // The first piece comes at once, the next one after a minute: longer than the proxy waits for
    // it.
    let path = "/stream?chunks=10&ms=60000&id=pieces";

    let mut leader = shellac.client().open(path).await;
    let leading = leader.piece().await.expect("there is content").expect("nothing broke off");
    let mut follower = shellac.client().open(path).await;
    let following = follower.piece().await.expect("there is content").expect("nothing broke off");

    assert!(leading.starts_with(b"<!DOCTYPE html>"));
    assert_eq!(leading, following);
    assert!(is_collapsed(&follower), "{:?}", follower.fields);
}

#[tokio::test]
async fn everyone_gets_the_whole_page_though_the_first_visitor_left_early() {
    let renderer = Renderer::shared();
    let shellac = Shellac::before(renderer.address());
    let path = "/stream?chunks=20&ms=150&bytes=4096&id=left";

    let mut leader = shellac.client().open(path).await;
    let followers = open_several(shellac.client(), path).await;
    let mut received = 0;
    while received < 20 * 4096 / 10 {
        received += leader.piece().await.expect("there is more").expect("nothing broke off").len();
    }
    drop(leader);

    let contents = followers.into_iter().map(Arriving::content).collect::<JoinSet<_>>();
    let contents = contents.join_all().await.into_iter();
    let contents: Vec<_> = contents.map(|content| content.expect("it is complete")).collect();
    assert!(contents.iter().all(|content| content.ends_with(b"</html>\n")));
    assert!(contents.iter().all(|content| content == &contents[0]));
    let hit = shellac.client().get(path).await;
    assert!(hit.is_hit(), "{:?}", hit.fields);
    assert_eq!(hit.body, contents[0]);
    assert_eq!(renderer.requests_for(path).await, 1);
}

#[tokio::test]
async fn a_page_that_breaks_off_ends_badly_for_everyone_and_is_not_stored() {
    let renderer = Renderer::shared();
    let shellac = Shellac::before(renderer.address());
    let path = "/stream?chunks=10&ms=700&bytes=1024&drop_after=3&id=broken";

    let leader = shellac.client().open(path).await;
    let mut everyone = open_several(shellac.client(), path).await;
    everyone.push(leader);
    let contents = everyone.into_iter().map(Arriving::content).collect::<JoinSet<_>>();
    let contents = contents.join_all().await;
    assert!(contents.iter().all(Result::is_err), "a broken page ended as if it was complete");
    assert_eq!(renderer.requests_for(path).await, 1);

    let again = shellac.client().open(path).await.content().await;
    assert!(again.is_err());
    assert_eq!(renderer.requests_for(path).await, 2, "a broken page was stored");
}

/// Opens several, each following the flight that is in the air: their heads are here.
async fn open_several(client: Client, path: &'static str) -> Vec<Arriving> {
    let several = (0..10).map(|_| async move { client.open(path).await }).collect::<JoinSet<_>>();
    let several = several.join_all().await;
    assert!(several.iter().all(is_collapsed));
    several
}

fn is_collapsed(arriving: &Arriving) -> bool {
    let status = arriving.fields.get("cache-status");
    status.is_some_and(|status| status.as_bytes().ends_with(b"; collapsed"))
}
