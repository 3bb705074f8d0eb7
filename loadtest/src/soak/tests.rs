//! A soak of a few thousand exchanges, with the proxy in this process.

use std::sync::atomic::Ordering;
use std::thread;

use process::clock::Clock;
use settings::{Config, Sources};
use shellac::app::App;
use shellac::server::Bound;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::kind::Kind;
use super::{SoakArguments, soak};

#[tokio::test]
async fn no_exchange_ever_gets_a_byte_of_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let file = format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
         [origin.soak]\nservers = [\"{origin}\"]\n[storage.memory]\ncapacity = \"32MiB\"\n\
         [purge]\nallow = [\"127.0.0.0/8\"]\n"
    );
    let sources = Sources { file: Some(("soak.toml".to_owned(), file)), ..Sources::default() };
    let config = Config::load(&sources).expect("the configuration is sound");
    let bound = Bound::bind(App::new(config, Clock::system()).expect("memory needs no file"))
        .expect("there are free ports");
    let proxy = bound.sockets().tcp()[0];
    let (leave, left) = oneshot::channel::<()>();
    let thread = thread::spawn(move || bound.run(async { drop(left.await) }).expect("it serves"));

    let arguments =
        SoakArguments { proxy, origin, exchanges: 6000, clients: 24, pid: None, seed: 1 };
    let soaked = soak(&arguments, listener).await;
    drop(leave);
    thread.join().expect("it ended in order");

    let total = soaked.tally.total();
    assert_eq!(total.failures(), 0, "\n{}", soaked.tally);
    assert_eq!(soaked.seen.malformed.load(Ordering::Relaxed), 0, "the origin got something odd");
    assert_eq!(soaked.seen.wrong_bodies.load(Ordering::Relaxed), 0);
    for (kind, name, _) in Kind::ALL {
        let row = soaked.tally.row(kind);
        assert!(row.exchanges > 0, "{name} never happened");
        let is_meant_to_fail = matches!(
            kind,
            Kind::Truncated | Kind::Surplus | Kind::Abort | Kind::AbortUpload | Kind::Malformed
        );
        assert!(is_meant_to_fail || row.good > 0, "{name} never succeeded\n{}", soaked.tally);
    }
    assert_eq!(soaked.tally.row(Kind::Truncated).good, 0, "what never came whole cannot be whole");
}
