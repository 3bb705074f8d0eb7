//! A slow way to a server: everything that goes there arrives later.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::rest;

/// The relay; it lets nobody in after it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Relay {
    /// Begins to relay to a server; every piece on the way there waits for so long.
    pub(crate) fn start(server: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone())
                else {
                    continue;
                };
                let _set = (client.set_nodelay(true), server.set_nodelay(true));
                thread::spawn(move || carry(client, server, delay));
                thread::spawn(move || carry(server_again, client_again, Duration::ZERO));
            }
        });
        Self { address, ended }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _wakes = TcpStream::connect(self.address);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        rest(delay);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ended = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
}
