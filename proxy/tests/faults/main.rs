//! Faults of the origin against the program itself: the response, the time, the store, the log.
//! docs/faults.md has the table.

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod origin;
#[cfg(test)]
mod site;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::matrix::Row;
    use super::origin::{BlackHole, Conduct, Origin, closed_port};
    use super::site::{PATIENCE, Site};

    /// The time-outs are a second. A shared machine may take longer, but no fault takes this long.
    const LATE: Duration = Duration::from_secs(15);

    /// Sets the conduct, asks for a page that is not stored and for one that is stored and stale,
    /// and compares both with the table. What is fresh is a hit all the time, nothing of the fault
    /// is stored, and all is well when it is over.
    fn endure(fault: &str, conduct: Conduct, logged: &str) -> Site {
        let row = Row::of(fault);
        let origin = Origin::start();
        let site = Site::start(&[origin.address], "");
        for path in ["/fresh", "/stale"] {
            assert_eq!(site.get(path).status, 200);
        }

        origin.set(conduct);
        let miss = site.get("/fresh/cold");
        row.check_miss(&miss);
        assert!(miss.after < LATE, "{:?}", miss.after);
        row.check_stale(&site.get("/stale"));
        assert!(site.get("/fresh").field("cache-status").unwrap().contains("hit"));
        row.check_logged(logged);
        site.until_logged(logged);

        origin.set(Conduct::Serves);
        let again = site.until_served("/fresh/cold");
        assert_eq!(again.text, "/fresh/cold, and more");
        site
    }

    #[test]
    fn an_origin_that_resets_is_502() {
        endure(
            "resets the connection",
            Conduct::Resets,
            "the connection broke before the response",
        );
    }

    #[test]
    fn an_origin_that_hangs_before_the_head_is_504() {
        endure("hangs before the head", Conduct::Hangs, "no response came in time");
    }

    #[test]
    fn an_origin_that_answers_garbage_is_502() {
        endure("answers garbage", Conduct::AnswersGarbage, "the response is malformed");
    }

    #[test]
    fn an_origin_that_answers_503_is_passed_on_or_replaced() {
        endure("answers 503", Conduct::AnswersUnavailable, "the origin answers with an error");
    }

    #[test]
    fn an_origin_that_hangs_within_the_content_is_cut_and_not_stored() {
        let row = Row::of("hangs within the content");
        let origin = Origin::start();
        let site = Site::start(&[origin.address], "");
        origin.set(Conduct::HangsMidBody);

        let cut = site.get("/fresh");
        row.check_miss(&cut);
        assert!(!cut.is_whole && cut.after < LATE, "{cut:?}");
        row.check_logged("the response stalled");
        site.until_logged("the response stalled");

        origin.set(Conduct::Serves);
        let whole = site.until_served("/fresh");
        assert!(whole.is_whole && !whole.field("cache-status").unwrap().contains("hit"));
    }

    #[test]
    fn an_origin_that_refuses_is_502_until_it_listens() {
        let row = Row::of("refuses connections");
        let address = closed_port();
        let site = Site::start(&[address], "");

        row.check_miss(&site.get("/fresh"));
        row.check_logged("refused the connection");
        site.until_logged("refused the connection");

        let _origin = Origin::at(TcpListener::bind(address).unwrap());
        site.until_served("/fresh");
    }

    #[test]
    fn an_origin_that_swallows_connections_is_504() {
        let row = Row::of("swallows connections");
        let hole = BlackHole::open();
        let site = Site::start(&[hole.address], "");

        let seen = site.get("/fresh");
        row.check_miss(&seen);
        assert!(seen.after < LATE, "{:?}", seen.after);
        row.check_logged("accepted no connection in time");
        site.until_logged("accepted no connection in time");
    }

    #[test]
    fn one_of_three_servers_that_swallows_connections_costs_no_request() {
        let row = Row::of("one server of three swallows connections");
        let hole = BlackHole::open();
        let (one, other) = (Origin::start(), Origin::start());
        let site = Site::start(&[hole.address, one.address, other.address], "");

        for number in 0..30 {
            row.check_miss(&site.get(&format!("/fresh/{number}")));
        }
    }

    #[test]
    fn a_flapping_server_of_three_costs_no_request() {
        let row = Row::of("one server of three comes and goes");
        let (flapping, one, other) = (Origin::start(), Origin::start(), Origin::start());
        let site = Site::start(&[flapping.address, one.address, other.address], "");

        for number in 0..60 {
            let conducts = [Conduct::Serves, Conduct::Resets];
            flapping.set(conducts[number / 5 % 2]);
            row.check_miss(&site.get(&format!("/fresh/{number}")));
        }
    }

    #[test]
    fn all_servers_dead_is_an_error_page_or_a_stale_one_until_one_is_back() {
        let row = Row::of("all servers are dead");
        let origin = Origin::start();
        let address = closed_port();
        let site = Site::start(&[origin.address, address], "");
        for path in ["/fresh", "/stale"] {
            assert_eq!(site.get(path).status, 200);
        }
        origin.set(Conduct::Resets);

        for number in 0..5 {
            row.check_miss(&site.get(&format!("/fresh/{number}")));
        }
        row.check_stale(&site.get("/stale"));
        assert!(site.get("/fresh").field("cache-status").unwrap().contains("hit"));

        let _back = Origin::at(TcpListener::bind(address).unwrap());
        site.until_served("/fresh/0");
    }

    #[test]
    fn a_connection_that_closes_after_its_response_costs_no_request() {
        let row = Row::of("closes kept connections after the response");
        let origin = Origin::start();
        let site = Site::start(&[origin.address], "");
        origin.set(Conduct::ClosesAfterwards);

        for number in 0..20 {
            row.check_miss(&site.get(&format!("/fresh/{number}")));
        }
    }

    #[test]
    fn a_connection_that_closes_under_a_post_is_502_and_posted_once() {
        let row = Row::of("closes an idle connection under a POST");
        let origin = Origin::start();
        let site = Site::start(&[origin.address], "");
        origin.set(Conduct::ClosesUnderTheSecond);
        assert_eq!(site.get("/first").status, 200);

        row.check_miss(&site.post("/order"));
        assert_eq!(origin.posts(), 1, "it may have been processed");

        assert_eq!(site.get("/first").status, 200);
        assert_eq!(site.get("/second").status, 200, "what is safe is sent again");
    }

    #[test]
    fn a_second_response_reaches_no_client() {
        let row = Row::of("sends two responses");
        let origin = Origin::start();
        let site = Site::start(&[origin.address], "");
        origin.set(Conduct::AnswersTwice);

        for number in 0..20 {
            let path = format!("/fresh/{number}");
            let seen = site.get(&path);
            row.check_miss(&seen);
            assert_eq!(seen.text, format!("{path}, and more"));
        }
    }

    #[test]
    fn failures_are_counted_by_their_names() {
        let site = Site::start(&[closed_port()], "");
        assert_eq!(site.get("/fresh").status, 502);

        let failures =
            site.metric("shellac_origin_failures_total{origin=\"app\",reason=\"connect_refused\"}");
        assert!(failures >= 1.0, "{failures}");
        assert!(PATIENCE > LATE);
    }
}
