//! Health: which servers get requests. Probes, the results of exchanges and operators decide; each
//! part is a state machine that is told the time.
//!
//! ```text
//! probes ──────► ProbeWindow ─┐
//! exchanges ───► Ejection ────┤
//!           └──► Circuit ─────┼─► Vitals ─► ServerState, share ─► the balancer
//! operators ───► AdminState ──┤
//! time ────────► SlowStart ───┘
//!
//! requests ────► OriginCircuit        HealthGroup: room for ejections, latencies compared
//! ```

mod admin_state;
mod circuit;
mod counters;
mod ejection;
mod exchange_result;
mod failed_urls;
mod group;
mod latency;
mod metrics;
mod origin_circuit;
mod probe_result;
mod probe_window;
mod rolling;
mod server_health;
mod server_state;
mod slow_start;
mod unavailable;
mod vitals;

pub use self::admin_state::AdminState;
pub(super) use self::exchange_result::ExchangeResult;
pub use self::group::HealthGroup;
pub(super) use self::metrics::{GroupView, families};
pub(super) use self::origin_circuit::CircuitPass;
pub use self::probe_result::ProbeResult;
pub use self::server_health::{HealthReport, ServerHealth};
pub use self::server_state::ServerState;
pub use self::unavailable::Unavailable;
pub(super) use self::vitals::ServerArrival;
