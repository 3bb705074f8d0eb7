//! The engines with a file, on real files and on a simulated disk.

mod bench;
mod contract;
mod crash;
mod damage;
mod model;
mod recall;
mod reclaim;
mod sweep;
mod versions;
