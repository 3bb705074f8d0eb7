//! The admin listener: health, readiness, metrics and stats.

use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::Proxy;

fn in_memory(config: &mut settings::Config) {
    config.storage.kind = settings::StorageKind::Memory;
}

/// Snapshots and rules name metrics as this format does.
const OPEN_METRICS: [(&str, &str); 1] = [("accept", "application/openmetrics-text")];

#[tokio::test]
async fn health_and_readiness_are_plain_text() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);

    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = proxy.ask_admin("GET", path, &[], "").await;
        assert_eq!((answer.status(), answer.text()), (200, text));
        assert_eq!(proxy.ask_admin("HEAD", path, &[], "").await.status(), 200);
        let refused = proxy.ask_admin("POST", path, &[], "").await;
        assert_eq!((refused.status(), &*refused.field("allow").unwrap()), (405, "GET, HEAD"));
    }
}

#[tokio::test]
async fn what_is_not_there_says_what_is() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);

    let answer = proxy.ask_admin("GET", "/api/v1/none", &[], "").await;
    assert_eq!(answer.status(), 404);
    assert!(answer.json()["detail"].as_str().unwrap().contains("/api/v1/purge"));
    assert_eq!(
        proxy.ask_admin("GET", "/api/v1/purge", &[], "").await.field("allow").unwrap(),
        "POST"
    );
    assert_eq!(
        proxy.ask_admin("POST", "/api/v1/stats", &[], "").await.field("allow").unwrap(),
        "GET"
    );
}

#[tokio::test]
async fn the_admin_pages_are_not_on_the_traffic_listener() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);

    for path in ["/healthz", "/metrics", "/api/v1/stats"] {
        assert_eq!(proxy.get(path).await.status(), 404);
        assert_eq!(origin.count(path), 1, "{path}");
    }
}

#[tokio::test]
async fn stats_tell_the_numbers_that_people_ask_for() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("surrogate-key", "t u"));
    origin.on("/b", ok("").field("cache-control", "private"));
    let proxy = Proxy::start_with(&origin, in_memory);
    for path in ["/a", "/a", "/a", "/b"] {
        proxy.get(path).await;
    }
    proxy.post("/c", "x").await;
    proxy.purge(r#"{"tags":["t"]}"#).await;
    proxy.advance(90);

    let stats = proxy.ask_admin("GET", "/api/v1/stats", &[], "").await.json();

    let requests = serde_json::json!({
        "hit": 2, "stale": 0, "revalidated": 0, "miss": 1, "bypass": 1, "uncacheable": 1, "synthetic": 0, "purge": 0,
    });
    assert_eq!(stats["requests"], requests);
    assert_eq!(stats["hit_ratio"], 0.4);
    assert_eq!(stats["uptime_seconds"], 90);
    assert_eq!(stats["store"]["objects"], 0);
    assert_eq!(stats["store"]["inserts"], 1);
    assert_eq!(stats["store"]["capacity_bytes"], 64 << 20);
    assert_eq!(stats["origin"]["requests"], 3);
    assert_eq!(stats["origin"]["in_flight"], 0);
    assert_eq!(stats["origin"]["inflight_bytes"], 0);
    assert_eq!(stats["purges"]["purged_objects"], 1);
}

#[tokio::test]
async fn open_connections_are_counted_and_nothing_else() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(""));
    let proxy = Proxy::start(&origin);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        client.answer().await;
        clients.push(client);
    }

    assert_eq!(proxy.app.listeners.connections(), 3);
    drop(clients);
    crate::support::until("connections to end", || proxy.app.listeners.connections() == 0).await;
}

#[tokio::test]
async fn metrics_count_what_was_done() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    for _ in 0..3 {
        proxy.get("/a").await;
    }
    proxy.purge(r#"{"all":true}"#).await;

    let answer = proxy.ask_admin("GET", "/metrics", &OPEN_METRICS, "").await;

    assert!(answer.field("content-type").unwrap().starts_with("application/openmetrics-text"));
    let page = answer.text().replace("{}", "");
    assert!(page.ends_with("# EOF\n"));
    for line in [
        r#"shellac_http_requests_total{listener="main",cache="hit",code="200"} 2"#,
        r#"shellac_http_requests_total{listener="main",cache="miss",code="200"} 1"#,
        r#"shellac_purges_total{source="admin",kind="all",mode="hard"} 1"#,
        "shellac_purged_objects_total 1",
        "shellac_ready 1",
    ] {
        assert!(page.lines().any(|given| given == line), "{line} in\n{page}");
    }
}

