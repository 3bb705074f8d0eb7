//! The proxy end to end: real sockets on free ports, a scripted origin, a clock that is moved by
//! hand.

#[cfg(test)]
mod support;

#[cfg(test)]
mod origin_names;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod hit;
#[cfg(test)]
mod compression;
#[cfg(test)]
#[cfg(feature = "otlp")]
mod spans;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod vary;
#[cfg(test)]
mod variants;
#[cfg(test)]
mod no_vary_search;
mod no_vary_search_stale;
#[cfg(test)]
mod validation;
#[cfg(test)]
mod head;
#[cfg(test)]
mod head_as_get;
#[cfg(test)]
mod range;
#[cfg(test)]
mod records;
#[cfg(test)]
mod live_views;
#[cfg(test)]
mod access_log;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod live_log;
#[cfg(test)]
mod partial;
#[cfg(test)]
mod deception;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod coalesce;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod departures;
#[cfg(test)]
mod cookies;
#[cfg(test)]
mod query;
#[cfg(test)]
mod authorization;
#[cfg(test)]
mod unsafe_methods;
#[cfg(test)]
mod purge;
#[cfg(test)]
mod purge_commands;
#[cfg(test)]
mod purge_in_flight;
#[cfg(test)]
mod purge_many_tags;
#[cfg(test)]
mod purge_words;
#[cfg(test)]
mod purge_plugins;
mod purge_selectors;
#[cfg(test)]
mod assets;
#[cfg(test)]
mod deploys;
#[cfg(test)]
mod purge_of_held;
#[cfg(test)]
mod in_a_row;
#[cfg(test)]
mod first_hour;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod purge_log;
#[cfg(test)]
mod purge_log_parts;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod handed_over;
mod rewarm;
#[cfg(test)]
mod warm;
#[cfg(test)]
mod hop_by_hop;
#[cfg(test)]
mod life_cycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod live_settings;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod reload_listeners;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod origin_timeouts;
#[cfg(test)]
mod origin_balance;
mod origin_choice;
#[cfg(test)]
mod origin_health;
#[cfg(test)]
mod origin_http2;
#[cfg(test)]
mod origin_keep_alive;
#[cfg(test)]
mod origin_servers;
#[cfg(test)]
mod early_answers;
#[cfg(test)]
mod hostile_requests;
#[cfg(test)]
mod both_protocols;
#[cfg(test)]
mod hostile_bodies;
#[cfg(test)]
mod hostile_origins;
#[cfg(test)]
mod hostile_connections;
#[cfg(test)]
mod poisoning;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod slow_clients;
#[cfg(test)]
mod take_over;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod storage_faults;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod rfc9111;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod same_request;
