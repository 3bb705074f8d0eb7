//! End to end: the real program before the real renderer (`loadtest/renderer`, a Next.js site),
//! over real sockets.
//!
//! Needs Node.js; the site is installed and built on first use. Every test has a proxy of its own.
//! Those that neither make the renderer fail nor count all of its requests share one renderer, and
//! take products and ids of their own.

#[cfg(test)]
mod support;

#[cfg(test)]
mod browser;
#[cfg(test)]
mod django;
#[cfg(test)]
mod frameworks;
#[cfg(test)]
mod hit;
#[cfg(test)]
mod purge;
#[cfg(test)]
mod private;
#[cfg(test)]
mod burst;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod failure;
#[cfg(test)]
mod process;
#[cfg(test)]
mod dashboard;
