//! A `store.dat` that somebody else has changed, or that cannot be read: it is out of service at
//! once, no client is sent anything but what was stored, and memory and origin go on.

use std::cell::Cell;
use std::fs::{File, OpenOptions};

use settings::StorageKind;
use shellac::testing::store::file::Service;
use tempfile::TempDir;

use crate::storage::{large, start, written};
use crate::support::client::{Http2, text};
use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::Proxy;
use crate::support::until;

fn data_of(folder: &TempDir) -> File {
    OpenOptions::new().write(true).open(folder.path().join("store/store.dat")).unwrap()
}

fn is_distrusted(proxy: &Proxy) -> bool {
    proxy.app.file_usage().unwrap().service == Service::Out
}

/// A proxy that has sent this from the map a moment ago.
async fn trusting(origin: &Origin, folder: &TempDir, content: &str) -> Proxy {
    origin.on("/large", cacheable(content));
    let proxy = start(origin, folder, StorageKind::File).await;
    proxy.get("/large").await;
    written(&proxy, 1).await;
    for _ in 0..3 {
        assert!(proxy.get("/large").await.is_hit());
    }
    assert!(proxy.app.file_usage().unwrap().mapped > 10, "it comes from the map");
    proxy
}

/// Waits until the sockets are full: nothing is being copied from the map at this moment.
async fn stalled(proxy: &Proxy) {
    let (mapped, unchanged) = (Cell::new(0), Cell::new(0));
    until("the sockets are full", || {
        let now = proxy.app.file_usage().unwrap().mapped;
        unchanged.set(if mapped.replace(now) == now { unchanged.get() + 1 } else { 0 });
        unchanged.get() == 50
    })
    .await;
}

/// Were a worker to read behind the end of the mapped file, the whole program would end.
#[tokio::test]
async fn a_file_that_is_cut_short_breaks_responses_off_and_nothing_else() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let content = large(LENGTH);
    let proxy = trusting(&origin, &folder, &content).await;
    origin.on("/small", cacheable("small"));
    proxy.get("/small").await;
    let mut slow = proxy.begin("/large", &[]).await;
    let head = slow.head().await;
    data_of(&folder).set_len(1 << 20).unwrap();
    assert!(slow.rest(head).await.is_err(), "it breaks off");
    let again = proxy.get("/large").await;
    assert!(!again.is_hit() && again.text() == content, "{}", again.cache_status());
    assert!(is_distrusted(&proxy));
    assert!(proxy.get("/small").await.is_hit(), "from memory");
    origin.on("/new", cacheable("new"));
    for is_hit in [false, true] {
        assert_eq!(proxy.get("/new").await.is_hit(), is_hit, "memory goes on");
    }
    let length = data_of(&folder).metadata().unwrap().len();
    assert_eq!(length, 1 << 20, "nothing was written");
    let page = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(page.text().contains("\nshellac_storage_distrusted 1\n"));
}

/// The kernel shows zeros where a file was cut off and is long enough again, and behind its end in
/// its last page. What waits for a slow client, and what was verified a moment ago, is not sent
/// then.
#[tokio::test]
async fn zeros_are_never_sent_in_place_of_what_a_file_held() {
    let content = large(LENGTH);
    for (cut, is_made_longer) in
        [(0, true), (1 << 20, true), ((3 << 20) + 100, false), ((5 << 20) + 2000, true)]
    {
        let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
        let proxy = trusting(&origin, &folder, &content).await;
        let mut slow = proxy.begin("/large", &[]).await;
        slow.head().await;
        stalled(&proxy).await;
        let file = data_of(&folder);
        let length = file.metadata().unwrap().len();
        file.set_len(cut).unwrap();
        if is_made_longer {
            file.set_len(length).unwrap();
        }
        let sent = slow.up_to(content.len()).await;
        assert!(content.as_bytes().starts_with(&sent), "{cut}: other bytes were sent");
        assert!(sent.len() < content.len(), "{cut}: it breaks off");
        let again = proxy.get("/large").await;
        assert!(!again.is_hit() && again.text() == content, "{}", again.cache_status());
        assert!(is_distrusted(&proxy));
    }
}

#[tokio::test]
async fn over_http2_a_file_that_is_cut_short_resets_streams() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let content = large(LENGTH);
    let proxy = trusting(&origin, &folder, &content).await;
    let mut client = Http2::open(proxy.address).await;
    let response = client.get("/large").await.unwrap(); // its windows are smaller than that
    data_of(&folder).set_len(1 << 20).unwrap();
    assert!(text(response).await.is_err(), "it breaks off");
    assert!(text(client.get("/large").await.unwrap()).await.unwrap() == content, "fetched anew");
    assert!(is_distrusted(&proxy));
}

/// More than the sockets hold: the last bytes are not on their way when the file is cut.
const LENGTH: usize = 15_000_000;
