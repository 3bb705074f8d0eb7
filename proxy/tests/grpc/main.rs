//! gRPC through the real program: the reference implementation's client and server (`grpcio`, in
//! Python) on either side of it, over HTTP/2 without TLS.
//!
//! Needs Python 3 with pip; `grpcio` is installed on first use.

#[cfg(test)]
mod support;

#[cfg(test)]
use self::support::Stage;

#[test]
fn a_call_has_its_metadata_and_its_deadline_on_the_other_side() {
    Stage::start().call("unary");
}

#[test]
fn a_failure_arrives_with_its_status_and_text_though_it_has_no_content() {
    Stage::start().call("fail");
}

#[test]
fn a_stream_of_replies_arrives_in_order_and_whole() {
    Stage::start().call("down");
}

#[test]
fn a_stream_of_requests_may_be_longer_than_other_content() {
    Stage::start().call("up");
}

#[test]
fn no_message_is_held_back_while_both_sides_stream() {
    Stage::start().call("both");
}

#[test]
fn a_call_may_pause_for_longer_than_other_exchanges() {
    Stage::start().call("pauses");
}

#[test]
fn a_stream_that_the_server_ends_with_an_error_shows_what_came_before() {
    Stage::start().call("break_off");
}

#[test]
fn a_reply_may_come_before_the_end_of_the_requests() {
    Stage::start().call("enough");
}

#[test]
fn a_call_ends_on_both_sides_when_its_deadline_passes() {
    Stage::start().call("deadline");
}

#[test]
fn a_call_that_its_client_cancels_ends_at_the_server() {
    Stage::start().call("cancel");
}

#[test]
fn many_calls_share_few_connections() {
    Stage::start().call("many");
}

#[test]
fn a_server_that_is_down_makes_calls_unavailable() {
    let stage = Stage::start();
    drop(stage.server);
    stage.proxy.call("unavailable");
}

#[test]
fn a_call_whose_server_dies_fails_and_so_does_the_next_one() {
    let Stage { proxy, mut server } = Stage::start();
    proxy.call_until("killing", "killed", || server.kill());
    proxy.call("unavailable");
}