/// Dashboards and alerts name these: a change is a change of an interface.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "there are many metrics")]
async fn the_names_of_metrics_are_an_interface() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);

    let answer = proxy.ask_admin("GET", "/metrics", &OPEN_METRICS, "").await;

    let types = answer.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    insta::assert_snapshot!(types.collect::<Vec<_>>().join("\n"), @r"
    shellac_http_requests counter
    shellac_http_ttfb_seconds histogram
    shellac_http_duration_seconds histogram
    shellac_http_response_bytes counter
    shellac_http_request_bytes counter
    shellac_bypass_cookies counter
    shellac_proxy_protocol_headers counter
    shellac_proxy_protocol_refused counter
    shellac_http_peer_limit_reached counter
    shellac_http_untrusted_schemes counter
    shellac_http_connections gauge
    shellac_http_connections_tls gauge
    shellac_http_connections_http2 gauge
    shellac_http_connections_accepted counter
    shellac_http_connections_waited counter
    shellac_http_connections_made_room counter
    shellac_http_cuts counter
    shellac_http_errors counter
    shellac_cache_objects gauge
    shellac_cache_bytes gauge
    shellac_cache_capacity_bytes gauge
    shellac_cache_inserts counter
    shellac_cache_evictions counter
    shellac_tags gauge
    shellac_cache_uncacheable counter
    shellac_cache_collapsed counter
    shellac_cache_revalidations counter
    shellac_cache_refreshes counter
    shellac_cache_fetch_failures counter
    shellac_cache_overloads counter
    shellac_requests_unclaimed counter
    shellac_cache_untrusted_https_redirects counter
    shellac_cache_misses_in_flight gauge
    shellac_cache_flights gauge
    shellac_cache_inflight_bytes gauge
    shellac_cache_pinned_bytes gauge
    shellac_cache_stale_at_once counter
    shellac_cache_fetches_cancelled counter
    shellac_cache_tags_folded counter
    shellac_responses_of_other_deployments counter
    shellac_compression_responses counter
    shellac_compression_bytes_in counter
    shellac_compression_bytes_out counter
    shellac_compression_cpu_seconds counter
    shellac_compression_failures counter
    shellac_compression_overloads counter
    shellac_compression_running gauge
    shellac_cache_failing_urls gauge
    shellac_cache_failing_urls_forgotten counter
    shellac_origin_requests counter
    shellac_origin_failures counter
    shellac_origin_request_duration_seconds histogram
    shellac_origin_http2_connections gauge
    shellac_origin_http2_streams gauge
    shellac_origin_retries counter
    shellac_origin_queue gauge
    shellac_origin_phase_seconds histogram
    shellac_origin_hedges counter
    shellac_origin_budget_refusals counter
    shellac_server_requests counter
    shellac_server_requests_in_flight gauge
    shellac_server_idle_connections gauge
    shellac_server_latency_seconds gauge
    shellac_origin_server_up gauge
    shellac_origin_server_share gauge
    shellac_origin_probes counter
    shellac_origin_ejections counter
    shellac_origin_ejections_refused counter
    shellac_origin_circuit_open gauge
    shellac_origin_circuit_openings counter
    shellac_origin_circuit_refusals counter
    shellac_origin_unavailable counter
    shellac_origin_last_resorts counter
    shellac_dns_lookups counter
    shellac_dns_answer_age_seconds gauge
    shellac_dns_failures_in_row gauge
    shellac_purges counter
    shellac_purged_objects counter
    shellac_purges_refused counter
    shellac_purges_large counter
    shellac_purge_duration_seconds histogram
    shellac_purge_sequence gauge
    shellac_purged_prefixes gauge
    shellac_purged_expressions gauge
    shellac_deployments_present gauge
    shellac_no_vary_search_declarations gauge
    shellac_no_vary_search_declarations_refused counter
    shellac_no_vary_search_hits counter
    shellac_purge_floor_raised counter
    shellac_purge_log_state gauge
    shellac_purge_log_quarantined gauge
    shellac_purge_log_degraded gauge
    shellac_purge_log_batches counter
    shellac_purge_log_purges counter
    shellac_purge_log_purges_skipped counter
    shellac_rewarm counter
    shellac_revisions gauge
    shellac_revisions_dropped counter
    shellac_build_info gauge
    shellac_uptime_seconds gauge
    shellac_ready gauge
    shellac_draining gauge
    shellac_http_hit_seconds histogram
    shellac_worker_lag_seconds histogram
    process_cpu_seconds counter
    process_start_time_seconds gauge
    process_resident_memory_bytes gauge
    process_virtual_memory_bytes gauge
    process_threads gauge
    process_open_fds gauge
    process_max_fds gauge
    shellac_admin_streams gauge
    shellac_admin_streams_opened counter
    shellac_admin_streams_cut counter
    shellac_log_lines counter
    shellac_log_dropped counter
    shellac_log_failures counter
    shellac_config_last_reload_successful gauge
    shellac_config_last_reload_success_timestamp_seconds gauge
    shellac_config_restart_needed gauge
    shellac_config_info gauge
    shellac_config_reloads counter
    ");
}
