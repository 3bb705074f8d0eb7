//! Handshakes of rustls' own client with a listener, over a pair of sockets.

mod handshakes;
mod renewal;
mod support;
