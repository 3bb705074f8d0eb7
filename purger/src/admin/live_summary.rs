//! `LiveSummary`: what a proxy says of its traffic in `/api/v1/live`.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use crate::delivery::target::Target;

/// Absent values are those that the proxy has none for: no request, no sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveSummary {
    pub version: String,
    pub config_hash: String,
    pub uptime_seconds: f64,
    pub ready: bool,
    /// Over the last minute.
    pub hit_ratio: Option<f64>,
    pub requests_per_second: Option<f64>,
    pub origin_requests_per_second: Option<f64>,
    pub bytes_out_per_second: Option<f64>,
    pub hit_p99_seconds: Option<f64>,
    pub miss_p99_seconds: Option<f64>,
}

impl LiveSummary {
    /// Asks a proxy; the error says why there is no summary.
    pub async fn ask(target: &Target) -> Result<Self, String> {
        let asked = target.ask(Method::GET, "/api/v1/live?series=0", Bytes::new());
        let (status, body) = timeout(PATIENCE, asked).await.map_err(|_elapsed| LATE)??;
        if status != StatusCode::OK {
            return Err(format!("{status} from /api/v1/live"));
        }
        let document = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(Self::of(&document))
    }

    fn of(live: &Value) -> Self {
        let at = |pointer: &str| live.pointer(pointer).unwrap_or(&Value::Null);
        let text = |pointer: &str| at(pointer).as_str().unwrap_or_default().to_owned();
        let rate = |name: &str| at("/rates").get(name).and_then(Value::as_f64);
        Self {
            version: text("/version"),
            config_hash: text("/config/hash"),
            uptime_seconds: at("/uptime_seconds").as_f64().unwrap_or_default(),
            ready: at("/ready").as_bool().unwrap_or_default(),
            hit_ratio: at("/hit_ratio/1m").as_f64(),
            requests_per_second: rate("requests"),
            origin_requests_per_second: rate("origin_requests"),
            bytes_out_per_second: rate("bytes_out"),
            hit_p99_seconds: at("/latency_seconds/hit/p99").as_f64(),
            miss_p99_seconds: at("/latency_seconds/miss/p99").as_f64(),
        }
    }
}

/// People wait for it: a proxy that takes longer is shown without numbers.
const PATIENCE: Duration = Duration::from_secs(2);
const LATE: &str = "no answer within 2 s";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_is_read_from_what_a_proxy_says() {
        let live = json!({
            "version": "0.1.0", "uptime_seconds": 12.5, "ready": true, "config": {"hash": "9f"},
            "hit_ratio": {"1m": 0.92}, "rates": {"requests": 1940.0, "origin_requests": 131.0},
            "latency_seconds": {"hit": {"p99": 0.0004}, "miss": {"p99": null}},
        });
        let expected = LiveSummary {
            version: "0.1.0".to_owned(),
            config_hash: "9f".to_owned(),
            uptime_seconds: 12.5,
            ready: true,
            hit_ratio: Some(0.92),
            requests_per_second: Some(1940.0),
            origin_requests_per_second: Some(131.0),
            bytes_out_per_second: None,
            hit_p99_seconds: Some(0.0004),
            miss_p99_seconds: None,
        };
        assert_eq!(LiveSummary::of(&live), expected);
        assert_eq!(LiveSummary::of(&json!([1])), LiveSummary::default());
    }
}
