//! Handshakes over a pair of sockets: of rustls' own client with a listener, and of ours with a
//! listener that stands for a server.

mod handshakes;
mod renewal;
mod servers;
mod support;
